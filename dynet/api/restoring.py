"""`restore` as a function: an image goes in as a PIL image, a path or an array, and comes back as the same kind.

The network of the last call is kept, prepared for inference, until another is asked for or its file changes.
"""

import copy
import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from dynet.api.choices import (
    MIN_TILE,
    MIN_WINDOW,
    DeviceChoice,
    PathLike,
    SelfEnsemble,
    as_device,
    as_self_ensemble,
    optional_count,
)
from dynet.arguments import as_choice, as_path, naming_arguments, raising_disk_errors, shown
from dynet.errors import UsageError
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.images import read_image
from dynet.inference.in_memory import (
    array_like,
    image_of_array,
    image_of_pillow,
    pillow_like,
    pillow_or_array,
    wrong_kind,
)
from dynet.inference.precision import choose_dtype
from dynet.inference.restore import RestoreOptions, prepare_for_inference, restore_image
from dynet.inference.tiling import round_tile_to_stride
from dynet.model.clean_input import clean_input_warning
from dynet.model.training_record import TrainingRecord
from dynet.model.variant_network import VariantNetwork
from dynet.model.variants import Variant
from dynet.model.weights import locate_weights, parts_of
from dynet.runtime.devices import resolve_device
from dynet.spandrel.any_weights import load_any_weights, training_record

logger = logging.getLogger(__name__)

Array: TypeAlias = npt.NDArray[Any]
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
FileStamp: TypeAlias = tuple[str, int, int]
"""Path, time of change in nanoseconds, and size of a file."""
Prepared: TypeAlias = tuple[VariantNetwork, torch.device, TrainingRecord | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """How a network is prepared; see `restore`."""

    precision: Precision
    local_statistics: int | None
    device: DeviceChoice


@naming_arguments
@raising_disk_errors
def restore(
    image: Image.Image | PathLike | Array,
    weights: PathLike | VariantNetwork = "laptop",
    variant: str | Variant | None = None,
    *,
    tile: int | None = None,
    self_ensemble: SelfEnsemble = 1,
    precision: Precision = "auto",
    local_statistics: int | None = None,
    device: DeviceChoice = "auto",
) -> Any:
    """Restore one image as `dynet restore` does: at its own bit depth, whole, or in tiles where memory is short.

    The last weights are kept in memory, so that calls in a loop load them once. An array is not changed; a PIL image is
    not turned, and keeps its profile and Exif.

    Args:
        image: A PIL image; a path; or an array, (H, W) or (H, W, C) with grey, grey and alpha, RGB, or RGB and alpha,
            of uint8, uint16 or floating-point numbers. White is 255, 65535 or 1.0; black and white of floating-point
            numbers are the smallest and the largest value where these are outside [0, 1]. Alpha is kept as it is.
        weights: A weights file, a folder that holds one (a RUN), the name of shipped weights, such as `laptop`, a
            repository `user/name` on the Hub; or a loaded network, of which a copy is used.
        variant: The name of a variant of the weights, or a `Variant`; None takes the deepest.
        tile: The side in pixels of the tiles to restore in, from 32; None chooses it by the available memory.
        self_ensemble: In how many orientations to restore the image, 1, 2, 4 or 8; their mean is more accurate, and
            takes as many times as long.
        precision: `auto` computes in bfloat16 on processors that are faster with it; `fp32`, `bf16`.
        local_statistics: The side in pixels of windows of attention, from 64; None is the whole image or tile.
        device: `auto` takes a GPU where there is one, or the device of a loaded network; `cpu`, `cuda`, `mps`.

    Returns:
        The same kind: for an array one of the same shape and type; for a PIL image one of the same mode, but RGB for a
        palette, CMYK, YCbCr, HSV and Lab, and L for 1 bit; for a path a PIL image, or an array (H, W, C) where Pillow
        has no mode for the samples, such as RGB of 16 bits.

    Raises:
        UsageError: An argument is of another type, or there are no such weights (`WeightsError`), variant or device.
        ImageError: The image cannot be read or has values that are not finite, or the memory is too small.
    """
    decoded = _decode(image)
    side, orientations = optional_count("tile", tile, at_least=MIN_TILE), as_self_ensemble(self_ensemble)
    settings = _Settings(
        precision=cast(Precision, as_choice("precision", precision, get_args(Precision))),
        local_statistics=optional_count("local_statistics", local_statistics, at_least=MIN_WINDOW),
        device=as_device(device),
    )
    model, where, training = _network(weights, settings)
    chosen = _variant(variant, model)
    if not isinstance(weights, VariantNetwork) and (warning := clean_input_warning(training, [chosen.name])):
        _warn_once(str(weights), warning)
    options = RestoreOptions(
        model=model,
        variants=(chosen,),
        device=where,
        tile=round_tile_to_stride(side),
        self_ensemble=orientations,
    )
    restored = restore_image(decoded, chosen, options)
    if isinstance(image, np.ndarray):
        return array_like(restored, image)
    return pillow_like(restored, image) if isinstance(image, Image.Image) else pillow_or_array(restored)


def _decode(image: object) -> DecodedImage:
    if isinstance(image, np.ndarray):
        return image_of_array(image)
    if isinstance(image, Image.Image):
        return image_of_pillow(image)
    if isinstance(image, str | os.PathLike):
        return read_image(Path(as_path("image", image)))
    raise wrong_kind(image)


def _variant(variant: object, model: VariantNetwork) -> Variant:
    """Return the variant to run."""
    if variant is not None and not isinstance(variant, str | Variant):
        raise UsageError(f"variant: {shown(variant)} is neither a name nor a Variant")
    chosen = model.named_variant(variant)
    if model.architecture is None and chosen not in model.variants:
        raise UsageError(f"variant: {shown(variant)} is of a DyNet, and these weights are of another network")
    return chosen


def _network(weights: object, settings: _Settings) -> Prepared:
    """Return a network on its device, ready to restore, and how it was trained."""
    if not isinstance(weights, VariantNetwork):
        return _load(_stamps(weights), settings)
    given = next(weights.parameters()).device
    device = given if settings.device == "auto" else resolve_device(settings.device)
    return _prepared(copy.deepcopy(weights).float().eval(), device, settings), device, None


@functools.lru_cache(maxsize=1)
def _load(stamps: tuple[FileStamp, ...], settings: _Settings) -> Prepared:
    device = resolve_device(settings.device)
    model, file = load_any_weights(stamps[0][0])
    return _prepared(model, device, settings), device, training_record(model, file)


def _stamps(weights: object) -> tuple[FileStamp, ...]:
    """Return what identifies the content of weights: their file, or all of their parts."""
    files = parts_of(locate_weights(as_path("weights", weights)))
    found = [(str(file.absolute()), file.stat()) for file in files]
    return tuple((path, status.st_mtime_ns, status.st_size) for path, status in found)


def _prepared(model: VariantNetwork, device: torch.device, settings: _Settings) -> VariantNetwork:
    if settings.precision == "bf16" and model.architecture is None:
        raise UsageError("precision: bf16 is only for a DyNet; networks of other kinds compute in fp32")
    model.to(device)
    prepare_for_inference(model, choose_dtype(settings.precision, device), settings.local_statistics)
    return model


@functools.lru_cache(maxsize=64)
def _warn_once(file: str, warning: str) -> None:
    logger.warning("%s: %s", file, warning)
