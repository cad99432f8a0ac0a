"""`dynet export`: variants of one set of weights to files, each compared with torch before it gets its name."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

import dynet
from dynet.errors import UsageError, WriteError, reason_of
from dynet.export import onnx_file, pt2_file
from dynet.export.one_variant import SMALLEST
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import read_header
from dynet.runtime.progress import ProgressReport

LIMIT = 1e-4
"""The largest difference from torch, of values in [0, 1], with which a file is kept: a fortieth of an 8-bit level."""

Shape = tuple[int, int, int]
"""Pictures, height, width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file."""

    suffix: str
    packages: tuple[str, ...]
    """What must be installed beside torch."""
    serialise: Callable[[DyNet, Variant, Mapping[str, str]], bytes]
    load: Callable[[Path], Callable[[Tensor], Tensor]]
    compared: tuple[Shape, ...]
    """What is put through file and torch: the least, sides that are padded and sides that are not."""


FORMATS = {
    "onnx": Format(
        suffix=".onnx",
        packages=("onnx", "onnxscript", "onnxruntime"),
        serialise=onnx_file.serialise,
        load=onnx_file.load,
        compared=((1, 1, 1), (2, 5, 12), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
    ),
    "torch-export": Format(
        suffix=".pt2",
        packages=(),
        serialise=pt2_file.serialise,
        load=pt2_file.load,
        compared=((1, SMALLEST, SMALLEST), (1, 37, 53), (1, 64, 64), (1, 117, 160)),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that is written, and how far it is from torch."""

    path: Path
    variant: Variant
    differences: Mapping[Shape, float]
    """The largest of each shape that was compared."""


def prepare(
    name: str, out: Path, variants: tuple[Variant, ...], *, overwrite: bool
) -> tuple[Format, dict[Variant, Path]]:
    """The format, and the file of each variant: `out` itself for one, `out`/S.onnx, `out`/L.onnx for several.

    Raises UsageError where that cannot be, before anything is computed or written.
    """
    if name not in FORMATS:
        raise UsageError(f"--format {name}: no such format, but {', '.join(FORMATS)}")
    form = FORMATS[name]
    if missing := [package for package in form.packages if find_spec(package) is None]:
        raise UsageError(f"--format {name} needs {', '.join(missing)}: pip install 'million-ird[export]'")
    if len(variants) == 1:
        if out.suffix != form.suffix or out.is_dir():
            raise UsageError(f"--out {out}: for one variant a file whose name ends in {form.suffix}")
        files = {variants[0]: out}
    else:
        if out.suffix == form.suffix or out.is_file():
            raise UsageError(f"--out {out}: for several variants a folder, which gets one {form.suffix} file of each")
        files = {variant: out / f"{variant.name}{form.suffix}" for variant in variants}
    for path in files.values():
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists already; --overwrite replaces it")
        place = next(parent for parent in path.absolute().parents if parent.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise UsageError(f"--out {out}: no file can be written to {place}")
    return form, files


def export(model: DyNet, about: Mapping[str, str], form: Format, files: Mapping[Variant, Path]) -> Iterator[Exported]:
    """Write each file, whole and compared with torch, or leave what was there before. Raises WriteError."""
    with ProgressReport("export", len(files)) as progress:
        for variant, path in files.items():
            progress.say(f"export {path}: traced block by block, which takes a minute or more")
            schedule = ",".join(map(str, astuple(variant.schedule)))
            content = form.serialise(model, variant, {**about, "variant": variant.name, "schedule": schedule})

            def compare(file: Path, variant: Variant = variant) -> dict[Shape, float]:
                return differences(form.load(file), lambda image: model(image, variant), form.compared)

            yield Exported(path=path, variant=variant, differences=write_compared(path, content, compare))
            progress.advance(variant.name)


def describe(weights: Path) -> dict[str, str]:
    """What a file says of where it comes from; the variant is added to it.

    `dynet`: the version; `weights_sha256`: of the weights file; `recipe_sha256`: of the recipe it was trained by, and
    `licence`, where the weights file knows them.
    """
    header = read_header(weights)
    told = {"dynet": dynet.__version__, "weights_sha256": sha256_of(weights)}
    if header.training is not None:
        told["recipe_sha256"] = header.training.recipe_sha256
    if "licence" in header.notes:
        told["licence"] = header.notes["licence"]
    return told


def differences(
    exported: Callable[[Tensor], Tensor], original: Callable[[Tensor], Tensor], shapes: tuple[Shape, ...]
) -> dict[Shape, float]:
    """The largest difference between two functions of pictures, for noise of each shape; nan where one has no number.

    Noise, the same at every call, since it has the steepest edges that a picture can have.
    """
    generator = torch.Generator().manual_seed(0)
    found = {}
    with torch.no_grad():
        for count, height, width in shapes:
            image = torch.rand(count, 3, height, width, generator=generator)
            found[count, height, width] = (exported(image) - original(image)).abs().max().item()
    return found


def write_compared(path: Path, content: bytes, compare: Callable[[Path], dict[Shape, float]]) -> dict[Shape, float]:
    """Write under a temporary name, compare, rename; what was there before stays until then.

    Raises WriteError, and leaves nothing new, where the file cannot be written or differs by more than LIMIT.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        found = compare(temporary)
        for (count, height, width), largest in found.items():
            if not largest <= LIMIT:  # also what is no number
                raise WriteError(
                    f"{path} is not kept: for {count} of {width}x{height} pixels it differs from torch by "
                    f"{largest:.1e}, more than {LIMIT:.0e}"
                )
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {reason_of(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return found
