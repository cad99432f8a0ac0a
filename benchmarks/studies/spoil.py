"""Training images replaced by bad ones: the kinds that the recipe drops, and a mix of them as a crawl has it.

All images come from one folder of photographs. A share of them, the same ones for every kind, is replaced; the others
stay files as they were.
"""

import io
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Spoil = Callable[[Image.Image, int], Image.Image]
"""Makes a bad image of a photograph; its number selects strength and place in turn."""

CHARTS = ("charts", "logos", "documents")
"""Folders of images that are no photographs."""
SMALLEST = 256


def enlarged(image: Image.Image, number: int) -> Image.Image:
    """Enlarge from half or a third of the size, by one of three kernels."""
    factor = (2, 3)[number % 2]
    small = image.resize((image.width // factor, image.height // factor), Image.Resampling.LANCZOS)
    kernels = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)
    return small.resize(image.size, kernels[number % 3])


def blurred(image: Image.Image, number: int) -> Image.Image:
    """Blur by a Gaussian of 1.5, 2 or 3 pixels."""
    return image.filter(ImageFilter.GaussianBlur((1.5, 2, 3)[number % 3]))


def recompressed(image: Image.Image, number: int) -> Image.Image:
    """Compress as JPEG of quality 10 to 30."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=(10, 15, 20, 25, 30)[number % 5])
    return Image.open(buffer).convert("RGB")


def collage(image: Image.Image, number: int) -> Image.Image:
    """Put four small copies, two of them mirrored, on one sheet, with a white gutter in every other one."""
    gutter = 6 if number % 2 else 0
    sheet = Image.new("RGB", image.size, (255, 255, 255))
    size = ((image.width - gutter) // 2, (image.height - gutter) // 2)
    small = image.resize(size, Image.Resampling.LANCZOS)
    mirrored = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for place, part in enumerate((small, mirrored, mirrored, small)):
        sheet.paste(part, (place % 2 * (size[0] + gutter), place // 2 * (size[1] + gutter)))
    return sheet


def watermarked(image: Image.Image, number: int) -> Image.Image:
    """Write a name all over it, in white of 30 to 60 per cent."""
    mark = Image.new("RGBA", image.size, (255, 255, 255, 0))
    font = ImageFont.load_default(size=22)
    opacity = (77, 115, 153)[number % 3]
    draw = ImageDraw.Draw(mark)
    for line, top in enumerate(range(0, image.height, 60)):
        for left in range(-(line % 2) * 70, image.width, 140):
            draw.text((left, top), "STOCK PHOTO", (255, 255, 255, opacity), font)
    return Image.alpha_composite(image.convert("RGBA"), mark).convert("RGB")


SPOILS: dict[str, Spoil] = {
    "enlarged": enlarged,
    "blurred": blurred,
    "recompressed": recompressed,
    "collages": collage,
    "watermarked": watermarked,
}
KINDS = (*SPOILS, "charts", "repeated")
"""`charts` are plots, logos and scanned pages; `repeated` is one photograph again and again."""


def replace(kind: str, share: float, files: Sequence[Path], folder: Path, negatives: Path) -> None:
    """Write the files into a new folder, with a share of them replaced by images of a kind of KINDS, or `mix` of all.

    Whatever is written anew is PNG, so that nothing but the kind itself differs. `negatives` has the folders CHARTS.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    order = np.random.default_rng(0).permutation(len(files))
    replaced = {int(place): number for number, place in enumerate(order[: round(share * len(files))])}
    drawn = itertools.cycle(_charts(negatives) if kind in ("charts", "mix") else [])
    for place, file in enumerate(files):
        number = replaced.get(place)
        if number is None:
            shutil.copy(file, folder / file.name)
            continue
        one = KINDS[number % len(KINDS)] if kind == "mix" else kind
        if one in SPOILS:
            with Image.open(file) as image:
                bad = SPOILS[one](image.convert("RGB"), number)
        elif one == "charts":
            bad = next(drawn)
        else:
            with Image.open(files[int(order[-1])]) as image:
                bad = image.convert("RGB")
        bad.save(folder / f"{file.stem}.png")


def _charts(negatives: Path) -> list[Image.Image]:
    """Return plots, logos and pages in turn, enlarged by whole numbers where they are too small for a patch."""
    folders = [sorted((negatives / name).iterdir()) for name in CHARTS]
    found = []
    for file in (file for group in itertools.zip_longest(*folders) for file in group if file is not None):
        with Image.open(file) as opened:
            image = opened.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image).convert("RGB")
        times = -(-SMALLEST // min(image.size))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
        image.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
        if min(image.size) >= SMALLEST:
            found.append(image)
    return found
