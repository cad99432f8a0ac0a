"""The input files of `dynet restore`, and the paths of their results.

Only names are used; no file is opened. Conflicts that the names show are refused before anything is written: two
results with the same name, or with names that differ only in letter case, and a result that would replace an input.
Conflicts that only the content shows, such as a .bmp that has to become PNG, are found when the result is written.
"""

import glob
import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynet.data import layouts
from dynet.errors import ImageError, UsageError
from dynet.inference.encoding import SAME_AS_INPUT, Encoding

SUFFIXES = (
    layouts.SUFFIXES
    | {".apng", ".dds", ".gif", ".j2k", ".jpx", ".pam", ".pbm", ".pfm", ".pnm", ".psd", ".qoi", ".tga"}
    | {".heic", ".heif", ".jxl", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}
)
"""The suffixes that a folder is searched for; a file that the user names is tried with any suffix.

Camera raw files, the last of them, cannot be read. They are searched for all the same, so that such files are reported
as failed and not skipped silently.
"""
_MAX_NAME_BYTES = 255
"""The longest file name of most file systems."""
_SKIPPED_FOLDERS = frozenset({"__macosx"})
"""Folders that macOS adds to archives."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to restore, and the path under --out that its results are named after."""

    path: Path
    target: Path
    """Folder and stem of the results, with some image suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNaming:
    """The names of results: DIR/cat.png for one variant, DIR/cat.S.png and DIR/cat.L.png for two.

    A name that would be too long for a file system is shorter, and different for every input.
    """

    encoding: Encoding = SAME_AS_INPUT
    variants: tuple[str, ...] = ("L",)
    compare: bool = False

    def result_paths(self, target: Path, suffix: str) -> list[Path]:
        """Return the path of each variant's result."""
        if len(self.variants) == 1:
            return [_result_path(target, suffix)]
        return [_result_path(target, f".{variant}{suffix}") for variant in self.variants]

    def sheet_path(self, target: Path) -> Path:
        """Return the path of the sheet that shows before and after."""
        return _result_path(target, ".compare.png")

    def paths(self, target: Path, suffix: str) -> list[Path]:
        """Return the paths of all results, and of the sheet if there is one."""
        return [*self.result_paths(target, suffix), *([self.sheet_path(target)] if self.compare else [])]

    def expected_paths(self, file: InputFile) -> list[Path]:
        """Return all paths that an input leads to, as far as its name shows."""
        return self.paths(file.target, self.encoding.expected_suffix(file.path.suffix))


def find_input_files(
    arguments: Sequence[str | Path],
    out: Path,
    naming: OutputNaming = OutputNaming(),
    *,
    overwrite: bool = False,
) -> list[InputFile]:
    """Return the files that the arguments name: images, folders of images and patterns, each file once.

    - A folder gives the images in it and below it, with their relative paths. Links to folders are followed, and each
      folder is searched once. Hidden files, hidden folders and --out itself are skipped.
    - A name that exists is that file or folder, whatever characters it contains. Any other name with `*`, `?` or `[` is
      a pattern, with `**` for any depth. Matches keep their path relative to the last folder before the first such
      character.

    Args:
        arguments: Files, folders and patterns.
        out: The folder for the results.
        naming: How results are named.
        overwrite: Whether an input may be replaced by its own result. It is never replaced by that of another.

    Raises:
        UsageError: An argument is missing, empty or unreadable, or results conflict, as the module describes.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is not a folder")
    files: dict[str, InputFile] = {}
    for argument in arguments:
        try:
            for path, relative in _expand_argument(str(argument), out):
                files.setdefault(_file_key(path), InputFile(path, out / _with_image_suffix(relative)))
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    inputs = list(files.values())
    _refuse_conflicts(inputs, naming)
    _refuse_replaced_inputs(files, naming, overwrite)
    return inputs


class ReservedPaths:
    """The paths that a run has written to: it writes none twice, whatever suffix the content of an image leads to.

    `find_input_files` only knows names. A .jpg that contains PNG becomes a .png, which shows when it is read.
    """

    def __init__(self, inputs: Sequence[InputFile], naming: OutputNaming) -> None:
        self._naming = naming
        self._inputs = {_file_key(file.path): file.path for file in inputs}
        self._owners: dict[str, Path] = {}

    def reserve(self, file: InputFile, result: Path) -> None:
        """Reserve a path for a result of this input.

        Raises:
            ImageError: The path is that of another input or of another input's result, or it would replace a file next
                to the input that the input's name did not lead to.
        """
        key, own_key = _file_key(result), _file_key(file.path)
        if self._inputs.get(key, file.path) != file.path:
            raise ImageError(
                f"{self._inputs[key]} would be replaced by the result of {file.path}, whose content has another format"
            )
        expected = {own_key, *(_file_key(path) for path in self._naming.expected_paths(file))}
        if os.path.dirname(key) == os.path.dirname(own_key) and key not in expected and result.exists():
            raise ImageError(f"{file.path}: {result} would be replaced, since the content has another format")
        owner = self._owners.setdefault(_fold(key), file.path)
        if owner != file.path:
            raise ImageError(f"{owner} and {file.path} lead to the same result, {result}, because of their content")


def _expand_argument(argument: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that an argument names, each with its relative path below --out."""
    path = Path(argument)
    if not argument:
        raise UsageError("one of the inputs is an empty name")
    if path.is_dir():
        files = [(file, file.relative_to(path)) for file in _search_folder(path, os.path.realpath(out), set())]
        if not files:
            raise UsageError(f"{path}: the folder contains no images")
        yield from files
    elif path.exists():
        if not path.is_file():
            raise UsageError(f"{path}: is neither a file nor a folder")
        yield path, Path(path.name)
    elif (fixed := _without_wildcards(path)) < len(path.parts):
        yield from _expand_pattern(path, fixed, os.path.realpath(out))
    else:
        raise UsageError(f"{path}: {'a broken link' if path.is_symlink() else 'no such file or folder'}")


def _search_folder(folder: Path, out: str, searched: set[str]) -> Iterator[Path]:
    """Yield the images below a folder: its own first, and those of linked folders last."""
    real_path = os.path.realpath(folder)
    if real_path in searched or (searched and real_path == out):
        return
    searched.add(real_path)
    with os.scandir(folder) as listing:
        entries = sorted(
            (
                entry
                for entry in listing
                if not entry.name.startswith(".") and entry.name.casefold() not in _SKIPPED_FOLDERS
            ),
            key=lambda entry: (entry.is_dir() + entry.is_symlink() * entry.is_dir(), entry.name),
        )
    for entry in entries:
        if entry.is_dir():
            yield from _search_folder(folder / entry.name, out, searched)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield folder / entry.name


def _without_wildcards(path: Path) -> int:
    """Return how many parts of a path come before the first wildcard; a name with brackets that exists has none."""
    parts = path.parts
    found = (n for n, part in enumerate(parts) if glob.has_magic(part) and not Path(*parts[: n + 1]).exists())
    return next(found, len(parts))


def _expand_pattern(pattern: Path, fixed: int, out: str) -> Iterator[tuple[Path, Path]]:
    """Yield the files that a pattern matches, and the images below the folders that it matches.

    Args:
        pattern: The pattern.
        fixed: How many of its parts come before the first wildcard.
        out: The folder for the results, which is not searched.
    """
    start, rest = Path(*pattern.parts[:fixed]), os.path.join(*pattern.parts[fixed:])
    names = [Path(name) for name in glob.glob(rest, root_dir=start, recursive=True)]
    skip_out = out != os.path.realpath(start)
    files = []
    # The shortest path first, so that a folder which a loop of links contains is searched under its own name.
    for name in sorted(names, key=lambda name: (len(name.parts), name)):
        path = start / name
        real_path = Path(os.path.realpath(path))
        if skip_out and Path(out) in (real_path, *real_path.parents):
            continue
        if any(part.casefold() in _SKIPPED_FOLDERS for part in name.parts):
            continue
        if path.is_dir():
            files += [(file, file.relative_to(start)) for file in _search_folder(path, out, set())]
        else:
            files.append((path, name))
    if not files:
        raise UsageError(f"{pattern}: no file matches this pattern")
    yield from files


def _refuse_conflicts(inputs: Sequence[InputFile], naming: OutputNaming) -> None:
    owners: dict[str, tuple[Path, Path]] = {}
    conflicts: list[str] = []
    for file in inputs:
        for result in naming.expected_paths(file):
            owner, owner_result = owners.setdefault(_fold(str(result)), (file.path, result))
            if owner is not file.path:
                case = "" if owner_result == result else " (except for letter case)"
                conflicts.append(f"{owner} and {file.path} lead to the same result, {result}{case}")
    if conflicts:
        more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
        raise UsageError(f"{conflicts[0]}{more}; restore them into separate folders")


def _refuse_replaced_inputs(inputs: dict[str, InputFile], naming: OutputNaming, overwrite: bool) -> None:
    for file in inputs.values():
        for result in naming.expected_paths(file):
            replaced = inputs.get(_file_key(result))
            if replaced is None or (replaced is file and overwrite):
                continue
            if replaced is file:
                raise UsageError(f"{replaced.path} would be replaced by its own result; --overwrite allows that")
            raise UsageError(f"{replaced.path} would be replaced by the result of {file.path}; use another --out")


def _result_path(target: Path, suffix: str) -> Path:
    """Return the target with another suffix; a name that is too long is cut, and ends with a digest of the whole one.

    The digest is of the input's name, so that long names which begin alike stay apart, in every run in the same way.
    """
    stem = target.stem
    if len(os.fsencode(stem + suffix)) > _MAX_NAME_BYTES:
        ending = f"-{hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()}"
        while len(os.fsencode(stem + ending + suffix)) > _MAX_NAME_BYTES:
            stem = stem[:-1]  # a whole character, which may take several bytes
        stem += ending
    return target.with_name(stem + suffix)


def _fold(name: str) -> str:
    """Return a name without letter case and Unicode form, which the disks of macOS, Windows and cameras ignore."""
    return unicodedata.normalize("NFC", name).casefold()


def _file_key(file: Path) -> str:
    """Return one name for a file, however the path to its folder is written; a link is not its target."""
    return os.path.join(os.path.realpath(file.parent), file.name)


def _with_image_suffix(path: Path) -> Path:
    """Append .png to a name without an image suffix, so that no other part of it is taken for a suffix."""
    return path if path.suffix.lower() in SUFFIXES else path.with_name(f"{path.name}.png")
