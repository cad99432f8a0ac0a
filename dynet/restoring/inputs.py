"""Which files `dynet restore` was asked for, and where the results of each go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynet.errors import UsageError
from dynet.sets import layouts

# What a folder is searched for; a file that is named itself is tried whatever its name.
SUFFIXES = layouts.SUFFIXES | {".gif"}


@dataclass(frozen=True, slots=True)
class Input:
    """A file to restore, and where its results go: this folder and stem under --out."""

    path: Path
    target: Path


def find_inputs(arguments: Sequence[Path], out: Path) -> list[Input]:
    """The files that the arguments name; a folder gives the pictures in it, with their place under it.

    What is missing, and two files whose results would have one name, are refused before anything is written.
    """
    found: list[Input] = []
    for argument in arguments:
        if argument.is_dir():
            files = [file for file in sorted(argument.rglob("*")) if _is_input(file, out)]
            if not files:
                raise UsageError(f"{argument}: the folder holds no pictures")
            found += [Input(file, out / file.relative_to(argument)) for file in files]
        elif argument.exists():
            found.append(Input(argument, out / argument.name))
        else:
            raise UsageError(f"{argument}: no such file or folder")
    named: dict[Path, Path] = {}
    for entry in found:
        # Formats that become PNG could meet a PNG of the same stem, so stems are what must differ.
        other = named.setdefault(entry.target.with_suffix(""), entry.path)
        if other is not entry.path:
            raise UsageError(f"{other} and {entry.path} would be written under one name; restore them one by one")
    return found


def _is_input(file: Path, out: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file() and out.resolve() not in file.resolve().parents
