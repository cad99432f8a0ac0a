"""Labelled images on which thresholds are tuned and tested: real ones, and photographs that were damaged on purpose.

None of them is copied into the project. Half of every class is for tuning, chosen by the file name (for damaged images
by that of the original), so that the halves are the same for everybody and no image is in both.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ROOT = Path(__file__).parents[1]

NEGATIVES = ("logos", "charts", "documents", "screens", "products", "blurred", "graphics")

HARD_PHOTOGRAPHS: Mapping[str, tuple[str, ...]] = {
    "dark": (
        "photos/017_", "photos/062_", "photos/113_", "photos/118_", "photos/177_",
        "real/lowlight/1.bmp", "real/lowlight/1.png", "real/lowlight/2.bmp", "real/lowlight/22.png",
        "real/lowlight/3.bmp", "real/lowlight/780.png", "train/BSDS500/train/42044",
    ),
    "foggy": (
        "photos/171_", "photos/187_", "photos/001_", "real/hazy/canyon", "real/hazy/guogong", "real/hazy/man",
        "real/hazy/test.", "real/hazy/test10", "real/hazy/test11", "real/hazy/test12",
    ),
    "high-key": ("photos/066_", "photos/104_", "photos/190_"),
    "shallow focus": ("photos/118_", "photos/169_", "photos/177_", "photos/180_", "photos/187_", "photos/066_"),
    "mostly sky or sand": (
        "photos/012_", "photos/017_", "photos/019_", "photos/054_", "photos/104_", "photos/108_", "photos/129_",
        "photos/139_", "photos/031_", "train/BSDS500/train/135069",
    ),
    "framed, for comparison": (
        "real/hazy/NYU2_102", "real/hazy/NYU2_741", "train/BSDS500/train/323016", "train/BSDS500/train/59078",
    ),
}  # fmt: skip
"""Sorted by eye. An image may be in several rows; those of the last row have a frame or bars and may be dropped."""

SKIMAGE_PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "moon.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg",
)  # fmt: skip
SKIMAGE_OTHERS = (
    "page.png", "text.png", "horse.png", "logo.png", "phantom.png", "chessboard_GRAY.png", "color.png",
)  # fmt: skip

FRESH: Mapping[str, tuple[str, ...]] = {
    "fresh photographs": (
        "75a55dcbb9", "987f2812e6", "13211082de", "1ca00cb230", "583de6c61e", "7590e4504e", "92292ccdac",
    ),
    "fresh artwork": (
        "007647e4c5", "0cf2621dff", "1e05829afa", "705ebb4092", "e6000ea817", "f7b1f08e47", "ff2b9fe750", "1691a1f2b5",
    ),
    "fresh blurred": ("11e311ce0b", "37adc5f28d", "9745e72c27"),
}  # fmt: skip
"""Images of `duplicates/`, chosen by eye, one of each group for the photographs. Like BSDS500's val they were first
looked at when all thresholds were set. One of them, 987f2812e6 (petals before a clean sky), was then dropped as flat
artwork, and `even_share` was corrected for it: that one is not fresh any more."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled image: `label` is good, or the class for which it should be dropped."""

    label: str
    name: str
    """Folder and file; for a damaged image the original's file and the damage."""
    parent: str
    """File name of the original, which alone decides the half that the image is in."""
    encoded: bytes


def data_folder() -> Path:
    """Return the folder of the shared images: MILLION_IRD_SHARED_DATA, or next to the repository."""
    return Path(os.environ.get("MILLION_IRD_SHARED_DATA", ROOT.parent / "shared" / "data"))


def is_tuning(name: str) -> bool:
    """Return whether an image is in the tuning half, by the SHA-256 of its file name."""
    return int(hashlib.sha256(Path(name).name.encode()).hexdigest()[0], 16) % 2 == 0


def real(data: Path) -> Iterator[Labelled]:
    """Yield good photographs and negatives, undamaged."""
    yield from _folder(data, "photos", "good")
    for label in NEGATIVES:
        yield from _folder(data, f"negatives/{label}", label)
    yield from _folder(data, "real/hazy", "real haze and darkness")
    yield from _folder(data, "real/lowlight", "real haze and darkness")
    for part in ("train", "test"):
        yield from _folder(data, f"train/BSDS500/{part}", "BSDS500")


def fresh(data: Path) -> Iterator[Labelled]:
    """Yield images that nobody looked at while measures and thresholds were designed."""
    yield from _folder(data, "train/BSDS500/val", "fresh photographs, BSDS500 val")
    for label, starts in FRESH.items():
        for start in starts:
            path = next((data / "duplicates").glob(f"{start}*"))
            yield Labelled(label, f"duplicates/{path.name}", path.name, path.read_bytes())


def bundled() -> Iterator[Labelled]:
    """Yield images that scikit-image contains."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    for label, names in (
        ("scikit-image photographs", SKIMAGE_PHOTOGRAPHS),
        ("scikit-image others", SKIMAGE_OTHERS),
    ):
        for name in names:
            yield Labelled(label, f"skimage/{name}", name, (folder / name).read_bytes())


def damaged(path: Path, number: int, damages: Mapping[str, "Damage"]) -> Iterator[Labelled]:
    """Yield the damaged versions of one good photograph, the `number`-th: one image per damage."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    for label, damage in damages.items():
        yield Labelled(label, f"{path.parent.name}/{path.name} {label}", path.name, damage(image, number))


def _folder(data: Path, folder: str, label: str) -> Iterator[Labelled]:
    for path in sorted((data / folder).iterdir()):
        yield Labelled(label, f"{folder}/{path.name}", path.name, path.read_bytes())


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode as Pillow does by default, with colour at half resolution."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def as_png(image: Image.Image) -> bytes:
    """Encode as PNG, fast."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


_KERNELS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)


Damage = Callable[[Image.Image, int], bytes]
"""Damages an image and encodes it; its number selects the kernel, the quality and so on in turn."""


def _enlarged(factor: float) -> Damage:
    def damage(image: Image.Image, number: int) -> bytes:
        width, height = image.size
        small = image.resize((round(width / factor), round(height / factor)), Image.Resampling.LANCZOS)
        large = small.resize((width, height), _KERNELS[number % 3])
        # Every other one is saved as JPEG, as people do, which hides the cut in the spectrum a little.
        return as_png(large) if number % 2 else as_jpeg(large, 92)

    return damage


def _doubled(image: Image.Image, number: int) -> bytes:
    large = image.resize((image.width * 2, image.height * 2), _KERNELS[number % 3])
    return as_png(large) if number % 2 else as_jpeg(large, 92)


def _compressed(image: Image.Image, number: int) -> bytes:
    return as_jpeg(image, (5, 10, 15, 20, 25, 30)[number % 6])


def _recompressed(image: Image.Image, number: int) -> bytes:
    with Image.open(io.BytesIO(_compressed(image, number))) as harmed:
        return as_jpeg(harmed, 95) if number % 2 else as_png(harmed.convert("RGB"))


def _blurred(image: Image.Image, number: int) -> bytes:
    radius = max(image.size) / (1000, 500, 250)[number % 3]
    return as_jpeg(image.filter(ImageFilter.GaussianBlur(radius)), 92)


def _letterboxed(image: Image.Image, number: int) -> bytes:
    width, height = image.size
    bars = Image.new("RGB", (width, round(height * 1.4)), (0, 0, 0) if number % 2 else (255, 255, 255))
    bars.paste(image, (0, round(height * 0.2)))
    return as_jpeg(bars, 92)


def _framed(image: Image.Image, number: int) -> bytes:
    width, height = image.size
    margin = width // 12
    frame = Image.new("RGB", (width + 2 * margin, height + 2 * margin), (248, 246, 240) if number % 2 else (255,) * 3)
    frame.paste(image, (margin, margin))
    return as_jpeg(frame, 92)


def _collage(image: Image.Image, number: int) -> bytes:
    """Build a collage of the four quarters, shuffled and mirrored, with a white gutter in every other one."""
    width, height = (side // 2 * 2 for side in image.size)
    gutter = width // 100 if number % 2 else 0
    sheet = Image.new("RGB", (width + gutter, height + gutter), (255, 255, 255))
    order = np.random.default_rng(number).permutation(4)
    for place, quarter in enumerate(order):
        x, y = quarter % 2 * width // 2, quarter // 2 * height // 2
        part = image.crop((x, y, x + width // 2, y + height // 2)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sheet.paste(part, (place % 2 * (width // 2 + gutter), place // 2 * (height // 2 + gutter)))
    return as_jpeg(sheet, 92)


def _poster(image: Image.Image, number: int) -> bytes:
    """Build a printed page with the image on its upper half."""
    width, height = image.size
    page = Image.new("RGB", (width, height * 2), (250, 250, 250))
    page.paste(image, (0, 0))
    font = ImageFont.load_default(size=width / 40)
    draw = ImageDraw.Draw(page)
    words = "Restored by light and by patience, printed in the year of the horse. " * 2
    for line in range(int(height / (width / 25))):
        draw.text((width * 0.04, height * 1.04 + line * width / 25), words[number % 9 :][:70], (20, 20, 20), font)
    return as_jpeg(page, 92)


DAMAGES: Mapping[str, Damage] = {
    "enlarged ×1.5": _enlarged(1.5),
    "enlarged ×2": _enlarged(2),
    "enlarged ×4": _enlarged(4),
    "compressed 5–30": _compressed,
    "compressed 5–30, saved again": _recompressed,
    "blurred, made": _blurred,
    "letterboxed": _letterboxed,
    "framed": _framed,
    "collage": _collage,
    "poster": _poster,
}

FRESH_DAMAGES: Mapping[str, Damage] = {
    "fresh, enlarged ×2 to double": _doubled,
    "fresh, enlarged ×2": _enlarged(2),
    "fresh, enlarged ×4": _enlarged(4),
    "fresh, compressed 5–30, again": _recompressed,
}
"""Of BSDS500's val: at 481×321, ×2 and ×4 leave 240 and 120 real pixels per side."""
