"""What people's folders of pictures look like: clean pictures, or pairs of a degraded picture and its clean one.

A folder of pairs is known by its structure: two folders side by side that are named for their sides (SIDES), wherever
they lie below the given one. Letter case never matters, in names of folders, of pictures or of their formats.
"""

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynet.data.pair_names import match_names
from dynet.errors import DataError

logger = logging.getLogger(__name__)
Split = Literal["train", "test"]

SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff"),
        *(".bmp", ".dib", ".ppm", ".pgm", ".avif", ".jp2"),
    }
)
SIDES: tuple[tuple[str, str, str | None], ...] = (
    ("input", "target", None),
    ("rainy", "gt", "derain"),
    ("rain", "norain", "derain"),
    ("synthetic", "original", "dehaze"),
    ("hazy", "gt", "dehaze"),
    ("hazy", "clear", "dehaze"),
    ("blur", "sharp", "deblur"),
    ("low", "high", "lowlight"),
    ("low", "gt", "lowlight"),
)
"""Folder of degraded pictures, folder of their clean ones, and the task that the two names make unmistakable."""

TASKS = {"derain": "derain", "dehaze": "dehaze", "deblur": "deblur", "enhance": "lowlight", "lowlight": "lowlight"}
"""Folders above the sides that name a task, as PromptIR's and AdaIR's do."""

CLEAN = "denoise"
"""The folder of clean pictures beside folders of pairs, as PromptIR has it."""

SPLITS: dict[Split, frozenset[str]] = {
    "train": frozenset({"train", "training", "our485"}),
    "test": frozenset({"test", "testing", "val", "eval", "validation", "eval15"}),
}
PASSED_OVER = frozenset({"blur_gamma", "__macosx"})
"""Folders that are neither side: GoPro's blur with another gamma, and what macOS leaves in archives."""

LONELY = frozenset(degraded for degraded, _, _ in SIDES) - {"rain"}
"""Folders that hold degraded pictures: without their clean ones beside them they are no pictures to train on. A folder
`rain` may be named for its task, or for what its clean pictures show."""

NAMED = 3
"""How many of the files at fault an error names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class ImagePair:
    """A degraded picture and its clean one; `name` is unique in its folder and free of the folder's own place."""

    name: str
    degraded: Path
    clean: Path
    scene: str = ""
    """Equal for the frames of one film, which are as good as the same picture."""


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """What a folder holds for one task: either clean pictures or pairs."""

    folder: Path
    task: str | None
    pictures: tuple[Path, ...] = ()
    pairs: tuple[ImagePair, ...] = ()


@dataclass(frozen=True, slots=True)
class _Root:
    """A folder that holds the two sides of pairs, or, without sides, clean pictures beside such."""

    folder: Path
    sides: tuple[Path, Path] | None
    task: str | None


def find_images(folder: Path) -> tuple[Path, ...]:
    """All pictures below a folder, in the order of their paths, whatever the file system's."""
    return tuple(sorted(_pictures(folder), key=lambda file: file.relative_to(folder).as_posix()))


def find_pairs(folder: Path, split: Split | None = None) -> tuple[ImagePair, ...]:
    """All pairs below a folder, in the order of their names.

    Where pairs for training and for testing lie beside each other, as in GoPro and LOL, only those of `split` are
    meant. Raises DataError for inputs without a target or with more than one, naming the first of them, for a folder
    of inputs alone, for one without pairs, and for both splits where `split` is None.
    """
    roots = [root for root in _roots(folder, folder, split, ()) if root.sides]
    if not roots:
        known = ", ".join(f"{degraded}/ + {clean}/" for degraded, clean, _ in SIDES)
        raise DataError(f"{folder} holds no pairs: none of {known} is in it")
    return _pairs(folder, roots)


def find_task_folders(folder: Path, split: Split | None = None) -> tuple[TaskFolder, ...]:
    """What a folder holds for each task: pairs if there are any, else clean pictures; raises as `find_pairs` does.

    Beside pairs, clean pictures are those of a folder named `denoise`; a warning counts the others.
    """
    roots = _roots(folder, folder, split, ())
    if not any(root.sides for root in roots):
        return (TaskFolder(folder, None, pictures=find_images(folder)),)
    parts = [TaskFolder(root.folder, None, pictures=find_images(root.folder)) for root in roots if root.sides is None]
    tasks = sorted({root.task for root in roots if root.sides}, key=str)
    for task in tasks:
        mine = [root for root in roots if root.sides and root.task == task]
        where = mine[0].folder if len(mine) == 1 else folder
        parts.append(TaskFolder(where, task, pairs=_pairs(where, mine)))
    inside = tuple(f"{place.as_posix()}/" for root in roots for place in root.sides or (root.folder,))
    left = [file.relative_to(folder).as_posix() for file in find_images(folder)]
    left = [name for name in left if not (folder / name).as_posix().startswith(inside)]
    if left:
        logger.warning("%s: %s outside of its pairs left out: %s", folder, _count(left, "picture"), _few(left))
    return tuple(parts)


def _roots(top: Path, folder: Path, split: Split | None, above: tuple[str, ...]) -> list[_Root]:
    """The outermost folders that hold sides, and those of clean pictures beside them, below (and with) `folder`."""
    here = os.path.realpath(folder)
    if here in above:
        return []
    children = {child.name.casefold(): child for child in _folders(folder)}
    sides = _sides(folder, children)
    if sides is not None:
        degraded, clean, task = sides
        named = [TASKS[name] for part in folder.relative_to(top).parts if (name := part.casefold()) in TASKS]
        return [_Root(folder, (degraded, clean), task or (named[-1] if named else None))]
    for name in sorted(LONELY & children.keys()):
        if any(_pictures(children[name])):
            wanted = " or ".join(f"{clean}/" for degraded, clean, _ in SIDES if degraded == name)
            raise DataError(f"{children[name]} has no clean pictures beside it: a folder {wanted} is looked for there")
    below = {name: _roots(top, child, split, (*above, here)) for name, child in children.items()}
    both = {kind: [name for name in names if below.get(name)] for kind, names in SPLITS.items()}
    if all(both.values()):
        if split is None:
            raise DataError(f"{folder} holds pairs to train on and to test on: name one of its folders")
        unwanted = both["test" if split == "train" else "train"]
        below = {name: roots for name, roots in below.items() if name not in unwanted}
    found = [root for name in sorted(below) for root in below[name]]
    if not found and folder != top and folder.name.casefold() == CLEAN and any(_pictures(folder)):
        return [_Root(folder, None, None)]
    return found


def _sides(folder: Path, children: dict[str, Path]) -> tuple[Path, Path, str | None] | None:
    for degraded, clean, task in SIDES:
        if degraded in children and clean in children:
            return children[degraded], children[clean], task
    return None


def _pairs(top: Path, roots: list[_Root]) -> tuple[ImagePair, ...]:
    """The pairs of these folders; each is a scene of its own where there are several of them, as films are."""
    pairs: list[ImagePair] = []
    for root in roots:
        place = root.folder.relative_to(top)
        film = root.folder.relative_to(top).as_posix() if len(roots) > 1 and root.task == "deblur" else ""
        pairs += [ImagePair((place / name).as_posix(), *files, film) for name, files in _matched(root).items()]
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def _matched(root: _Root) -> dict[str, tuple[Path, Path]]:
    """For each degraded picture's name its file and its clean one's."""
    assert root.sides is not None
    degraded, clean = (_by_name(side) for side in root.sides)
    if not degraded:
        raise DataError(f"{root.sides[0]} holds no pictures")
    for side, files in zip(root.sides, (degraded, clean), strict=True):
        twice = [found[:2] for found in files.values() if len(found) > 1]
        if twice:
            first, second = twice[0]
            raise DataError(
                f"{side}: {first.name} and {second.name} have one name; which is meant? ({len(twice)} such)"
            )
    matched = match_names(degraded, clean)
    if matched.alone:
        alone = [degraded[name][0].relative_to(root.folder).as_posix() for name in matched.alone]
        raise DataError(
            f"{root.folder}: {_count(alone, 'picture')} without one in {root.sides[1].name}/: {_few(alone)}"
        )
    idle = [clean[name][0] for name in sorted(clean.keys() - set(matched.clean_of.values()))]
    if idle:
        names = [file.relative_to(root.folder).as_posix() for file in idle]
        logger.warning("%s: nothing belongs to %s: %s", root.folder, _count(names, "clean picture"), _few(names))
    return {
        degraded[name][0].relative_to(root.sides[0]).with_suffix("").as_posix(): (degraded[name][0], clean[target][0])
        for name, target in matched.clean_of.items()
    }


def _by_name(side: Path) -> dict[str, list[Path]]:
    """The pictures of a side by their paths without suffix, in lower case."""
    named: dict[str, list[Path]] = {}
    for file in find_images(side):
        named.setdefault(file.relative_to(side).with_suffix("").as_posix().casefold(), []).append(file)
    return named


def _count(files: Collection[str], what: str) -> str:
    return f"{len(files)} {what}{'s' if len(files) > 1 else ''}"


def _few(files: list[str]) -> str:
    return ", ".join(files[:NAMED]) + (", …" if len(files) > NAMED else "")


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, links to folders among them."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    wanted = [name for name in names if not name.startswith(".") and name.casefold() not in PASSED_OVER]
    return [folder / name for name in sorted(wanted)]


def _pictures(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The pictures below a folder; a link to a folder above it is not followed."""
    here = os.path.realpath(folder)
    if here in above:
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    for name in names:
        if not name.startswith(".") and os.path.splitext(name)[1].casefold() in SUFFIXES:
            yield folder / name
    for child in _folders(folder):
        yield from _pictures(child, (*above, here))
