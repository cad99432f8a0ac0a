"""`dynet restore`: images in, restored images out, each file written completely or not at all.

For one file, memory holds the images that were read, their restorations at the same bit depth, and one tile with its
features.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dynet.errors import ImageError, UsageError
from dynet.inference.banded_forward import use_banded_blocks
from dynet.inference.canvas import ArrayCanvas, Canvas, FloatRGB, ImageCanvas
from dynet.inference.comparison_sheet import make_comparison_sheet
from dynet.inference.decoded_image import DecodedFile, DecodedImage
from dynet.inference.encoding import SAME_AS_INPUT, Encoding
from dynet.inference.existing_results import claim_results
from dynet.inference.file_encoding import file_suffix
from dynet.inference.images import read_file, write_file, write_image
from dynet.inference.inputs import InputFile, OutputNaming, ReservedPaths
from dynet.inference.memory import choose_tile, halve_tile, ran_out_of_memory, release_memory
from dynet.inference.progress import count_work_per_pixel, report_forward_progress
from dynet.inference.results import RestoredFile, RestoreFailure, VariantOutput
from dynet.inference.self_ensemble import average_orientations
from dynet.inference.tiling import TileBox, iter_blended_rows, tile_boxes
from dynet.inference.tlc import use_local_statistics
from dynet.inference.unchanged import keep_unchanged
from dynet.model.network import DyNet
from dynet.model.variant_network import VariantNetwork
from dynet.model.variants import Variant
from dynet.runtime.cost import CostMeter

logger = logging.getLogger(__name__)

OVERLAP = 8
"""Tiles overlap by their side divided by this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """The settings for restoring, the same for all images of a run."""

    model: VariantNetwork
    """The network on its device; `prepare_for_inference` makes a DyNet run in bands."""
    variants: tuple[Variant, ...]
    device: torch.device
    tile: int | None = None
    """The side of the tiles in pixels; None chooses it for each image by the available memory."""
    self_ensemble: int = 1
    """In how many orientations each image or tile is restored: 1, 2, 4 or 8."""
    compare: bool = False
    overwrite: bool = False
    encoding: Encoding = SAME_AS_INPUT

    @property
    def naming(self) -> OutputNaming:
        """The names of the results."""
        names = tuple(variant.name for variant in self.variants)
        return OutputNaming(encoding=self.encoding, variants=names, compare=self.compare)


ProgressCallback = Callable[[str, float], None]
"""Called during the work on an image with what is being done, and the fraction that is done so far, 0 to 1."""


def prepare_for_inference(model: VariantNetwork, dtype: torch.dtype, local_statistics: int | None) -> None:
    """Make a network on its device ready to restore: the blocks of a DyNet run in bands.

    Args:
        model: The network.
        dtype: float32 or bfloat16 for the computation inside the blocks.
        local_statistics: The side in pixels of the windows of `dynet.inference.tlc`; None for the whole image or tile.

    Raises:
        UsageError: Windows are asked of a network that is no DyNet. Its computation stays float32.
    """
    if not isinstance(model, DyNet):
        if local_statistics is not None:
            raise UsageError("--local-statistics: only a DyNet has them, and these weights are of another network")
    elif local_statistics is None:
        use_banded_blocks(model, dtype)
    else:
        use_local_statistics(model, local_statistics, dtype)


def restore_all(
    inputs: Sequence[InputFile],
    options: RestoreOptions,
    on_progress: ProgressCallback,
    known: Mapping[Path, RestoreFailure],
) -> Iterator[RestoredFile | RestoreFailure]:
    """Restore each file; one that cannot be read, restored or written is yielded as a failure, and the run goes on.

    Args:
        inputs: The files.
        options: How they are restored.
        on_progress: Called during the work.
        known: Failures by input, which are known before: these files are not read.
    """
    meter, reserved = CostMeter(options.device, options.model), ReservedPaths(inputs, options.naming)
    for file in inputs:
        if file.path in known:
            yield known[file.path]
            continue
        try:
            yield _restore_file(file, options, reserved, meter, on_progress)
        except ImageError as error:
            yield RestoreFailure(file.path, str(error))
        except MemoryError:  # the decoded or encoded image is too large for the memory that is left
            yield RestoreFailure(file.path, f"{file.path}: out of memory while reading or writing it")


def _restore_file(
    file: InputFile,
    options: RestoreOptions,
    reserved: ReservedPaths,
    meter: CostMeter,
    on_progress: ProgressCallback,
) -> RestoredFile:
    decoded = read_file(file.path)
    height, width = decoded.images[0].colour.shape[:2]
    suffix = file_suffix(decoded, options.encoding, file.path.suffix)
    paths, sheet = claim_results(file, suffix, options.naming, reserved, overwrite=options.overwrite)
    outputs, panels = [], [("input", decoded.images[0])]
    for number, (variant, path) in enumerate(zip(options.variants, paths, strict=True)):

        def on_file_progress(note: str, done: float, number: int = number) -> None:
            on_progress(f"{file.path.name} {note}", (number + done) / len(options.variants))

        restored, output = _restore_with_variant(decoded, variant, path, options, meter, on_file_progress)
        write_file(path, restored, options.encoding)
        outputs.append(output)
        if sheet:
            panels.append((f"{variant.name}  {output.seconds:.1f} s", restored.images[0]))
    if sheet:
        write_image(sheet, make_comparison_sheet(panels))
    return RestoredFile(file.path, width, height, len(decoded.images), tuple(outputs), sheet)


def _restore_with_variant(
    decoded: DecodedFile,
    variant: Variant,
    path: Path,
    options: RestoreOptions,
    meter: CostMeter,
    on_progress: ProgressCallback,
) -> tuple[DecodedFile, VariantOutput]:
    canvases = [ImageCanvas(image) for image in decoded.images]
    tiles: list[int] = []

    def call(unused: Tensor) -> Tensor:
        for number, canvas in enumerate(canvases):

            def on_image_progress(note: str, done: float, number: int = number) -> None:
                part = f", {number + 1} of {decoded.parts}" if len(canvases) > 1 else ""
                on_progress(f"{note}{part}", (number + done) / len(canvases))

            if tile := _restore(canvas, variant, options, on_image_progress):
                tiles.append(tile)
        return unused

    try:
        _, cost = meter.measure(call, torch.empty(0))
    except ImageError as error:
        raise ImageError(f"{decoded.name}: {error}") from error
    output = VariantOutput(variant.name, path, round(cost.seconds, 3), min(tiles, default=None), cost.peak_bytes)
    restored = [replace(image, colour=canvas.restored) for image, canvas in zip(decoded.images, canvases, strict=True)]
    return replace(decoded, images=tuple(restored)), output


def restore_rgb(
    rgb: FloatRGB, variant: Variant, options: RestoreOptions, on_progress: ProgressCallback = lambda _, __: None
) -> FloatRGB:
    """Restore an array with one variant.

    Args:
        rgb: (H, W, 3) in [0, 1].
        variant: The depth to run.
        options: Model, device and tile size; files and names are not used.
        on_progress: Called as the work goes on.

    Returns:
        (H, W, 3), not clipped.

    Raises:
        ImageError: The memory is too small for the smallest tile, or the values are not finite.
    """
    canvas = ArrayCanvas(rgb)
    _restore(canvas, variant, options, on_progress)
    return canvas.restored


def restore_image(image: DecodedImage, variant: Variant, options: RestoreOptions) -> DecodedImage:
    """Restore an image with one variant, at its own bit depth; alpha and metadata stay as they are.

    Raises:
        ImageError: The memory is too small for the smallest tile, or the result has values that are not finite.
    """
    canvas = ImageCanvas(image)
    _restore(canvas, variant, options, lambda _, __: None)
    return replace(image, colour=canvas.restored)


def _restore(canvas: Canvas, variant: Variant, options: RestoreOptions, on_progress: ProgressCallback) -> int | None:
    """Restore the image of a canvas; where memory runs out, start again with half the tile.

    Returns:
        The side of the tiles in pixels; None for an image that was restored whole.
    """
    height, width = canvas.size
    tile = options.tile
    if tile is None:
        tile = choose_tile(height, width, options.model.architecture, options.device)
    while True:
        tile = None if tile is not None and max(height, width) <= tile else tile
        try:
            with torch.inference_mode():
                for top, rows in _restored_rows(canvas, tile, variant, options, on_progress):
                    if not np.isfinite(rows).all():
                        raise ImageError(f"the output of variant {variant.name} contains values that are not finite")
                    canvas.write(top, rows)
            return tile
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            smaller = halve_tile(height, width, tile)
            message = f"out of memory on {options.device} with {f'tiles of {tile}' if tile else 'the whole image'}"
            if smaller is None:
                raise ImageError(message) from error
        # Outside the except clause, which keeps the tensors of the failed call alive.
        logger.warning("%s; continuing with tiles of %d", message, smaller)
        release_memory(options.device)
        tile = smaller


def _restored_rows(
    canvas: Canvas, tile: int | None, variant: Variant, options: RestoreOptions, on_progress: ProgressCallback
) -> Iterator[tuple[int, FloatRGB]]:
    """Yield (top, (rows, W, 3)) from top to bottom; to be called under torch.inference_mode."""
    height, width = canvas.size
    side = tile or max(height, width)
    count = len(list(tile_boxes(height, width, side, side // OVERLAP)))
    work_per_pixel, done = count_work_per_pixel(options.model, variant) * options.self_ensemble, 0
    network = partial(options.model, variant=variant)

    def restore(box: TileBox) -> Tensor:
        nonlocal done
        note = f"{variant.name}, tile {done + 1} of {count}" if count > 1 else variant.name
        crop = torch.from_numpy(canvas.crop(box).transpose(2, 0, 1)[None].copy()).to(options.device)
        work = work_per_pixel * crop.shape[-2] * crop.shape[-1]
        with report_forward_progress(options.model, work, lambda part: on_progress(note, (done + part) / count)):
            restored = average_orientations(network, crop, options.self_ensemble)
        done += 1
        return keep_unchanged(crop, restored)

    if count == 1:
        yield 0, restore((0, 0, height, width))[0].permute(1, 2, 0).cpu().numpy()
        return
    for top, rows in iter_blended_rows(restore, height, width, side, side // OVERLAP):
        yield top, rows[0].permute(1, 2, 0).numpy()
