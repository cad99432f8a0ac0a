"""Example images for the page: photographs in the wheels of other packages, or drawings where they are missing.

The demo, the quick start, README and the weights of this repository do not train on them. Nothing is downloaded:
a file that a wheel does not contain is left out.
"""

from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

PHOTOGRAPHS = MappingProxyType(
    {
        "motorcycle": ("skimage", "data/motorcycle_left.png"),
        "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    }
)
"""By name: the package, and the file in it."""


def write_examples(folder: Path, max_pixels: int) -> list[Path]:
    """Write the examples as PNG, downscaled to at most `max_pixels`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, image in (_photographs() or _drawings()).items():
        path = folder / f"{name}.png"
        scale = (max_pixels / (image.width * image.height)) ** 0.5
        if scale < 1:
            image = image.resize((max(1, int(scale * image.width)), max(1, int(scale * image.height))))
        image.save(path)
        written.append(path)
    return written


def _photographs() -> dict[str, Image.Image]:
    files = {}
    for name, (package, file) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            files[name] = Path(spec.origin).parent / file
    return {name: Image.open(file).convert("RGB") for name, file in files.items() if file.is_file()}


def _drawings() -> dict[str, Image.Image]:
    """Draw a sky with discs, and a fabric: edges, gradients and fine texture, with light and dark parts."""
    rows, columns = np.mgrid[0:384, 0:512].astype(np.float32)
    sky = np.stack([90 + rows / 4, 120 + rows / 4, 200 - rows / 8], axis=2)
    for row, column, radius, colour in ((120, 150, 70, (235, 200, 90)), (250, 350, 110, (70, 60, 90))):
        inside = ((rows - row) ** 2 + (columns - column) ** 2 < radius**2)[..., None]
        sky = np.where(inside, np.array(colour, np.float32), sky)
    threads = 60 * np.sin(columns / 2) * np.sin(rows / 3) + columns / 6
    fabric = np.stack([100 + threads, 80 + threads, 60 + threads / 2], axis=2)
    return {"discs": _as_image(sky), "fabric": _as_image(fabric)}


def _as_image(levels: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
