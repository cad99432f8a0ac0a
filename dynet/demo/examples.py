"""Pictures to try the page with: photographs that scikit-image carries in its wheel, or else drawn ones.

Nothing is downloaded: a file that the wheel does not hold is left out.
"""

from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

PHOTOGRAPHS = MappingProxyType(
    {"astronaut": "astronaut.png", "cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}
)


def write_examples(folder: Path, most_pixels: int) -> list[Path]:
    """Write the examples as PNG, made smaller where they have more pixels; their paths, named for what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in (_photographs() or _drawn()).items():
        path = folder / f"{name}.png"
        scale = (most_pixels / (picture.width * picture.height)) ** 0.5
        if scale < 1:
            picture = picture.resize((max(1, int(scale * picture.width)), max(1, int(scale * picture.height))))
        picture.save(path)
        written.append(path)
    return written


def _photographs() -> dict[str, Image.Image]:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        return {}
    files = {name: Path(spec.origin).parent / "data" / file for name, file in PHOTOGRAPHS.items()}
    return {name: Image.open(file).convert("RGB") for name, file in files.items() if file.is_file()}


def _drawn() -> dict[str, Image.Image]:
    """A sky with discs, and a fabric: edges, smooth slopes and fine texture, each with a light and a dark part."""
    down, right = np.mgrid[0:384, 0:512].astype(np.float32)
    sky = np.stack([90 + down / 4, 120 + down / 4, 200 - down / 8], axis=2)
    for row, column, radius, colour in ((120, 150, 70, (235, 200, 90)), (250, 350, 110, (70, 60, 90))):
        inside = ((down - row) ** 2 + (right - column) ** 2 < radius**2)[..., None]
        sky = np.where(inside, np.array(colour, np.float32), sky)
    threads = 60 * np.sin(right / 2) * np.sin(down / 3) + right / 6
    fabric = np.stack([100 + threads, 80 + threads, 60 + threads / 2], axis=2)
    return {"discs": _as_image(sky), "fabric": _as_image(fabric)}


def _as_image(levels: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
