"""`dynet restore`: pictures in, restored pictures out, each file whole or absent.

Of a picture there is in memory what was read, what becomes of it in the same depth, and one tile with its features.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.cost import CostMeter
from dynet.errors import PictureError, UsageError
from dynet.model import DyNet
from dynet.restoring.bands import run_in_bands
from dynet.restoring.comparison import comparison
from dynet.restoring.encoding import LIKE_INPUT, Encoding
from dynet.restoring.inputs import Input, Naming
from dynet.restoring.local_statistics import use_local_statistics
from dynet.restoring.memory import (
    DEFAULT_TILE as DEFAULT_TILE,
)
from dynet.restoring.memory import (
    choose_tile,
    give_back_memory,
    ran_out_of_memory,
    smaller_tile,
)
from dynet.restoring.pictures import Picture, read_picture, write_picture
from dynet.restoring.tiling import Box, blended_rows, tile_boxes
from dynet.restoring.work import watched, work_of_a_pixel
from dynet.variants import Variant

logger = logging.getLogger(__name__)

FloatRGB = npt.NDArray[np.float32]

OVERLAP = 8
"""Tiles overlap by their side divided by this."""


@dataclass(frozen=True, slots=True)
class Output:
    """What one variant made of a picture."""

    variant: str
    path: Path
    seconds: float
    """Of restoring, without reading and writing files."""
    tile: int | None
    """Side of the tiles in pixels; None if the picture was restored whole."""
    peak_bytes: int | None
    """As `dynet.cost` measures it; None where it cannot be."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One picture, by all variants."""

    input: Path
    width: int
    height: int
    outputs: tuple[Output, ...]
    sheet: Path | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be read, restored or written."""

    input: Path
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """How pictures are restored; the same for all of them."""

    model: DyNet
    """On the device; `prepare` has it run in bands."""
    variants: tuple[Variant, ...]
    device: torch.device
    tile: int | None = None
    """Side of the tiles in pixels; None chooses for each picture by the memory there is."""
    compare: bool = False
    overwrite: bool = False
    encoding: Encoding = LIKE_INPUT

    @property
    def naming(self) -> Naming:
        """How results are called."""
        names = tuple(variant.name for variant in self.variants)
        return Naming(encoding=self.encoding, variants=names, compare=self.compare)


Advance = Callable[[str, float], None]
"""Called as a picture is worked on: what is being done, and how much of the work on it is done by then, 0 to 1."""


def choose_variants(names: str, model: DyNet) -> tuple[Variant, ...]:
    """The variants of a comma-separated list, among those that the weights were trained with."""
    known = {variant.name: variant for variant in model.variants}
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            raise UsageError(f"--variants: these weights have no variant {name!r}, but {', '.join(known)}")
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--variants {names}: a variant is named twice")
    return tuple(known[name] for name in chosen)


def prepare(model: DyNet, kind: torch.dtype, local_statistics: int | None) -> None:
    """Make a network on its device ready to restore: in bands, computing in `kind`, perhaps with local statistics."""
    if local_statistics is None:
        run_in_bands(model, kind)
    else:
        use_local_statistics(model, local_statistics, kind)


def restore_all(inputs: Sequence[Input], how: Restoration, advance: Advance) -> Iterator[Restored | Failed]:
    """Restore each file; one that cannot be read, restored or written is reported, and the rest is done."""
    meter = CostMeter(how.device, how.model)
    for entry in inputs:
        try:
            yield _restore_file(entry, how, meter, advance)
        except PictureError as error:
            yield Failed(entry.path, str(error))
        except MemoryError:  # decoded, or encoded, it is too large for what is left
            yield Failed(entry.path, f"{entry.path}: out of memory as it was read or written")


def _restore_file(entry: Input, how: Restoration, meter: CostMeter, advance: Advance) -> Restored:
    picture = read_picture(entry.path)
    height, width = picture.colour.shape[:2]
    paths = how.naming.results(entry.target, how.encoding.suffix(picture, entry.path.suffix))
    sheet = how.naming.sheet(entry.target) if how.compare else None
    for path in [*paths, *([sheet] if sheet else [])]:
        if path.exists() and not how.overwrite:
            raise PictureError(f"{path} exists already; --overwrite replaces it")
    outputs, panels = [], [("input", picture)]
    for number, (variant, path) in enumerate(zip(how.variants, paths, strict=True)):

        def advance_file(note: str, done: float, number: int = number) -> None:
            advance(f"{entry.path.name} {note}", (number + done) / len(how.variants))

        restored, output = _by_variant(picture, variant, path, how, meter, advance_file)
        write_picture(path, restored, how.encoding)
        outputs.append(output)
        if sheet:
            panels.append((f"{variant.name}  {output.seconds:.1f} s", restored))
    if sheet:
        write_picture(sheet, comparison(panels))
    return Restored(entry.path, width, height, tuple(outputs), sheet)


def _by_variant(
    picture: Picture, variant: Variant, path: Path, how: Restoration, meter: CostMeter, advance: Advance
) -> tuple[Picture, Output]:
    samples = np.empty_like(picture.colour)
    tile: int | None = None

    def crop(box: Box) -> FloatRGB:
        top, left, bottom, right = box
        return replace(picture, colour=picture.colour[top:bottom, left:right]).as_rgb()

    def keep(top: int, rows: FloatRGB) -> None:
        samples[top : top + len(rows)] = picture.with_rgb(rows).colour

    def call(_: Tensor) -> Tensor:
        nonlocal tile
        tile = _restore(crop, keep, picture.colour.shape[:2], variant, how, advance)
        return _

    try:
        _, cost = meter.measure(call, torch.empty(0))
    except PictureError as error:
        raise PictureError(f"{picture.name}: {error}") from error
    output = Output(variant.name, path, round(cost.seconds, 3), tile, cost.peak_bytes)
    return replace(picture, colour=samples), output


def restore_rgb(rgb: FloatRGB, variant: Variant, how: Restoration, advance: Advance = lambda _, __: None) -> FloatRGB:
    """rgb: (H, W, 3) in [0, 1] to its restoration by this variant, not clipped.

    Raises PictureError where memory does not suffice for the smallest tile, or the values are not finite.
    """
    restored = np.empty_like(rgb)

    def crop(box: Box) -> FloatRGB:
        top, left, bottom, right = box
        return rgb[top:bottom, left:right]

    def keep(top: int, rows: FloatRGB) -> None:
        restored[top : top + len(rows)] = rows

    _restore(crop, keep, rgb.shape[:2], variant, how, advance)
    return restored


def _restore(
    crop: Callable[[Box], FloatRGB],
    keep: Callable[[int, FloatRGB], None],
    size: tuple[int, ...],
    variant: Variant,
    how: Restoration,
    advance: Advance,
) -> int | None:
    """Restore what `crop` gives of a picture of this size, hand rows on to `keep`; returns the tile, None for whole.

    Where memory runs out, the picture is begun again with half the tile.
    """
    height, width = size
    tile = how.tile if how.tile is not None else choose_tile(height, width, how.model.architecture, how.device)
    while True:
        tile = None if tile is not None and max(height, width) <= tile else tile
        try:
            with torch.inference_mode():
                for top, rows in _restored_rows(crop, height, width, tile, variant, how, advance):
                    if not np.isfinite(rows).all():
                        raise PictureError(f"variant {variant.name} gives values that are not finite numbers")
                    keep(top, rows)
            return tile
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            smaller = smaller_tile(height, width, tile)
            lacking = f"out of memory on {how.device} with {f'tiles of {tile}' if tile else 'the whole picture'}"
            if smaller is None:
                raise PictureError(lacking) from error
        # After the except clause, which keeps the tensors of the call that failed.
        logger.warning("%s; going on with tiles of %d", lacking, smaller)
        give_back_memory(how.device)
        tile = smaller


def _restored_rows(
    crop: Callable[[Box], FloatRGB],
    height: int,
    width: int,
    tile: int | None,
    variant: Variant,
    how: Restoration,
    advance: Advance,
) -> Iterator[tuple[int, FloatRGB]]:
    """(top, (rows, W, 3)) from top to bottom; under torch.inference_mode."""
    side = tile or max(height, width)
    boxes = list(tile_boxes(height, width, side, side // OVERLAP))
    work, number = work_of_a_pixel(how.model, variant), 0

    def restore(box: Box) -> Tensor:
        nonlocal number
        note = f"{variant.name}, tile {number + 1} of {len(boxes)}" if len(boxes) > 1 else variant.name
        picture = torch.from_numpy(crop(box).transpose(2, 0, 1)[None].copy()).to(how.device)
        work_of_tile = work * picture.shape[-2] * picture.shape[-1]
        with watched(how.model, work_of_tile, lambda done: advance(note, (number + done) / len(boxes))):
            restored: Tensor = how.model(picture, variant)
        number += 1
        return restored

    if len(boxes) == 1:
        yield 0, restore(boxes[0])[0].permute(1, 2, 0).cpu().numpy()
        return
    for top, rows in blended_rows(restore, height, width, side, side // OVERLAP):
        yield top, rows[0].permute(1, 2, 0).numpy()
