"""Which files `dynet restore` was asked for, and where the results of each go.

Names decide, no file is opened. What can be told by a name is refused before anything is written: results that would
have one name, also where only letter case tells them apart, and a result in the place of an input. What only the
content shows, such as a .bmp that has to become PNG, is seen when its result is written.
"""

import glob
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynet.data import layouts
from dynet.errors import PictureError, UsageError
from dynet.inference.encoding import LIKE_INPUT, Encoding

SUFFIXES = (
    layouts.SUFFIXES
    | {".apng", ".dds", ".gif", ".j2k", ".jpx", ".pbm", ".pnm", ".psd", ".qoi", ".tga"}
    | {".heic", ".heif", ".jxl", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}
)
"""What a folder is searched for; a file that is named itself is tried whatever its name.

Those of the last line cannot be read. They are pictures all the same, so that they are named as faults, not passed
over.
"""
_PASSED_OVER = frozenset({"__macosx"})
"""What macOS leaves in archives."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file to restore, and where its results go: this folder and stem under --out, with some picture's suffix."""

    path: Path
    target: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How results are called: DIR/cat.png for one variant, DIR/cat.S.png and DIR/cat.L.png for two."""

    encoding: Encoding = LIKE_INPUT
    variants: tuple[str, ...] = ("L",)
    compare: bool = False

    def results(self, target: Path, suffix: str) -> list[Path]:
        """The file of each variant."""
        if len(self.variants) == 1:
            return [target.with_suffix(suffix)]
        return [target.with_suffix(f".{variant}{suffix}") for variant in self.variants]

    def sheet(self, target: Path) -> Path:
        """The file with before and after side by side."""
        return target.with_suffix(".compare.png")

    def all_of(self, entry: Input) -> list[Path]:
        """All files that an input leads to, as far as its name can tell."""
        results = self.results(entry.target, self.encoding.usual_suffix(entry.path.suffix))
        return [*results, *([self.sheet(entry.target)] if self.compare else [])]


def find_inputs(
    arguments: Sequence[str | Path],
    out: Path,
    naming: Naming = Naming(),
    *,
    overwrite: bool = False,
) -> list[Input]:
    """The files that the arguments name: pictures, folders of pictures and patterns, each file once.

    - A folder gives the pictures in and below it, with their place under it; links to folders are followed, each folder
      is searched once. Hidden files, hidden folders and --out itself are passed over.
    - A name that exists is that file or folder, whatever characters are in it; another with `*`, `?` or `[` is a
      pattern, `**` for any depth. Matches keep their place below the last folder before the first such character.

    Raises UsageError for what is missing, empty or unreadable, and for results that clash, as the module says. An
    input in the place of its own result is refused unless `overwrite`, one in the place of another's always.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is not a folder")
    found: dict[str, Input] = {}
    for argument in arguments:
        try:
            for file, place in _files(str(argument), out):
                found.setdefault(_identity(file), Input(file, out / _with_suffix(place)))
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    inputs = list(found.values())
    _refuse_clashes(inputs, naming)
    _refuse_lost_inputs(found, naming, overwrite)
    return inputs


class Claims:
    """The places that a run has written to: none twice, whatever a picture's content makes of its result's name.

    `find_inputs` goes by names. A .jpg that holds PNG becomes a .png, which is seen when it is read.
    """

    def __init__(self, inputs: Sequence[Input], naming: Naming) -> None:
        self._naming = naming
        self._inputs = {_identity(entry.path): entry.path for entry in inputs}
        self._written: dict[str, Path] = {}

    def claim(self, entry: Input, result: Path) -> None:
        """Keep the place for this input's result.

        Raises PictureError where it is that of another's result, of another input, or of a file beside the input that
        its name did not lead to.
        """
        place, own = _identity(result), _identity(entry.path)
        if self._inputs.get(place, entry.path) != entry.path:
            lost = self._inputs[place]
            raise PictureError(f"{lost} would be replaced by what becomes of {entry.path}: its content tells")
        expected = {own, *(_identity(path) for path in self._naming.all_of(entry))}
        if os.path.dirname(place) == os.path.dirname(own) and place not in expected and result.exists():
            raise PictureError(f"{entry.path}: {result} beside it would be replaced, as its content tells its name")
        other = self._written.setdefault(unicodedata.normalize("NFC", place).casefold(), entry.path)
        if other != entry.path:
            raise PictureError(f"{other} and {entry.path} would be written under one name, {result}: its content tells")


def _files(argument: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """The files that an argument names, and the place of each below --out."""
    path = Path(argument)
    if not argument:
        raise UsageError("an empty name among the inputs")
    if path.is_dir():
        files = [(file, file.relative_to(path)) for file in _below(path, os.path.realpath(out), set())]
        if not files:
            raise UsageError(f"{path}: the folder holds no pictures")
        yield from files
    elif path.exists():
        if not path.is_file():
            raise UsageError(f"{path}: is neither a file nor a folder")
        yield path, Path(path.name)
    elif glob.has_magic(argument):
        yield from _matches(path, os.path.realpath(out))
    else:
        raise UsageError(f"{path}: {'a link to nothing' if path.is_symlink() else 'no such file or folder'}")


def _below(folder: Path, out: str, searched: set[str]) -> Iterator[Path]:
    """The pictures below a folder: its own first, and those of linked folders last."""
    here = os.path.realpath(folder)
    if here in searched or (searched and here == out):
        return
    searched.add(here)
    with os.scandir(folder) as scanned:
        entries = sorted(
            (
                entry
                for entry in scanned
                if not entry.name.startswith(".") and entry.name.casefold() not in _PASSED_OVER
            ),
            key=lambda entry: (entry.is_dir() + entry.is_symlink() * entry.is_dir(), entry.name),
        )
    for entry in entries:
        if entry.is_dir():
            yield from _below(folder / entry.name, out, searched)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield folder / entry.name


def _matches(pattern: Path, out: str) -> Iterator[tuple[Path, Path]]:
    """The files that a pattern matches and those below folders that it matches."""
    fixed = 0
    while not glob.has_magic(pattern.parts[fixed]) or Path(*pattern.parts[: fixed + 1]).exists():
        fixed += 1
    start, rest = Path(*pattern.parts[:fixed]), os.path.join(*pattern.parts[fixed:])
    names = [Path(name) for name in glob.glob(rest, root_dir=start, recursive=True)]
    results_inside = out != os.path.realpath(start)
    files = []
    for name in sorted(names, key=lambda name: (len(name.parts), name)):  # so that a loop of links is met at its start
        path = start / name
        real = Path(os.path.realpath(path))
        if results_inside and Path(out) in (real, *real.parents):
            continue
        if any(part.casefold() in _PASSED_OVER for part in name.parts):
            continue
        if path.is_dir():
            files += [(file, file.relative_to(start)) for file in _below(path, out, set())]
        else:
            files.append((path, name))
    if not files:
        raise UsageError(f"{pattern}: no file has a name like this")
    yield from files


def _refuse_clashes(inputs: Sequence[Input], naming: Naming) -> None:
    owners: dict[str, tuple[Path, Path]] = {}
    clashes: list[str] = []
    for entry in inputs:
        for result in naming.all_of(entry):
            # Letter case, and two ways to write é, are the same to the disks of macOS, Windows and cameras.
            folded = unicodedata.normalize("NFC", str(result)).casefold()
            other, other_result = owners.setdefault(folded, (entry.path, result))
            if other is not entry.path:
                case = "" if other_result == result else ", but for letter case"
                clashes.append(f"{other} and {entry.path} would be written under one name, {result}{case}")
    if clashes:
        more = f" (and {len(clashes) - 1} more of the kind)" if len(clashes) > 1 else ""
        raise UsageError(f"{clashes[0]}{more}; restore them into folders of their own")


def _refuse_lost_inputs(inputs: dict[str, Input], naming: Naming, overwrite: bool) -> None:
    for entry in inputs.values():
        for result in naming.all_of(entry):
            lost = inputs.get(_identity(result))
            if lost is None or (lost is entry and overwrite):
                continue
            if lost is entry:
                raise UsageError(f"{lost.path} would be replaced by its own restoration; --overwrite allows that")
            raise UsageError(f"{lost.path} would be replaced by what becomes of {entry.path}; give another --out")


def _identity(file: Path) -> str:
    """A name in a folder, however the way there is written; a link is not the file that it leads to."""
    return os.path.join(os.path.realpath(file.parent), file.name)


def _with_suffix(place: Path) -> Path:
    """With .png behind a name that has no picture's suffix, so that no other part of it is taken for one."""
    return place if place.suffix.lower() in SUFFIXES else place.with_name(f"{place.name}.png")
