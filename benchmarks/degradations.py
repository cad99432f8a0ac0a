"""A contact sheet of every degradation at three strengths, to look at: are the pictures plausible?

Photographs of ../shared/data, or of scikit-image where those are not. `--out FILE.png` says where the sheet goes; with
`--crop 128` crops of that size, as training sees them.
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
"""Low, middle and high; the ends of what docs/degradations.md recommends lie about here."""


def photographs(count: int, crop: int | None) -> list[Image8]:
    """Photographs of SIZE, or crops at full resolution: the shared ones, or else those of scikit-image."""
    if PHOTOS.is_dir():
        files = sorted(PHOTOS.iterdir())
        chosen = [files[number * len(files) // count] for number in range(count)]
        pictures = [Image.open(file).convert("RGB") for file in chosen]
    else:
        import skimage.data

        carried = (skimage.data.coffee, skimage.data.astronaut, skimage.data.cat, skimage.data.rocket)
        pictures = [Image.fromarray(picture()) for picture in carried[:count]]
    if crop is None:
        return [np.array(ImageOps.fit(picture, SIZE)) for picture in pictures]
    return [_richest(np.array(picture), crop) for picture in pictures]


def _richest(picture: Image8, side: int) -> Image8:
    """Of the crops of a coarse grid, the one with most contrast."""
    tops = range(0, picture.shape[0] - side + 1, side)
    lefts = range(0, picture.shape[1] - side + 1, side)
    crops = [picture[top : top + side, left : left + side] for top in tops for left in lefts]
    return max(crops, key=lambda crop: float(crop.std()))


def strip(kind: str, pictures: Sequence[Image8], seed: int) -> Image.Image:
    """Each picture as it is, and at the three strengths; the parameters that change with the strength above them."""
    strengths = STRENGTHS[kind]
    telling = [name for name in strengths[0] if len({each[name] for each in strengths}) > 1][:2]
    labels = [kind, *(" ".join(f"{name} {each[name]:g}" for name in telling) for each in strengths)]
    rows = []
    for number, picture in enumerate(pictures):
        degraded = [
            DEGRADATIONS[kind].function(picture, generator(seed, "sheet", number, strength), **parameters)
            for strength, parameters in enumerate(strengths)
        ]
        rows.append([_enlarged(each) for each in (picture, *degraded)])
    return labelled_sheet(rows, labels)


def _enlarged(picture: Image8) -> Image8:
    """By whole pixels, to the width of SIZE about."""
    times = max(1, SIZE[0] // picture.shape[1])
    return picture.repeat(times, 0).repeat(times, 1)


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)))
    top = 0
    for part in strips:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "degradations.png")
    parser.add_argument("--pictures", type=int, default=2, help="photographs a row")
    parser.add_argument("--crop", type=int, help="side of crops at full resolution, instead of whole photographs")
    parser.add_argument("--kinds", nargs="+", choices=list(DEGRADATIONS), default=list(DEGRADATIONS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pictures = photographs(arguments.pictures, arguments.crop)
    stacked([strip(kind, pictures, arguments.seed) for kind in arguments.kinds]).save(arguments.out)
    print(f"{arguments.out}: {len(arguments.kinds)} degradations of {len(pictures)} pictures")


if __name__ == "__main__":
    main()
