"""Training images replaced by bad ones: the kinds that the recipe drops, and a mix of them as a crawl has it.

All images come from one folder of photographs. A share of them, the same ones for every kind, is replaced; the others
stay files as they were.
"""

import io
import itertools
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Spoil = Callable[[Image.Image, int], Image.Image]
"""Makes a bad image of a photograph; its number selects strength and place in turn."""

CHARTS = ("charts", "logos", "documents")
"""Folders of images that are no photographs."""
SMALLEST = 256
GOOD, KEPT = "photographs", "kept"


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


def replaced_places(count: int, share: float) -> tuple[dict[int, int], int]:
    """Return which of so many files are replaced, each with its number, and the place of the one that is repeated."""
    order = [int(place) for place in np.random.default_rng(0).permutation(count)]
    return {place: number for number, place in enumerate(order[: round(share * count)])}, order[-1]


def kind_of(kind: str, number: int) -> str:
    """Return the kind of a replaced file: in a mix they take turns."""
    return KINDS[number % len(KINDS)] if kind == "mix" else kind


def replace(kind: str, share: float, files: Sequence[Path], folder: Path, negatives: Path) -> None:
    """Write the files into a new folder, with a share of them replaced by images of a kind of KINDS, or `mix` of all.

    Whatever is written anew is PNG, so that nothing but the kind itself differs. `negatives` has the folders CHARTS.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    replaced, last = replaced_places(len(files), share)
    drawn = itertools.cycle(_charts(negatives) if kind in ("charts", "mix") else [])
    for place, file in enumerate(files):
        number = replaced.get(place)
        if number is None:
            shutil.copy(file, folder / file.name)
            continue
        one = kind_of(kind, number)
        if one in SPOILS:
            with Image.open(file) as image:
                bad = SPOILS[one](image.convert("RGB"), number)
        elif one == "charts":
            bad = next(drawn)
        else:
            with Image.open(files[last]) as image:
                bad = image.convert("RGB")
        bad.save(folder / f"{file.stem}.png")


def count_by_kind(
    stems: Sequence[str], share: float, ledger: Iterable[Mapping[str, str | None]]
) -> dict[str, dict[str, int]]:
    """Return, by kind, how many images were kept and how many were dropped for each reason.

    Args:
        stems: The names without ending of the photographs, sorted, as `spoil.replace` got them.
        share: Of them that were replaced by the mix.
        ledger: The rows of the ledger, with `uri` and `reason`.
    """
    replaced, _ = replaced_places(len(stems), share)
    kinds = {stems[place]: kind_of("mix", number) for place, number in replaced.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in ledger:
        counts[kinds.get(Path(str(row["uri"])).stem, GOOD)][row["reason"] or KEPT] += 1
    return {kind: dict(count.most_common()) for kind, count in sorted(counts.items())}


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
