"""What happens to pictures on their way through the web: each a function of a picture and a generator."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]


def _saved(form: str, quality: int) -> Alteration:
    def alter(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, form, quality=quality)
        return Image.open(buffer).convert("RGB")

    return alter


def _resized(scale: float) -> Alteration:
    def alter(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        return picture.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)

    return alter


def cropped(share: float) -> Alteration:
    """Cuts `share` off each dimension in all, somewhere."""

    def alter(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = round(picture.width * (1 - share)), round(picture.height * (1 - share))
        left = int(random.integers(picture.width - width + 1))
        top = int(random.integers(picture.height - height + 1))
        return picture.crop((left, top, left + width, top + height))

    return alter


def _enhanced(kind: type, factor: float) -> Alteration:
    return lambda picture, _: kind(picture).enhance(factor)


def _gamma(exponent: float) -> Alteration:
    table = [round(255 * (level / 255) ** exponent) for level in range(256)] * 3
    return lambda picture, _: picture.point(table)


def _filtered(kernel: ImageFilter.Filter) -> Alteration:
    return lambda picture, _: picture.filter(kernel)


def _turned(how: Image.Transpose) -> Alteration:
    return lambda picture, _: picture.transpose(how)


def _captioned(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    written = picture.copy()
    font = ImageFont.load_default(max(8, picture.height // 20))
    place = (picture.width * random.uniform(0.02, 0.6), picture.height * random.uniform(0.02, 0.9))
    ImageDraw.Draw(written).text(place, "© A. Photographer", fill=(255, 255, 255), font=font)
    return written


def _framed(share: float, shade: int) -> Alteration:
    def alter(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        across, down = round(picture.width * share), round(picture.height * share)
        framed = Image.new("RGB", (picture.width + 2 * across, picture.height + 2 * down), (shade,) * 3)
        framed.paste(picture, (across, down))
        return framed

    return alter


ALTERATIONS: dict[str, Alteration] = {
    **{f"resize ×{scale}": _resized(scale) for scale in (0.25, 0.5, 0.75, 1.5, 2)},
    **{f"JPEG {quality}": _saved("JPEG", quality) for quality in (95, 75, 50, 20)},
    **{f"WebP {quality}": _saved("WEBP", quality) for quality in (80, 40)},
    "grey": lambda picture, _: picture.convert("L").convert("RGB"),
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
