"""Alterations that images undergo on the web: functions of an image and a random generator."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]


def _saved(form: str, quality: int) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, form, quality=quality)
        return Image.open(buffer).convert("RGB")

    return alter


def _resized(scale: float) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)

    return alter


def cropped(share: float) -> Alteration:
    """Return an alteration that cuts `share` off each dimension, at a random position."""

    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        left = int(random.integers(image.width - width + 1))
        top = int(random.integers(image.height - height + 1))
        return image.crop((left, top, left + width, top + height))

    return alter


def _enhanced(kind: type, factor: float) -> Alteration:
    return lambda image, _: kind(image).enhance(factor)


def _gamma(exponent: float) -> Alteration:
    table = [round(255 * (level / 255) ** exponent) for level in range(256)] * 3
    return lambda image, _: image.point(table)


def _filtered(kernel: ImageFilter.Filter) -> Alteration:
    return lambda image, _: image.filter(kernel)


def _turned(method: Image.Transpose) -> Alteration:
    return lambda image, _: image.transpose(method)


def _captioned(image: Image.Image, random: np.random.Generator) -> Image.Image:
    written = image.copy()
    font = ImageFont.load_default(max(8, image.height // 20))
    place = (image.width * random.uniform(0.02, 0.6), image.height * random.uniform(0.02, 0.9))
    ImageDraw.Draw(written).text(place, "© A. Photographer", fill=(255, 255, 255), font=font)
    return written


def _framed(share: float, shade: int) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        across, down = round(image.width * share), round(image.height * share)
        framed = Image.new("RGB", (image.width + 2 * across, image.height + 2 * down), (shade,) * 3)
        framed.paste(image, (across, down))
        return framed

    return alter


ALTERATIONS: dict[str, Alteration] = {
    **{f"resize ×{scale}": _resized(scale) for scale in (0.25, 0.5, 0.75, 1.5, 2)},
    **{f"JPEG {quality}": _saved("JPEG", quality) for quality in (95, 75, 50, 20)},
    **{f"WebP {quality}": _saved("WEBP", quality) for quality in (80, 40)},
    "grey": lambda image, _: image.convert("L").convert("RGB"),
    "brightness +30 %": _enhanced(ImageEnhance.Brightness, 1.3),
    "brightness −30 %": _enhanced(ImageEnhance.Brightness, 0.7),
    "contrast ×1.4": _enhanced(ImageEnhance.Contrast, 1.4),
    "contrast ×0.6": _enhanced(ImageEnhance.Contrast, 0.6),
    "gamma 0.6": _gamma(0.6),
    "gamma 1.7": _gamma(1.7),
    "sharpened": _filtered(ImageFilter.UnsharpMask(2, 150, 0)),
    "blurred, σ 2": _filtered(ImageFilter.GaussianBlur(2)),
    "caption": _captioned,
    "white frame of 5 %": _framed(0.05, 255),
    "black frame of 5 %": _framed(0.05, 0),
    **{f"crop of {share:.0%}": cropped(share) for share in (0.02, 0.05, 0.1, 0.2)},
    "mirrored": _turned(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90°": _turned(Image.Transpose.ROTATE_90),
}
