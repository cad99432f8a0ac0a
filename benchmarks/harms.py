"""More alterations: what is put over or around a photograph, and what damages or enlarges it.

Functions of an image and a random generator, as in alterations.py.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]
Pixels = NDArray[np.uint8]


def font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of a height in px."""
    return ImageFont.load_default(max(8, round(height)))


def on_pixels(function: Callable[[Pixels], Pixels]) -> Alteration:
    """Return an alteration that applies a function of (H, W, 3) uint8."""
    return lambda image, _: Image.fromarray(function(np.asarray(image)))


def chained(*steps: Alteration) -> Alteration:
    """Return an alteration that applies several in order."""

    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        for step in steps:
            image = step(image, random)
        return image

    return alter


def saved(form: str, quality: int) -> Alteration:
    """Return an alteration that saves an image lossily."""

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, form, quality=quality)
        return Image.open(buffer).convert("RGB")

    return alter


def resized(scale: float, kernel: Image.Resampling = Image.Resampling.BICUBIC) -> Alteration:
    """Return an alteration that resizes."""
    return lambda image, _: image.resize((round(image.width * scale), round(image.height * scale)), kernel)


def _caption_bar(dark: bool, over: bool) -> Alteration:
    fill, ink = ((0, 0, 0), (255, 255, 255)) if dark else ((255, 255, 255), (0, 0, 0))

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        bar = max(16, image.height // 9)
        out = Image.new("RGB", (image.width, image.height + (0 if over else bar)), fill)
        out.paste(image, (0, 0))
        draw = ImageDraw.Draw(out)
        draw.rectangle((0, out.height - bar, out.width, out.height), fill=fill)
        place = (image.width * 0.05, out.height - bar * 0.85)
        draw.text(place, "A caption that tells a story", fill=ink, font=font(bar * 0.6))
        return out

    return alter


def _marked(text: str, size: float, alpha: float, tiled: bool, place: tuple[float, float] = (0.5, 0.5)) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
        draw = ImageDraw.Draw(layer)
        ink = (255, 255, 255, round(255 * alpha))
        if tiled:
            step = image.height // 5
            for number, y in enumerate(range(0, image.height, step)):
                for x in range(-step, image.width, 2 * step):
                    draw.text((x + number % 2 * step, y), text, fill=ink, font=font(image.height * size))
        else:
            at = (image.width * place[0], image.height * place[1])
            draw.text(at, text, fill=ink, font=font(image.height * size), anchor="mm")
        return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")

    return alter


def _logo(image: Image.Image, _: np.random.Generator) -> Image.Image:
    out = image.copy()
    side = image.height // 8
    left, top = image.width - side - side // 4, image.height - side - side // 4
    draw = ImageDraw.Draw(out)
    draw.ellipse((left, top, left + side, top + side), fill=(200, 30, 40))
    draw.text((left + side / 2, top + side / 2), "N7", fill="white", font=font(side * 0.5), anchor="mm")
    return out


def _meme(image: Image.Image, _: np.random.Generator) -> Image.Image:
    out = image.copy()
    draw = ImageDraw.Draw(out)
    for y, text in ((0.03, "WHEN THE BUILD IS GREEN"), (0.85, "AND NOBODY LOOKS")):
        stroke = max(1, image.height // 200)
        at = (image.width / 2, image.height * y)
        draw.text(at, text, "white", font(image.height / 11), "ma", stroke_width=stroke, stroke_fill="black")
    return out


def _stamped(image: Image.Image, _: np.random.Generator) -> Image.Image:
    out = image.copy()
    at = (image.width * 0.97, image.height * 0.96)
    ImageDraw.Draw(out).text(at, "12.08.2019 14:32", fill=(255, 140, 20), font=font(image.height / 24), anchor="rs")
    return out


def _page(share: float, dark: bool) -> Alteration:
    paper, ink = ((24, 26, 30), (205, 205, 205)) if dark else ((250, 250, 250), (60, 60, 60))

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        width, height = round(image.width / share), round(image.height / share)
        out = Image.new("RGB", (width, height), paper)
        draw = ImageDraw.Draw(out)
        draw.rectangle((0, 0, width, height // 14), fill=(45, 62, 80))
        draw.text((width // 50, height // 60), "My photo page   Home  Albums  About", "white", font(height / 40))
        x, y = round((width - image.width) * 0.25), round((height - image.height) * 0.55)
        out.paste(image, (x, y))
        for line in range(14):
            place = (x + image.width + width // 50, y + line * height // 28)
            draw.text(place, "Lorem ipsum dolor", fill=ink, font=font(height / 60))
        draw.text((x, y + image.height + height // 100), "Comments (12)  Like  Share", ink, font(height / 50))
        return out

    return alter


def _sides(kind: str, share: float, *, across: bool = True) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        pixels = np.asarray(image)
        pixels = pixels if across else np.ascontiguousarray(pixels.swapaxes(0, 1))
        height, width = pixels.shape[:2]
        side = round(width * share)
        if kind == "blurred":
            wide = cv2.resize(pixels, (width + 2 * side, round(height * (1 + 2 * share))))
            top = (wide.shape[0] - height) // 2
            out = cv2.GaussianBlur(wide[top : top + height], (0, 0), width / 40)
            out[:, side : side + width] = pixels
        else:
            border = cv2.BORDER_REFLECT if kind == "mirrored" else cv2.BORDER_CONSTANT
            colour = (235, 235, 235) if kind == "light" else (0, 0, 0)
            out = cv2.copyMakeBorder(pixels, 0, 0, side, side, border, value=colour)
        return Image.fromarray(out if across else np.ascontiguousarray(out.swapaxes(0, 1)))

    return alter


def _letterboxed(share: float) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        pixels = np.asarray(image).copy()
        bar = round(image.height * share)
        pixels[:bar] = pixels[-bar:] = 0
        return Image.fromarray(pixels)

    return alter


def _noisy(sigma: float, *, grain: float = 0, grey: bool = False) -> Alteration:
    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        pixels = np.asarray(image).astype(np.float32)
        noise = random.normal(0, 1, (*pixels.shape[:2], 1 if grey else 3)).astype(np.float32)
        if grain:
            noise = cv2.GaussianBlur(noise, (0, 0), grain).reshape(noise.shape)
        noise *= sigma / noise.std()
        return Image.fromarray(np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8))

    return alter


def _enlarged_crop(share: float, scale: float, kernel: Image.Resampling) -> Alteration:
    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        left, top = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
        size = (round(width * scale), round(height * scale))
        return image.crop((left, top, left + width, top + height)).resize(size, kernel)

    return alter


def _hdr(pixels: Pixels) -> Pixels:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(4.0, (8, 8)).apply(lab[..., 0])
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.float32)
    rgb += 0.8 * (rgb - cv2.GaussianBlur(rgb, (0, 0), 3))
    return np.asarray(np.clip(rgb, 0, 255), np.uint8)


def _sepia(pixels: Pixels) -> Pixels:
    matrix = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return np.asarray(np.clip(pixels @ matrix.T, 0, 255), np.uint8)


def _recoloured(pixels: Pixels) -> Pixels:
    return np.asarray(np.clip(pixels * np.array([1.25, 1.0, 0.7]) + [10, 0, -5], 0, 255), np.uint8)


def _vignetted(pixels: Pixels) -> Pixels:
    y, x = (np.linspace(-1, 1, side) for side in pixels.shape[:2])
    falloff = 1 - 0.75 * np.clip(np.hypot(y[:, None], x[None]) - 0.45, 0, 1)
    return np.asarray(pixels * falloff[..., None], np.uint8)


def _motion(length: int) -> Callable[[Pixels], Pixels]:
    kernel = np.full((1, length), 1 / length, np.float32)
    return lambda pixels: np.asarray(cv2.filter2D(pixels, -1, kernel), np.uint8)


def hidden(how: str, share: float) -> Alteration:
    """Return an alteration that pixelates, blurs or covers a rectangle of a share of each side, somewhere."""

    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        size = round(image.width * share), round(image.height * share)
        left, top = (int(random.integers(own - part + 1)) for own, part in zip(image.size, size, strict=True))
        part = image.crop((left, top, left + size[0], top + size[1]))
        block = max(8, min(image.size) // 60)
        if how == "pixelated":
            part = part.reduce(block).resize(size, Image.Resampling.NEAREST)
        elif how == "blurred":
            part = part.filter(ImageFilter.GaussianBlur(block / 2))
        else:
            part = part.resize((1, 1), Image.Resampling.BOX).resize(size)
        altered = image.copy()
        altered.paste(part, (left, top))
        return altered

    return alter


def _collage(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the picture with a strip of three other ones at its right: noise at several scales stands for these."""
    strip = image.width // 3
    out = Image.new("RGB", (image.width + strip, image.height))
    out.paste(image, (0, 0))
    for number in range(3):
        grains = [random.normal(0, 40, (3 * 2**k, 2 * 2**k, 3)).astype(np.float32) for k in range(6)]
        size = (strip, -(-image.height // 3))
        scene = 120 + sum(
            cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC) * 0.6**k for k, grain in enumerate(grains)
        )
        out.paste(Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)), (image.width, number * size[1]))
    return out


def _quantised(colours: int, dithered: bool) -> Alteration:
    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        reduced = image.quantize(colours)
        if dithered:  # Pillow dithers only with a palette that is given
            reduced = image.quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        return reduced.convert("RGB")

    return alter


_KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}
_TILED = _marked("stock photo", 1 / 16, 0.25, tiled=True)
HARMS: dict[str, Alteration] = {
    "caption bar over, dark": _caption_bar(True, True),
    "caption bar over, light": _caption_bar(False, True),
    "caption bar below, dark": _caption_bar(True, False),
    "caption bar below, light": _caption_bar(False, False),
    "tiled mark 25 %": _TILED,
    "tiled mark 45 %": _marked("stock photo", 1 / 16, 0.45, tiled=True),
    "small tiled mark 30 %": _marked("© agency", 1 / 30, 0.3, tiled=True),
    "centred mark 25 %": _marked("SAMPLE", 1 / 6, 0.25, tiled=False),
    "centred mark 45 %": _marked("SAMPLE", 1 / 6, 0.45, tiled=False),
    "signature": _marked("J. Doe", 1 / 24, 0.7, tiled=False, place=(0.88, 0.94)),
    "logo": _logo,
    "meme": _meme,
    "date stamp": _stamped,
    **{f"{count} colours": _quantised(count, False) for count in (256, 64, 32)},
    "64 colours, dithered": _quantised(64, True),
    "page, half": _page(0.5, False),
    "page, 70 %": _page(0.7, False),
    "dark page, 60 %": _page(0.6, True),
    "blurred sides": _sides("blurred", 0.22),
    "blurred above and below": _sides("blurred", 0.15, across=False),
    "mirrored sides": _sides("mirrored", 0.22),
    "black sides": _sides("black", 0.22),
    "light sides": _sides("light", 0.15),
    "letterbox beside 8 %": _sides("black", 0.08, across=False),
    "letterbox over 4 %": _letterboxed(0.04),
    "letterbox over 10 %": _letterboxed(0.1),
    "collage": _collage,
    **{f"noise {sigma}": _noisy(sigma) for sigma in (5, 10, 25)},
    "grey noise 10": _noisy(10, grey=True),
    "correlated noise 10": _noisy(10, grain=1),
    "correlated noise 25": _noisy(25, grain=1),
    **{f"median {size}": on_pixels(lambda p, size=size: cv2.medianBlur(p, size)) for size in (3, 7)},
    "bilateral": on_pixels(lambda p: cv2.bilateralFilter(p, 9, 60, 60)),
    "blurred, σ 1": lambda image, _: image.filter(ImageFilter.GaussianBlur(1)),
    "motion 9": on_pixels(_motion(9)),
    "sharpened hard": lambda image, _: image.filter(ImageFilter.UnsharpMask(2, 400, 0)),
    "HDR-like": on_pixels(_hdr),
    "sepia": on_pixels(_sepia),
    "recoloured": on_pixels(_recoloured),
    "vignette": on_pixels(_vignetted),
    **{f"{name} ×{s}": resized(s, kernel) for name, kernel in _KERNELS.items() for s in (1.25, 1.5, 2)},
    "crop of 10 %, ×1.3": _enlarged_crop(0.1, 1.3, Image.Resampling.BICUBIC),
    "crop of 20 %, ×1.6": _enlarged_crop(0.2, 1.6, Image.Resampling.LANCZOS),
    "crop of 30 %, ×2": _enlarged_crop(0.3, 2, Image.Resampling.BICUBIC),
    **{f"JPEG {q}, then 95": chained(saved("JPEG", q), saved("JPEG", 95)) for q in (10, 30, 50, 70)},
    "JPEG 10, ×0.87": chained(saved("JPEG", 10), resized(0.87)),
    "AVIF 50": saved("AVIF", 50),
    "WebP 20": saved("WEBP", 20),
    "tiled mark, ×1.3": chained(_TILED, resized(1.3)),
    "noise 15, ×1.3": chained(resized(1.3), _noisy(15)),
    "blurred, ×1.2": chained(lambda image, _: image.filter(ImageFilter.GaussianBlur(1.2)), resized(1.2)),
    "64 colours, ×1.3": chained(_quantised(64, False), resized(1.3)),
    **{
        f"{how} part, {share:.0%}": hidden(how, share)
        for how in ("pixelated", "blurred", "covered")
        for share in (0.2, 0.4)
    },
    "haze": lambda image, _: Image.blend(image, Image.new("RGB", image.size, (215, 220, 225)), 0.5),
}
