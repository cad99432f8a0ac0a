"""Qualities of JPEGs that are as far from the original as WebP and AVIF: `python benchmarks/coding_quality.py`.

Prints for each setting of libwebp and libavif the number that the file's header states (`webp_quality`, `avif_quality`)
and the quality of the JPEG with the same PSNR of luma: median, least and most of ten photographs of 640×480 and less,
four of scikit-image and six of ../shared/data/photos at a third of their size. The medians are the tables of
`equal_jpeg_quality`.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from machine import SHARED
from PIL import Image

from million_ird.measures.header import avif_quality, webp_quality

QUALITIES = range(10, 101, 3)
"""Of the JPEGs that are compared with."""
CODECS: tuple[tuple[str, tuple[int, ...], Callable[[bytes], float | None]], ...] = (
    ("WEBP", (10, 30, 50, 75, 85, 90, 95, 100), webp_quality),
    ("AVIF", (20, 30, 40, 50, 60, 75, 85, 95), avif_quality),
)


def photographs() -> list[Image.Image]:
    """Return the photographs."""
    bundled = Path(skimage.__file__).parent / "data"
    small = [Image.open(bundled / f"{name}.png").convert("RGB") for name in ("coffee", "chelsea", "astronaut")]
    small.append(Image.open(bundled / "rocket.jpg").convert("RGB"))
    for path in sorted((SHARED / "photos").iterdir())[::6]:
        image = Image.open(path).convert("RGB")
        reduced = image.resize((image.width // 3, image.height // 3), Image.Resampling.BOX)
        small.append(reduced.crop((0, 0, 640, 480)))
    return small


def encoded(image: Image.Image, form: str, quality: int) -> bytes:
    """Return a file; AVIF is coded fast."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality, **({"speed": 8} if form == "AVIF" else {}))
    return buffer.getvalue()


def psnr(image: Image.Image, file: bytes) -> float:
    """Return the PSNR of a file's luma in dB."""
    before, after = (np.asarray(one.convert("L"), np.float64) for one in (image, Image.open(io.BytesIO(file))))
    return float(10 * np.log10(255**2 / np.square(before - after).mean()))


def main() -> None:
    """Print a line for each setting."""
    images = photographs()
    jpegs = [np.maximum.accumulate([psnr(one, encoded(one, "JPEG", q)) for q in QUALITIES]) for one in images]
    print(f"{len(images)} photographs\n{'saved as':10}{'header':>8}{'JPEG':>6}{'least':>7}{'most':>6}")
    for form, settings, own in CODECS:
        for setting in settings:
            files = [encoded(image, form, setting) for image in images]
            told = np.mean([own(file) or 0 for file in files])
            equal = [
                np.interp(psnr(image, file), curve, QUALITIES)
                for image, file, curve in zip(images, files, jpegs, strict=True)
            ]
            print(f"{form} {setting:<5}{told:8.0f}{np.median(equal):6.0f}{min(equal):7.0f}{max(equal):6.0f}")


if __name__ == "__main__":
    main()
