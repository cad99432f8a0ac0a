"""A contact sheet of every degradation at three strengths, to check by eye that the images are plausible.

It uses photographs of ../shared/data, or of scikit-image if these are missing. `--out FILE.png` names the file;
`--crop 128` shows crops of that size, as training uses them.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from machine import SHARED
from PIL import Image, ImageOps

from dynet.degradations.registry import DEGRADATIONS
from dynet.runtime.contact_sheet import labelled_sheet
from dynet.runtime.rng import generator

Image8 = npt.NDArray[np.uint8]
Parameters = dict[str, float]
PHOTOS = SHARED / "photos"
SIZE = (480, 320)

STRENGTHS: dict[str, tuple[Parameters, Parameters, Parameters]] = {
    "gaussian_noise": ({"sigma": 15}, {"sigma": 25}, {"sigma": 50}),
    "poisson_gaussian_noise": ({"gain": 0.5, "sigma": 2}, {"gain": 3, "sigma": 5}, {"gain": 10, "sigma": 15}),
    "camera_noise": (
        {"shot": 0.001, "read": 0.001, "red": 2.1, "blue": 1.7, "crosstalk": 0.3, "smoothing": 0.5},
        {"shot": 0.004, "read": 0.003, "red": 2.1, "blue": 1.7, "crosstalk": 0.3, "smoothing": 0.5},
        {"shot": 0.012, "read": 0.01, "red": 2.1, "blue": 1.7, "crosstalk": 0.3, "smoothing": 0.5},
    ),
    "random_noise": ({"amplitude": 20}, {"amplitude": 45}, {"amplitude": 90}),
    "impulse_noise": (
        {"share": 0.02, "extremes": 1},
        {"share": 0.1, "extremes": 0},
        {"share": 0.3, "extremes": 1},
    ),
    "jpeg": ({"quality": 60}, {"quality": 30}, {"quality": 10}),
    "webp": ({"quality": 60}, {"quality": 20}, {"quality": 0}),
    "gaussian_blur": (
        {"sigma": 1, "ratio": 1, "angle": 0},
        {"sigma": 3, "ratio": 0.3, "angle": 30},
        {"sigma": 4, "ratio": 1, "angle": 0},
    ),
    "defocus_blur": ({"radius": 1.5}, {"radius": 4}, {"radius": 8}),
    "motion_blur": (
        {"length": 10, "angle": 20, "shake": 0},
        {"length": 25, "angle": 60, "shake": 0.5},
        {"length": 60, "angle": 100, "shake": 1},
    ),
    "rain": (
        {"density": 0.02, "length": 30, "width": 2, "angle": -10, "opacity": 0.7, "layers": 3, "veil": 0},
        {"density": 0.06, "length": 40, "width": 2.5, "angle": 20, "opacity": 0.8, "layers": 3, "veil": 0.05},
        {"density": 0.15, "length": 60, "width": 3, "angle": -25, "opacity": 0.9, "layers": 4, "veil": 0.2},
    ),
    "haze": ({"beta": 0.15, "airlight": 0.9}, {"beta": 0.5, "airlight": 0.85}, {"beta": 1.5, "airlight": 0.8}),
    "low_light": (
        {"gain": 0.3, "gamma": 1, "shot": 0.0001, "read": 0.0002},
        {"gain": 0.1, "gamma": 1.1, "shot": 0.0003, "read": 0.0005},
        {"gain": 0.03, "gamma": 1.2, "shot": 0.001, "read": 0.001},
    ),
    "downscale": ({"scale": 1.5}, {"scale": 3}, {"scale": 6}),
}
"""Low, middle and high, about from end to end of the ranges that docs/degradations.md recommends."""


def photographs(count: int, crop: int | None) -> list[Image8]:
    """Return photographs of SIZE, or crops at full resolution: the shared ones, or else those of scikit-image."""
    if PHOTOS.is_dir():
        files = sorted(PHOTOS.iterdir())
        chosen = [files[number * len(files) // count] for number in range(count)]
        images = [Image.open(file).convert("RGB") for file in chosen]
    else:
        import skimage.data

        samples = (skimage.data.coffee, skimage.data.astronaut, skimage.data.cat, skimage.data.rocket)
        images = [Image.fromarray(sample()) for sample in samples[:count]]
    if crop is None:
        return [np.array(ImageOps.fit(image, SIZE)) for image in images]
    return [_crop_of_highest_contrast(np.array(image), crop) for image in images]


def _crop_of_highest_contrast(image: Image8, side: int) -> Image8:
    """Return the crop with the highest contrast of a coarse grid of crops."""
    tops = range(0, image.shape[0] - side + 1, side)
    lefts = range(0, image.shape[1] - side + 1, side)
    crops = [image[top : top + side, left : left + side] for top in tops for left in lefts]
    return max(crops, key=lambda crop: float(crop.std()))


def make_strip(kind: str, images: Sequence[Image8], seed: int) -> Image.Image:
    """Return each image clean and at the three strengths, below the parameters that change with the strength."""
    strengths = STRENGTHS[kind]
    varying = [name for name in strengths[0] if len({each[name] for each in strengths}) > 1][:2]
    labels = [kind, *(" ".join(f"{name} {each[name]:g}" for name in varying) for each in strengths)]
    rows = []
    for number, image in enumerate(images):
        degraded = [
            DEGRADATIONS[kind].function(image, generator(seed, "sheet", number, strength), **parameters)
            for strength, parameters in enumerate(strengths)
        ]
        rows.append([_enlarge(each) for each in (image, *degraded)])
    return labelled_sheet(rows, labels)


def _enlarge(image: Image8) -> Image8:
    """Enlarge an image by a whole factor to about the width of SIZE."""
    factor = max(1, SIZE[0] // image.shape[1])
    return image.repeat(factor, 0).repeat(factor, 1)


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Return all strips below each other."""
    sheet = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "degradations.png")
    parser.add_argument("--pictures", type=int, default=2, help="photographs per kind")
    parser.add_argument("--crop", type=int, help="side of crops at full resolution, instead of whole photographs")
    parser.add_argument("--kinds", nargs="+", choices=list(STRENGTHS), default=list(STRENGTHS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    images = photographs(arguments.pictures, arguments.crop)
    stack([make_strip(kind, images, arguments.seed) for kind in arguments.kinds]).save(arguments.out)
    print(f"{arguments.out}: {len(arguments.kinds)} degradations of {len(images)} images")


if __name__ == "__main__":
    main()
