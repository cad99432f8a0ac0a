"""`dynet export`: variants of a network as files, each compared with torch before it gets its name."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from dynet.errors import WriteError, reason_of
from dynet.exporting import ncnn_file, ncnn_form, onnx_file, pt2_file, spandrel_file
from dynet.exporting.files import FILE_FORMATS, FileFormat
from dynet.exporting.one_variant import SMALLEST
from dynet.inference.tlc import use_local_statistics
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import read_header
from dynet.runtime.atomic_files import flush_file, flush_folder, make_folder, sweep, temporary_name
from dynet.runtime.progress import ProgressReport
from dynet.version import __version__

MAX_DIFFERENCE = 1e-4
"""The largest accepted difference from torch, for values in [0, 1]: a fortieth of an 8-bit level."""

Shape = tuple[int, int, int]
"""Number of images, height, width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """A file format with its writer and its reader."""

    files: FileFormat
    serialise: Callable[[DyNet, Variant, Mapping[str, str]], bytes | tuple[bytes, ...]]
    """From network, variant and metadata to the content of the file, or to those of all files of `suffixes_beside`."""
    load: Callable[[Path], Callable[[Tensor], Tensor]]
    test_shapes: tuple[Shape, ...]
    """The inputs for the comparison with torch: the smallest, and sides with and without padding."""


FORMATS: Mapping[str, ExportFormat] = MappingProxyType(
    {
        "onnx": ExportFormat(
            files=FILE_FORMATS["onnx"],
            serialise=onnx_file.serialise,
            load=onnx_file.load,
            test_shapes=((1, 1, 1), (2, 5, 12), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
        ),
        "torch-export": ExportFormat(
            files=FILE_FORMATS["torch-export"],
            serialise=pt2_file.serialise,
            load=pt2_file.load,
            test_shapes=((1, SMALLEST, SMALLEST), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
        ),
        "ncnn": ExportFormat(
            files=FILE_FORMATS["ncnn"],
            serialise=ncnn_file.serialise,
            load=ncnn_file.load,
            test_shapes=((1, ncnn_form.SMALLEST, ncnn_form.SMALLEST), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
        ),
        "spandrel": ExportFormat(
            files=FILE_FORMATS["spandrel"],
            serialise=spandrel_file.serialise,
            load=spandrel_file.load,
            test_shapes=((1, 1, 1), (2, 5, 12), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedVariant:
    """A written file, and how much its results differ from torch."""

    path: Path
    variant: Variant
    differences: Mapping[Shape, float]
    """The largest difference for each shape."""


def with_local_statistics(form: ExportFormat, model: DyNet, window: int) -> ExportFormat:
    """Return the format with windows of local statistics in its files, and make the model use such windows, too.

    Args:
        form: The format.
        model: The network that files are compared with.
        window: The side of the windows in pixels.
    """
    use_local_statistics(model, window, torch.float32)
    larger = window + window // 4
    return replace(
        form,
        serialise=partial(spandrel_file.serialise, local_statistics=window),
        test_shapes=(*form.test_shapes, (1, larger, larger)),
    )


def export(
    model: DyNet, about: Mapping[str, str], form: ExportFormat, files: Mapping[Variant, Path]
) -> Iterator[ExportedVariant]:
    """Write each file and compare it with torch; a file that fails leaves what was there before.

    Args:
        model: The network.
        about: Texts for the file's metadata; the variant is added.
        form: The file format.
        files: The path for each variant.

    Yields:
        Each written file.

    Raises:
        WriteError: A file cannot be written, or its results differ too much from torch.
    """
    with ProgressReport("export", len(files)) as progress:
        for variant, path in files.items():
            if form.files.traced:
                progress.print_line(f"export {path}: tracing every block takes a minute or more")
            schedule = ",".join(map(str, astuple(variant.schedule)))
            content = form.serialise(model, variant, {**about, "variant": variant.name, "schedule": schedule})

            def compare(file: Path, variant: Variant = variant) -> dict[Shape, float]:
                return max_differences(form.load(file), lambda image: model(image, variant), form.test_shapes)

            contents = content if isinstance(content, tuple) else (content,)
            written = dict(zip(form.files.paths(path), contents, strict=True))
            yield ExportedVariant(path=path, variant=variant, differences=write_verified(written, compare))
            progress.advance(variant.name)


def describe_weights(weights: Path) -> dict[str, str]:
    """Return the metadata of an exported file that describes its weights.

    The keys are `dynet` (the version) and `weights_sha256`, and, if the weights file contains them, `recipe_sha256` and
    `licence`.
    """
    header = read_header(weights)
    about = {"dynet": __version__, "weights_sha256": sha256_of(weights)}
    if header.training is not None:
        about["recipe_sha256"] = header.training.recipe_sha256
    if "licence" in header.notes:
        about["licence"] = header.notes["licence"]
    return about


def max_differences(
    exported: Callable[[Tensor], Tensor], original: Callable[[Tensor], Tensor], shapes: tuple[Shape, ...]
) -> dict[Shape, float]:
    """Return the largest difference between two functions of images for noise of each shape; nan if one gives nan.

    The noise is the same at every call; it has the steepest edges that an image can have.
    """
    generator = torch.Generator().manual_seed(0)
    differences = {}
    with torch.no_grad():
        for count, height, width in shapes:
            image = torch.rand(count, 3, height, width, generator=generator)
            differences[count, height, width] = (exported(image) - original(image)).abs().max().item()
    return differences


def write_verified(contents: Mapping[Path, bytes], compare: Callable[[Path], dict[Shape, float]]) -> dict[Shape, float]:
    """Write files that belong together under temporary names, compare them with torch, and rename them.

    Args:
        contents: The bytes for each final name; files of those names stay as they were until the comparison has
            succeeded.
        compare: From the first written file to its largest difference from torch for each shape.

    Returns:
        The differences.

    Raises:
        WriteError: A file cannot be written, or differs by more than MAX_DIFFERENCE; nothing new is left.
    """
    first = next(iter(contents))
    temporary = {path: temporary_name(path, keep_suffix=True) for path in contents}
    try:
        make_folder(first.parent)
        sweep(first.parent)
        for path, content in contents.items():
            temporary[path].write_bytes(content)
            flush_file(temporary[path])
        differences = compare(temporary[first])
        for (count, height, width), largest in differences.items():
            if not largest <= MAX_DIFFERENCE:  # also catches nan
                raise WriteError(
                    f"{first} is discarded: for {count} of {width}x{height} pixels its results differ from torch by "
                    f"{largest:.1e}, more than {MAX_DIFFERENCE:.0e}"
                )
        for path in reversed(tuple(contents)):  # the first, which names the others, appears last
            os.replace(temporary[path], path)
        flush_folder(first.parent)
    except OSError as error:
        raise WriteError(f"{first} cannot be written: {reason_of(error)}") from error
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return differences
