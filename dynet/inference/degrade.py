"""`dynet degrade`: images in, degraded images out, to try a network on. No network is loaded, and no torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from dynet.arguments import as_choice
from dynet.degradations.strengths import CHOICES, AddedDegradation
from dynet.errors import ImageError, UsageError
from dynet.inference.encoding import Encoding
from dynet.inference.image_metadata import has_grey_profile
from dynet.inference.images import read_image
from dynet.inference.inputs import InputFile, OutputNaming, find_input_files
from dynet.runtime.atomic_files import check_output_folder, make_folder, replacing

NAMING = OutputNaming(encoding=Encoding("png"))
"""Results are PNG: a lossy format would add a degradation of its own."""


def plan_degradation(kind: str, strength: float | None, seed: int) -> AddedDegradation:
    """Return the degradation that the options of the command name.

    Args:
        kind: A name that `dynet degradations` lists.
        strength: Of the page's slider, in its unit: σ in levels of 255 for `gaussian_noise`; None is its middle.
        seed: Of the randomness.

    Raises:
        UsageError: There is no such degradation, or it has no such strength.
    """
    choice = CHOICES[as_choice("--degradation", kind, CHOICES)]
    low, high = sorted(choice.ends)
    value = choice.middle if strength is None else strength
    if not low <= value <= high:
        raise UsageError(f"--strength {value:g}: {kind} takes {low:g} to {high:g} ({choice.unit})")
    return AddedDegradation(kind, choice.strength_of(value), seed)


def degrade_files(
    inputs: Sequence[str | Path], out: Path, added: AddedDegradation, *, overwrite: bool
) -> Iterator[Path]:
    """Write each image degraded, as PNG of 8 bits in RGB, upright; the same input and seed give the same pixels.

    A colour profile is kept, since the samples stay in its colour space.

    Args:
        inputs: Files, folders and patterns, as `dynet restore` takes them.
        out: The folder to write to.
        added: What is done to the images.
        overwrite: Whether existing files may be replaced.

    Yields:
        Each written file.

    Raises:
        UsageError: An input or the folder cannot be used.
        ImageError: An image cannot be read, or a file exists; images before it are written.
    """
    files = find_input_files(inputs, out, NAMING, overwrite=overwrite)
    check_output_folder(out)
    for file in files:
        yield _degrade(file, added, overwrite=overwrite)


def _degrade(file: InputFile, added: AddedDegradation, *, overwrite: bool) -> Path:
    (path,) = NAMING.result_paths(file.target, ".png")
    if path.exists() and not overwrite:
        raise ImageError(f"{path} already exists; --overwrite replaces it")
    image = read_image(file.path)
    try:
        degraded = added.apply(image.as_uint8_rgb())
    except ImageError as error:
        raise ImageError(f"{file.path}: {error}") from error
    profile = None if has_grey_profile(image.metadata) else image.metadata.get("icc_profile")
    make_folder(path.parent)
    with replacing(path) as temporary:
        Image.fromarray(degraded).save(temporary, "PNG", icc_profile=profile)
    return path
