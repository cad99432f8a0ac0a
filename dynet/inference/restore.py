"""`dynet restore`: pictures in, restored pictures out, each file whole or absent.

Of a picture there is in memory what was read, what becomes of it in the same depth, and one tile with its features.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.errors import PictureError, UsageError
from dynet.inference.banded_forward import run_in_bands
from dynet.inference.comparison import comparison
from dynet.inference.encoding import LIKE_INPUT, Encoding
from dynet.inference.images import Picture, read_picture, write_picture
from dynet.inference.inputs import Claims, Input, Naming
from dynet.inference.memory import choose_tile, give_back_memory, ran_out_of_memory, smaller_tile
from dynet.inference.progress import watched, work_of_a_pixel
from dynet.inference.tiling import Box, blended_rows, tile_boxes
from dynet.inference.tlc import use_local_statistics
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.runtime.cost import CostMeter

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
    """As `dynet.runtime.cost` measures it; None where it cannot be."""


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
    meter, claims = CostMeter(how.device, how.model), Claims(inputs, how.naming)
    for entry in inputs:
        try:
            yield _restore_file(entry, how, claims, meter, advance)
        except PictureError as error:
            yield Failed(entry.path, str(error))
        except MemoryError:  # decoded, or encoded, it is too large for what is left
            yield Failed(entry.path, f"{entry.path}: out of memory as it was read or written")


def _restore_file(entry: Input, how: Restoration, claims: Claims, meter: CostMeter, advance: Advance) -> Restored:
    picture = read_picture(entry.path)
    height, width = picture.colour.shape[:2]
    paths = how.naming.results(entry.target, how.encoding.suffix(picture, entry.path.suffix))
    sheet = how.naming.sheet(entry.target) if how.compare else None
    for path in [*paths, *([sheet] if sheet else [])]:
        claims.claim(entry, path)
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
    canvas = _PictureCanvas(picture)
    tile: int | None = None

    def call(nothing: Tensor) -> Tensor:
        nonlocal tile
        tile = _restore(canvas, variant, how, advance)
        return nothing

    try:
        _, cost = meter.measure(call, torch.empty(0))
    except PictureError as error:
        raise PictureError(f"{picture.name}: {error}") from error
    output = Output(variant.name, path, round(cost.seconds, 3), tile, cost.peak_bytes)
    return replace(picture, colour=canvas.restored), output


def restore_rgb(rgb: FloatRGB, variant: Variant, how: Restoration, advance: Advance = lambda _, __: None) -> FloatRGB:
    """rgb: (H, W, 3) in [0, 1] to its restoration by this variant, not clipped.

    Raises PictureError where memory does not suffice for the smallest tile, or the values are not finite.
    """
    canvas = _ArrayCanvas(rgb)
    _restore(canvas, variant, how, advance)
    return canvas.restored


class _Canvas(Protocol):
    """What a picture is read from in parts, and what its restoration is kept in."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""

    def crop(self, box: Box) -> FloatRGB:
        """(h, w, 3) in [0, 1]."""

    def keep(self, top: int, rows: FloatRGB) -> None:
        """rows: (n, W, 3), not clipped, from `top` on."""


class _PictureCanvas:
    """Of a picture's own depth and channels, so that no copy of it in float32 is needed."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.restored = np.empty_like(picture.colour)
        self.size = picture.colour.shape[0], picture.colour.shape[1]

    def crop(self, box: Box) -> FloatRGB:
        top, left, bottom, right = box
        return replace(self._picture, colour=self._picture.colour[top:bottom, left:right]).as_rgb()

    def keep(self, top: int, rows: FloatRGB) -> None:
        self.restored[top : top + len(rows)] = self._picture.with_rgb(rows).colour


class _ArrayCanvas:
    """Of float32, not clipped."""

    def __init__(self, rgb: FloatRGB) -> None:
        self._rgb = rgb
        self.restored: FloatRGB = np.empty_like(rgb)
        self.size = rgb.shape[0], rgb.shape[1]

    def crop(self, box: Box) -> FloatRGB:
        top, left, bottom, right = box
        return self._rgb[top:bottom, left:right]

    def keep(self, top: int, rows: FloatRGB) -> None:
        self.restored[top : top + len(rows)] = rows


def _restore(canvas: _Canvas, variant: Variant, how: Restoration, advance: Advance) -> int | None:
    """Restore what is on the canvas; returns the side of the tiles, None for a picture that was restored whole.

    Where memory runs out, the picture is begun again with half the tile.
    """
    height, width = canvas.size
    tile = how.tile if how.tile is not None else choose_tile(height, width, how.model.architecture, how.device)
    while True:
        tile = None if tile is not None and max(height, width) <= tile else tile
        try:
            with torch.inference_mode():
                for top, rows in _restored_rows(canvas, tile, variant, how, advance):
                    if not np.isfinite(rows).all():
                        raise PictureError(f"variant {variant.name} gives values that are not finite numbers")
                    canvas.keep(top, rows)
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
    canvas: _Canvas, tile: int | None, variant: Variant, how: Restoration, advance: Advance
) -> Iterator[tuple[int, FloatRGB]]:
    """(top, (rows, W, 3)) from top to bottom; under torch.inference_mode."""
    height, width = canvas.size
    side = tile or max(height, width)
    count = len(list(tile_boxes(height, width, side, side // OVERLAP)))
    work, done = work_of_a_pixel(how.model, variant), 0

    def restore(box: Box) -> Tensor:
        nonlocal done
        note = f"{variant.name}, tile {done + 1} of {count}" if count > 1 else variant.name
        picture = torch.from_numpy(canvas.crop(box).transpose(2, 0, 1)[None].copy()).to(how.device)
        work_of_tile = work * picture.shape[-2] * picture.shape[-1]
        with watched(how.model, work_of_tile, lambda part: advance(note, (done + part) / count)):
            restored: Tensor = how.model(picture, variant)
        done += 1
        return restored

    if count == 1:
        yield 0, restore((0, 0, height, width))[0].permute(1, 2, 0).cpu().numpy()
        return
    for top, rows in blended_rows(restore, height, width, side, side // OVERLAP):
        yield top, rows[0].permute(1, 2, 0).numpy()
