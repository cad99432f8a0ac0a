"""What people commonly do to good photographs, and programs to those on the web; they stay good."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from harms import Alteration, chained, on_pixels, resized, saved
from PIL import Image, ImageEnhance, ImageFilter, ImageOps


def sharpened(radius: float, percent: int) -> Alteration:
    """Return an alteration that sharpens by an unsharp mask."""
    return lambda image, _: image.filter(ImageFilter.UnsharpMask(radius, percent, 0))


def _toned(contrast: float, saturation: float = 1) -> Alteration:
    return lambda image, _: ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(contrast)).enhance(saturation)


def _curved(steepness: float) -> Alteration:
    """Return an alteration that applies an S-shaped curve, as editors of photographs do, steepest at middle grey."""
    curve = 1 / (1 + np.exp(-steepness * (np.linspace(0, 1, 256) - 0.5)))
    levels = np.rint(255 * (curve - curve[0]) / (curve[-1] - curve[0])).astype(int).tolist()
    return lambda image, _: image.point(levels * 3)


def _averaged(scale: float) -> Alteration:
    """Return an alteration that reduces by OpenCV's area averaging, as img2dataset does."""
    return on_pixels(
        lambda pixels: np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    )


def _reduced(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Return the image at half its size, or at 320 px where that is more."""
    scale = min(1, max(0.5, 320 / min(image.size)))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _cut_levels(percent: float) -> Alteration:
    return lambda image, _: ImageOps.autocontrast(image, cutoff=percent)


def _grey(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _straightened(degrees: float) -> Alteration:
    """Return an alteration that turns an image a little, and crops to what is inside."""

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        margin = int(0.6 * max(image.size) * np.sin(np.radians(abs(degrees)))) + 4
        turned = image.rotate(degrees, Image.Resampling.BICUBIC)
        return turned.crop((margin, margin, image.width - margin, image.height - margin))

    return alter


def _grainy(sigma: float) -> Alteration:
    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        grain = random.normal(0, sigma, (image.height, image.width, 1))
        return Image.fromarray(np.clip(np.rint(np.asarray(image) + grain), 0, 255).astype(np.uint8))

    return alter


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the image without up to 24 px on each side, so that blocks begin elsewhere."""
    left, top, right, bottom = random.integers(0, 25, 4).tolist()
    return image.crop((left, top, image.width - right, image.height - bottom))


_REDUCING = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR, None)


def _reduced_at_random(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the image at half its size to nearly all of it, but 240 px or more, by one of four kernels."""
    scale = float(random.uniform(min(0.99, max(0.5, 240 / min(image.size))), 0.99))
    kernel = _REDUCING[int(random.integers(len(_REDUCING)))]
    return (_averaged(scale) if kernel is None else resized(scale, kernel))(image, random)


_STEPS: tuple[Callable[[np.random.Generator], Alteration], ...] = (
    *(lambda _: _reduced_at_random,) * 3,
    *(lambda random: saved("JPEG", int(random.integers(75, 96))),) * 3,
    lambda random: saved("WEBP", int(random.integers(75, 93))),
    *(lambda _: _cropped,) * 2,
    lambda random: _straightened(float(random.uniform(0.4, 2.5))),
    lambda random: _curved(float(random.uniform(5, 7))),
    lambda random: _toned(float(random.uniform(1, 1.25)), float(random.uniform(1, 1.5))),
    *(lambda random: sharpened(float(random.uniform(0.5, 0.8)), int(random.integers(30, 71))),) * 2,
    lambda random: _grainy(float(random.uniform(1, 4))),
    lambda _: lambda image, random: ImageOps.mirror(image),
)
"""What is drawn from; what is frequent, several times."""


def _edited_at_random(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the image after two to four ordinary steps."""
    for step in random.integers(0, len(_STEPS), int(random.integers(2, 5))).tolist():
        image = _STEPS[step](random)(image, random)
    return image


EDITED: Mapping[str, Mapping[str, Alteration]] = {
    "edited": {
        "contrast 1.3": _toned(1.3),
        "contrast 1.6": _toned(1.6),
        "S-shaped curve": _curved(6),
        "steep S-shaped curve": _curved(9),
        "gamma 1.6": lambda image, _: image.point([round(255 * (v / 255) ** 1.6) for v in range(256)] * 3),
        "1 % of the levels cut off": _cut_levels(1),
        "3 % of the levels cut off": _cut_levels(3),
        "saturation 1.6": _toned(1, 1.6),
        "grey, S-shaped curve": chained(_grey, _curved(7)),
        "sharpened 0.6 px, 100 %": sharpened(0.6, 100),
        "sharpened 1 px, 80 %": sharpened(1, 80),
        "local contrast 20 px, 35 %": sharpened(20, 35),
        "contrast, colour, sharpened": chained(_toned(1.25, 1.5), sharpened(1, 60)),
        "half size": _reduced,
        "half size, sharpened": chained(_reduced, sharpened(0.6, 100)),
        "half size, curve, sharpened": chained(_reduced, _curved(6), sharpened(0.6, 80)),
        "three quarters of the size": resized(0.75),
        "JPEG 85, nine tenths of the size": chained(saved("JPEG", 85), resized(0.9)),
        "JPEG 92, 0.83 of the size": chained(saved("JPEG", 92), resized(0.83, Image.Resampling.LANCZOS)),
        "0.72 of the size by OpenCV": _averaged(0.72),
        **{f"two to four at random, draw {draw}": _edited_at_random for draw in (1, 2, 3)},
    }
}
"""What people commonly do to good photographs: to be kept."""
