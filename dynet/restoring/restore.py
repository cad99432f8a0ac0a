"""`dynet restore`: pictures and folders in, restored pictures out, each file whole or absent."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dynet.errors import PictureError, UsageError
from dynet.model import DyNet
from dynet.restoring.inputs import Input
from dynet.restoring.pictures import Picture, read_picture, write_picture
from dynet.restoring.tiling import run_tiled
from dynet.sheet import labelled_sheet
from dynet.variants import Variant

# A tile of 512 pixels takes about 2 GB of memory at the default width, in float32.
DEFAULT_TILE = 512


@dataclass(frozen=True, slots=True)
class Restored:
    """One picture restored by one variant."""

    input: Path
    variant: str
    output: Path
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be read or written."""

    input: Path
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """How pictures are restored; the same for all of them."""

    model: DyNet
    variants: tuple[Variant, ...]
    device: torch.device
    tile: int
    compare: bool
    overwrite: bool


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


def restore_all(inputs: Sequence[Input], how: Restoration) -> Iterator[Restored | Failed]:
    """Restore each file; one that cannot be read or written is reported, and the rest is done."""
    for entry in inputs:
        try:
            yield from _restore_file(entry, how)
        except PictureError as error:
            yield Failed(entry.path, str(error))


def _restore_file(entry: Input, how: Restoration) -> list[Restored]:
    picture = read_picture(entry.path)
    outputs = _output_paths(entry, picture, how)
    sheet = entry.target.with_suffix(".compare.png")
    if not how.overwrite:
        for path in [*outputs, *([sheet] if how.compare else [])]:
            if path.exists():
                raise PictureError(f"{path} exists already; --overwrite replaces it")
    height, width = picture.colour.shape[:2]
    results, columns, labels = [], [picture.as_levels()], ["input"]
    for variant, path in zip(how.variants, outputs, strict=True):
        began = time.perf_counter()
        restored = picture.with_rgb(restore_rgb(picture.as_rgb(), variant, how))
        seconds = time.perf_counter() - began
        write_picture(path, restored)
        results.append(Restored(entry.path, variant.name, path, width, height, round(seconds, 3)))
        columns.append(restored.as_levels())
        labels.append(f"{variant.name} ({seconds:.1f} s)")
    if how.compare:
        write_picture(sheet, Picture(colour=np.asarray(labelled_sheet([columns], labels)), alpha=None, format="PNG"))
    return results


def _output_paths(entry: Input, picture: Picture, how: Restoration) -> list[Path]:
    """DIR/cat.png for one variant; DIR/cat.S.png and DIR/cat.L.png for two."""
    suffix = picture.suffix(entry.path.suffix)
    if len(how.variants) == 1:
        return [entry.target.with_suffix(suffix)]
    return [entry.target.with_suffix(f".{variant.name}{suffix}") for variant in how.variants]


def restore_rgb(rgb: npt.NDArray[np.float32], variant: Variant, how: Restoration) -> npt.NDArray[np.float32]:
    """rgb: (H, W, 3) in [0, 1] to its restoration by this variant, not clipped."""
    picture = torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy())
    try:
        with torch.inference_mode():
            restored = run_tiled(
                lambda piece: how.model(piece.to(how.device), variant), picture, how.tile, overlap=how.tile // 8
            )
    except torch.OutOfMemoryError as error:
        raise PictureError(f"out of memory on {how.device} with tiles of {how.tile}; give a smaller --tile") from error
    values: npt.NDArray[np.float32] = restored[0].permute(1, 2, 0).numpy()
    return values
