"""Photographs with something put over or around them, enlarged or damaged: kinds at several strengths, with controls.

The photographs are those of ../shared/data, as crops in their own resolution. A version is one alteration of one
photograph, encoded as the control is: as PNG, as JPEG or as WebP, by turns. Half of the photographs is for limits, the
other for judging (`is_tuning` of labelled_sets.py, by the name of the photograph, so no photograph is in both halves).
"""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from harms import HARMS, Alteration, Pixels, chained, font, on_pixels, resized
from labelled_sets import data_folder, is_tuning
from ordinary_edits import sharpened
from PIL import Image, ImageDraw

LARGEST = 1280, 960
"""Largest width and height in px of the crops."""
EVERY_SMALL = 6
"""Which of BSDS500's train and test are altered, too: every sixth."""
CONTROL = "control"
Kind = Mapping[str, Alteration]


@dataclass(frozen=True, slots=True)
class Version:
    """One alteration of one photograph."""

    kind: str
    strength: str
    source: str
    """Name of the photograph's file, which decides the half."""
    encoder: str
    encoded: bytes


def sources(data: Path) -> list[Path]:
    """Return the photographs that are altered."""
    small = [path for part in ("train", "test") for path in sorted((data / f"train/BSDS500/{part}").glob("*.jpg"))]
    return [*sorted((data / "photos").iterdir()), *small[::EVERY_SMALL]]


def versions(path: Path, kinds: Mapping[str, Kind] | None = None) -> Iterator[Version]:
    """Yield the control of a photograph, then every strength of every kind."""
    image = _crop(path)
    number = int(hashlib.sha256(path.name.encode()).hexdigest()[1:9], 16)
    random = np.random.default_rng(number)
    encoder = ("PNG", "JPEG", "WEBP")[number % 3]
    yield Version(CONTROL, "", path.name, encoder, _encoded(image, encoder))
    for kind, strengths in (KINDS if kinds is None else kinds).items():
        for strength, alter in strengths.items():
            image.info["source"] = path
            yield Version(kind, strength, path.name, encoder, _encoded(alter(image, random), encoder))


def _crop(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    width, height = (min(side, most) for side, most in zip(image.size, LARGEST, strict=True))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _encoded(image: Image.Image, encoder: str) -> bytes:
    buffer = io.BytesIO()
    options = {"PNG": {"compress_level": 1}, "JPEG": {"quality": 92}, "WEBP": {"quality": 90, "method": 2}}
    image.save(buffer, encoder, **options[encoder])
    return buffer.getvalue()


def _others(image: Image.Image, random: np.random.Generator, count: int) -> list[Image.Image]:
    """Return other photographs of the same half and folder."""
    path = image.info["source"]
    near = [
        other
        for other in sorted(path.parent.iterdir())
        if other != path and other.suffix.lower() == ".jpg" and is_tuning(other.name) == is_tuning(path.name)
    ]
    return [_crop(near[int(index)]) for index in random.choice(len(near), count, replace=False)]


def _collage(cells: Sequence[tuple[float, float, float, float]], gutter: float, shade: int) -> Alteration:
    """Return an alteration that puts the photograph and others into cells: left, top, width and height as shares."""

    def alter(image: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = image.size
        half = round(width * gutter / 2)
        sheet = Image.new("RGB", image.size, (shade,) * 3)
        for part, (x, y, w, h) in zip([image, *_others(image, random, len(cells) - 1)], cells, strict=True):
            left, top, right, bottom = (
                round(width * x) + half * (x > 0),
                round(height * y) + half * (y > 0),
                round(width * (x + w)) - half * (x + w < 1),
                round(height * (y + h)) - half * (y + h < 1),
            )
            side = right - left, bottom - top
            scale = max(side[0] / part.width, side[1] / part.height)
            part = part.resize((max(side[0], round(part.width * scale)), max(side[1], round(part.height * scale))))
            sheet.paste(part.crop((0, 0, *side)), (left, top))
        return sheet

    return alter


def _bars(share: float, shade: int, sides: str) -> Alteration:
    """Return an alteration that lays even bars over sides of the image: t, b, l and r."""

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        out = image.copy()
        width, height = image.size
        across, down = round(width * share), round(height * share)
        boxes = {
            "t": (0, 0, width, down),
            "b": (0, height - down, width, height),
            "l": (0, 0, across, height),
            "r": (width - across, 0, width, height),
        }
        for side in sides:
            out.paste((shade,) * 3, boxes[side])
        return out

    return alter


def _rotated(degrees: float, shade: int) -> Alteration:
    return lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(shade,) * 3)


def _rounded(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Return the image with white corners outside of a tenth of the width."""
    inside = Image.new("L", image.size, 0)
    shape = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(inside).rounded_rectangle(shape, image.width // 10, fill=255)
    return Image.composite(image, Image.new("RGB", image.size, "white"), inside)


def _desktop(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Return a screenshot of a desktop with the photograph as its background: a task bar, icons and a window."""
    out = image.copy()
    draw = ImageDraw.Draw(out)
    width, height = out.size
    draw.rectangle((0, height - height // 22, width, height), fill=(32, 34, 38))
    draw.text((width * 0.93, height - height // 26), "14:32", "white", font(height / 40))
    for row in range(6):
        x, y = width // 60, height // 30 + row * height // 9
        draw.rounded_rectangle((x, y, x + height // 18, y + height // 18), 6, fill=(60 + 30 * row, 120, 200 - 25 * row))
        draw.text((x, y + height // 17), "Folder", "white", font(height / 60))
    draw.rectangle((width // 2, height // 5, width * 9 // 10, height * 7 // 10), fill=(246, 246, 246))
    draw.rectangle((width // 2, height // 5, width * 9 // 10, height // 5 + height // 25), fill=(210, 214, 220))
    for line in range(9):
        at = (width // 2 + width // 60, height // 5 + height // 18 + line * height // 22)
        draw.text(at, "Documents   12 kB   yesterday", (40, 40, 40), font(height / 45))
    return out


def _tiled(alpha: float, period: float) -> Alteration:
    """Return an alteration that lays a mark without text over the image, again and again: a ring with a cross."""

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
        draw = ImageDraw.Draw(layer)
        ink = (255, 255, 255, round(255 * alpha))
        step = round(image.height * period)
        size, line = round(step * 0.3), max(1, step // 40)
        for y in range(step // 2, image.height, step):
            for x in range(step // 2, image.width, step):
                draw.ellipse((x - size, y - size, x + size, y + size), outline=ink, width=line)
                draw.line((x - size, y - size, x + size, y + size), fill=ink, width=line)
                draw.line((x - size, y + size, x + size, y - size), fill=ink, width=line)
        return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")

    return alter


def _enlarged(scale: float, kernel: Image.Resampling) -> Alteration:
    """Return an alteration that enlarges the middle of the image to the size of the whole."""

    def alter(image: Image.Image, _: np.random.Generator) -> Image.Image:
        width, height = round(image.width / scale), round(image.height / scale)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height)).resize(image.size, kernel)

    return alter


def _moved(length: int, degrees: float) -> Alteration:
    """Return an alteration that blurs along a line, as a moving camera does."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), degrees, 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length), flags=cv2.INTER_LINEAR), np.float32)
    kernel /= kernel.sum()
    return on_pixels(lambda pixels: np.asarray(cv2.filter2D(pixels, -1, kernel), np.uint8))


def _median(size: int) -> Alteration:
    return on_pixels(lambda pixels: np.asarray(cv2.medianBlur(pixels, size), np.uint8))


def _bilateral(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.bilateralFilter(pixels, 9, 60, 60), np.uint8)


_TWO = ((0, 0, 0.5, 1), (0.5, 0, 0.5, 1))
_STACKED = ((0, 0, 1, 0.5), (0, 0.5, 1, 0.5))
_FOUR = ((0, 0, 0.5, 0.5), (0.5, 0, 0.5, 0.5), (0, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5))
_THREE = ((0, 0, 0.64, 1), (0.64, 0, 0.36, 0.5), (0.64, 0.5, 0.36, 0.5))
_NINE, _TWELVE = ([(x / w, y / 3, 1 / w, 1 / 3) for y in range(3) for x in range(w)] for w in (3, 4))
_KERNELS = {
    "nearest": (Image.Resampling.NEAREST, (1.25, 1.5, 2, 3, 4)),
    "bilinear": (Image.Resampling.BILINEAR, (1.25, 4 / 3, 1.5, 2, 4)),
    "bicubic": (Image.Resampling.BICUBIC, (1.25, 4 / 3, 1.5, 2)),
    "Lanczos": (Image.Resampling.LANCZOS, (1.25, 4 / 3, 1.5, 2)),
}
KINDS: Mapping[str, Kind] = {
    "collage": {
        "two": _collage(_TWO, 0, 0),
        "two, stacked": _collage(_STACKED, 0, 0),
        "four": _collage(_FOUR, 0, 0),
        "three": _collage(_THREE, 0, 0),
    },
    "collage with gutters": {
        "two, white 1 %": _collage(_TWO, 0.01, 255),
        "two, stacked, black 1 %": _collage(_STACKED, 0.01, 0),
        "four, white 0.5 %": _collage(_FOUR, 0.005, 255),
        "three, grey 1.5 %": _collage(_THREE, 0.015, 128),
    },
    "bars": {
        "black 2 %": _bars(0.02, 0, "tb"),
        "black 4 %": _bars(0.04, 0, "tb"),
        "black 10 %": _bars(0.1, 0, "tb"),
        "black sides 3 %": _bars(0.03, 0, "lr"),
        "white 3 %": _bars(0.03, 255, "tb"),
        "white below 5 %": _bars(0.05, 255, "b"),
        "grey around 2 %": _bars(0.02, 128, "tblr"),
    },
    "blurred sides": {name: HARMS[name] for name in ("blurred sides", "blurred above and below")},
    "mirrored sides": {name: HARMS[name] for name in ("mirrored sides",)},
    "page": {**{name: HARMS[name] for name in ("page, half", "page, 70 %", "dark page, 60 %")}, "desktop": _desktop},
    "corners": {
        "rotated by 3°, black": _rotated(3, 0),
        "rotated by 7°, white": _rotated(-7, 255),
        "rotated by 30°, grey": _rotated(30, 128),
        "rounded, white": _rounded,
    },
    "few colours": {name: HARMS[name] for name in ("256 colours", "64 colours", "32 colours")},
    **{
        f"{name} enlargement": {f"×{scale:.3g}": _enlarged(scale, kernel) for scale in scales}
        for name, (kernel, scales) in _KERNELS.items()
    },
    "sharpened hard": {
        "1 px, 300 %": sharpened(1, 300),
        "2 px, 200 %": sharpened(2, 200),
        "2 px, 400 %": sharpened(2, 400),
    },
    "HDR-like": {"HDR-like": HARMS["HDR-like"]},
    "motion": {"9 px": _moved(9, 0), "15 px": _moved(15, 90), "21 px": _moved(21, 30)},
    "smoothed": {"median 5": _median(5), "median 7": _median(7), "bilateral": on_pixels(_bilateral)},
    "correlated noise": {"σ 25": HARMS["correlated noise 25"]},
    "tiled marks without text": {"25 %": _tiled(0.25, 0.2), "45 %": _tiled(0.45, 0.25)},
    "compressed, resized": {name: HARMS[name] for name in ("JPEG 10, ×0.87",)}
    | {"JPEG 30, ×0.87": chained(HARMS["JPEG 30, then 95"], resized(0.87))},
    "mosaic": {"3×3": _collage(_NINE, 0, 0), "4×3": _collage(_TWELVE, 0, 0)},
}


def main() -> None:
    """Write every version to a folder, to look at them."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, help="photographs; all by default")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in sources(data_folder())[: options.count]:
        for version in versions(path):
            name = "__".join((version.kind, version.strength, Path(version.source).stem))
            (options.folder / f"{name}.{version.encoder.lower()}").write_bytes(version.encoded)


if __name__ == "__main__":
    main()
