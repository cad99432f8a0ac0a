"""Where `dynet export` writes: suffixes and packages of the formats, checked before torch is loaded."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dynet.errors import UsageError
from dynet.extras import require
from dynet.model.variants import Variant

NCNN_WEIGHTS_SUFFIX = ".bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """The files of a format."""

    suffix: str
    packages: tuple[str, ...]
    """The packages that must be installed besides torch."""
    suffixes_beside: tuple[str, ...] = ()
    """Of the files that belong to the first, with its name."""
    traced: bool = True
    """Whether writing takes a minute or more, since each application of a block is traced."""

    def paths(self, path: Path) -> tuple[Path, ...]:
        """Return the paths of all files, the given one first."""
        return (path, *map(path.with_suffix, self.suffixes_beside))


FILE_FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        "onnx": FileFormat(suffix=".onnx", packages=("onnx", "onnxscript", "onnxruntime")),
        "torch-export": FileFormat(suffix=".pt2", packages=()),
        "ncnn": FileFormat(suffix=".param", packages=("ncnn", "pnnx"), suffixes_beside=(NCNN_WEIGHTS_SUFFIX,)),
        "spandrel": FileFormat(suffix=".safetensors", packages=("spandrel",), traced=False),
    }
)


def plan_files(name: str, out: Path, variants: tuple[Variant, ...], *, overwrite: bool) -> dict[Variant, Path]:
    """Return the file for each variant, before anything is computed or written.

    Args:
        name: A key of FILE_FORMATS.
        out: The file for one variant; for several a folder, for `out`/S.onnx and `out`/L.onnx.
        variants: What is exported.
        overwrite: Whether existing files may be replaced.

    Raises:
        UsageError: The format does not exist or lacks a package, or a file cannot be written there.
    """
    if name not in FILE_FORMATS:
        raise UsageError(f"--format {name}: must be one of {', '.join(FILE_FORMATS)}")
    form = FILE_FORMATS[name]
    require(*form.packages)
    if form.traced and not _is_text(out):
        raise UsageError(f"--out {out}: is not UTF-8, and the libraries that compare the file cannot open it")
    if len(variants) == 1:
        if out.suffix != form.suffix or out.is_dir():
            raise UsageError(f"--out {out}: must be a file that ends in {form.suffix} for one variant")
        files = {variants[0]: out}
    else:
        if out.suffix == form.suffix or out.is_file():
            raise UsageError(f"--out {out}: must be a folder for several variants")
        files = {variant: out / f"{variant.name}{form.suffix}" for variant in variants}
    check_files(out, [path for file in files.values() for path in form.paths(file)], overwrite=overwrite)
    return files


def check_files(out: Path, files: Iterable[Path], *, overwrite: bool) -> None:
    """Check that files can be written.

    Raises:
        UsageError: One exists and may not be replaced, is a folder, or its folder cannot be written to; the
            message names `--out`.
    """
    for path in files:
        if path.is_dir():
            raise UsageError(f"--out {out}: {path} is a folder, and a file would be written there")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} already exists; --overwrite replaces it")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageError(f"--out {out}: cannot write files to {folder}")


def _is_text(path: Path) -> bool:
    """Return whether a path is UTF-8; one of other bytes has characters of Python's own, which no encoding has."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_local_statistics(name: str) -> None:
    """Check that files of a format can have windows of local statistics.

    Args:
        name: The name of the format.

    Raises:
        UsageError: They cannot.
    """
    if name not in ("spandrel", "comfyui"):
        raise UsageError(
            f"--local-statistics: not with --format {name}, which has only the statistics of the whole image"
        )
