"""Layouts of image folders: clean images, or pairs of a degraded image and its clean one.

A folder of pairs is recognised by its structure: two folders side by side with the names of two sides (SIDES), anywhere
below the given folder. Letter case never matters in the names of folders and images. Folders of trainings are left out.
"""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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
    ("noisy", "clean", None),
    ("noisy", "gt", None),
    ("rainy", "gt", "derain"),
    ("rain", "norain", "derain"),
    ("synthetic", "original", "dehaze"),
    ("hazy", "gt", "dehaze"),
    ("hazy", "clear", "dehaze"),
    ("blur", "sharp", "deblur"),
    ("low", "high", "lowlight"),
    ("low", "gt", "lowlight"),
)
"""Folder of degraded images, folder of their clean ones, and the task, if the two names are clear about it."""

TASKS = MappingProxyType(
    {"derain": "derain", "dehaze": "dehaze", "deblur": "deblur", "enhance": "lowlight", "lowlight": "lowlight"}
)
"""Names of parent folders that name a task, as those of PromptIR and AdaIR do."""

CLEAN = "denoise"
"""The folder of clean images next to folders of pairs, as PromptIR has it."""

SPLITS: Mapping[Split, frozenset[str]] = MappingProxyType(
    {
        "train": frozenset({"train", "training", "our485"}),
        "test": frozenset({"test", "testing", "val", "eval", "validation", "eval15"}),
    }
)
IGNORED_FOLDERS = frozenset({"blur_gamma", "__macosx"})
"""Folders that are neither side: GoPro's blur with another gamma, and what macOS adds to archives."""

RUN_FILES = ("run.json", "config.yaml")
"""Files that identify the folder of a training; they are written before any image."""

DEGRADED_FOLDERS = frozenset(degraded for degraded, _, _ in SIDES) - {"rain"}
"""Folders of degraded images, which cannot be trained on without their clean ones next to them. A folder `rain` is not
among them: it may be named after its task, or after what its clean images show."""

MAX_NAMES = 3
"""How many files a message names."""


@dataclass(frozen=True, slots=True)
class ImagePair:
    """The files of a degraded image and its clean one; `name` is unique, and relative to the folder."""

    name: str
    degraded: Path
    clean: Path
    scene: str = ""
    """Equal for the frames of one video, which are nearly the same image."""


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """The images of a folder for one task: either clean images or pairs."""

    folder: Path
    task: str | None
    images: tuple[Path, ...] = ()
    pairs: tuple[ImagePair, ...] = ()


@dataclass(frozen=True, slots=True)
class _ImageFolder:
    """A folder with the two sides of pairs, or, if `sides` is None, with clean images next to folders of pairs."""

    folder: Path
    sides: tuple[Path, Path] | None
    task: str | None


def find_images(folder: Path) -> tuple[Path, ...]:
    """Return all images below a folder, sorted by path."""
    return tuple(sorted(_walk_images(folder), key=lambda file: file.relative_to(folder).as_posix()))


def find_pairs(folder: Path, split: Split | None = None) -> tuple[ImagePair, ...]:
    """Return all pairs below a folder, sorted by name.

    Args:
        folder: The folder.
        split: Which pairs to take where pairs for training and for testing are next to each other, as in GoPro and LOL.

    Raises:
        DataError: An input has no target or several (the message names the first), a folder has inputs only, there are
            no pairs, or there are both splits and `split` is None.
    """
    with_sides = [subfolder for subfolder in _find_folders(folder, folder, split, ()) if subfolder.sides]
    if not with_sides:
        known = ", ".join(f"{degraded}/ + {clean}/" for degraded, clean, _ in SIDES)
        raise DataError(f"{folder} holds no pairs: none of {known} is in it")
    return _pairs(folder, with_sides)


def find_task_folders(folder: Path, split: Split | None = None) -> tuple[TaskFolder, ...]:
    """Return the images of a folder for each task: pairs if there are any, else clean images.

    Next to pairs, only a folder named `denoise` counts as clean images; a warning counts the other images.

    Args:
        folder: The folder.
        split: As for `find_pairs`.

    Raises:
        DataError: As `find_pairs`, but a folder without pairs is valid.
    """
    subfolders = _find_folders(folder, folder, split, ())
    if not any(subfolder.sides for subfolder in subfolders):
        return (TaskFolder(folder, None, images=find_images(folder)),)
    task_folders = [
        TaskFolder(subfolder.folder, None, images=find_images(subfolder.folder))
        for subfolder in subfolders
        if subfolder.sides is None
    ]
    tasks = sorted({subfolder.task for subfolder in subfolders if subfolder.sides}, key=str)
    for task in tasks:
        of_task = [subfolder for subfolder in subfolders if subfolder.sides and subfolder.task == task]
        top = of_task[0].folder if len(of_task) == 1 else folder
        task_folders.append(TaskFolder(top, task, pairs=_pairs(top, of_task)))
    used = tuple(f"{path.as_posix()}/" for subfolder in subfolders for path in subfolder.sides or (subfolder.folder,))
    names = [file.relative_to(folder).as_posix() for file in find_images(folder)]
    unused = [name for name in names if not (folder / name).as_posix().startswith(used)]
    if unused:
        logger.warning("%s: ignored %s outside of its pairs: %s", folder, _count(unused, "image"), _shorten(unused))
    return tuple(task_folders)


def _find_folders(top: Path, folder: Path, split: Split | None, parents: tuple[str, ...]) -> list[_ImageFolder]:
    """Return `folder` and the outermost folders below it that have sides, or clean images next to those."""
    real_path = os.path.realpath(folder)
    if real_path in parents:
        return []
    children = {child.name.casefold(): child for child in _subfolders(folder)}
    sides = _sides(children)
    if sides is not None:
        degraded, clean, task = sides
        tasks = [TASKS[name] for part in folder.relative_to(top).parts if (name := part.casefold()) in TASKS]
        return [_ImageFolder(folder, (degraded, clean), task or (tasks[-1] if tasks else None))]
    for name in sorted(DEGRADED_FOLDERS & children.keys()):
        if any(_walk_images(children[name])):
            expected = " or ".join(f"{clean}/" for degraded, clean, _ in SIDES if degraded == name)
            raise DataError(f"{children[name]} has no clean images next to it: expected a folder {expected} there")
    below = {name: _find_folders(top, child, split, (*parents, real_path)) for name, child in children.items()}
    of_split = {kind: [name for name in names if below.get(name)] for kind, names in SPLITS.items()}
    if all(of_split.values()):
        if split is None:
            raise DataError(f"{folder} has pairs for training and for testing: name one of its folders")
        other_split = of_split["test" if split == "train" else "train"]
        below = {name: subfolders for name, subfolders in below.items() if name not in other_split}
    subfolders = [subfolder for name in sorted(below) for subfolder in below[name]]
    if not subfolders and folder != top and folder.name.casefold() == CLEAN and any(_walk_images(folder)):
        return [_ImageFolder(folder, None, None)]
    return subfolders


def _sides(children: dict[str, Path]) -> tuple[Path, Path, str | None] | None:
    """Return the folders of degraded and of clean images among a folder's subfolders, and their task; None without."""
    for degraded, clean, task in SIDES:
        if degraded in children and clean in children:
            return children[degraded], children[clean], task
    return None


def _pairs(top: Path, folders: list[_ImageFolder]) -> tuple[ImagePair, ...]:
    """Return the pairs of these folders; several folders of blurred images are videos, each a scene."""
    pairs: list[ImagePair] = []
    for folder in folders:
        relative = folder.folder.relative_to(top)
        scene = relative.as_posix() if len(folders) > 1 and folder.task == "deblur" else ""
        pairs += [ImagePair((relative / name).as_posix(), *files, scene) for name, files in _match(folder).items()]
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def _match(folder: _ImageFolder) -> dict[str, tuple[Path, Path]]:
    """Return the degraded file and the clean file of each pair, by the name of the degraded one."""
    assert folder.sides is not None
    degraded_side, clean_side = folder.sides
    degraded, clean = _files_by_name(degraded_side), _files_by_name(clean_side)
    if not degraded:
        raise DataError(f"{degraded_side} holds no images")
    for side, files in ((degraded_side, degraded), (clean_side, clean)):
        ambiguous = [same_name[:2] for same_name in files.values() if len(same_name) > 1]
        if ambiguous:
            first, second = ambiguous[0]
            count = _count(ambiguous, "ambiguous name")
            raise DataError(f"{side}: {first.name} and {second.name} have the same name ({count})")
    match = match_names(degraded, clean)
    if match.unmatched:
        unmatched = [degraded[name][0].relative_to(folder.folder).as_posix() for name in match.unmatched]
        count = _count(unmatched, "image")
        raise DataError(f"{folder.folder}: {count} without a clean one in {clean_side.name}/: {_shorten(unmatched)}")
    unused = [clean[name][0] for name in sorted(clean.keys() - set(match.clean_of.values()))]
    if unused:
        names = [file.relative_to(folder.folder).as_posix() for file in unused]
        count = _count(names, "clean image")
        logger.warning("%s: %s without a degraded one: %s", folder.folder, count, _shorten(names))
    return {
        degraded[name][0].relative_to(degraded_side).with_suffix("").as_posix(): (degraded[name][0], clean[target][0])
        for name, target in match.clean_of.items()
    }


def _files_by_name(side: Path) -> dict[str, list[Path]]:
    """Return the images of a side by their paths without suffix, in lower case."""
    files: dict[str, list[Path]] = {}
    for file in find_images(side):
        files.setdefault(file.relative_to(side).with_suffix("").as_posix().casefold(), []).append(file)
    return files


def _count(items: Collection[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _shorten(files: list[str]) -> str:
    return ", ".join(files[:MAX_NAMES]) + (", …" if len(files) > MAX_NAMES else "")


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, including links to folders; those of trainings are left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    kept = [name for name in names if not name.startswith(".") and name.casefold() not in IGNORED_FOLDERS]
    return [folder / name for name in sorted(kept) if not _is_run(folder / name)]


def _is_run(folder: Path) -> bool:
    """Return whether a folder is that of a training, whose previews are no images to train on.

    Otherwise a run that writes below its data would find other data when it is resumed.
    """
    return all((folder / name).is_file() for name in RUN_FILES)


def _walk_images(folder: Path, parents: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the images below a folder; links to a parent folder are not followed."""
    real_path = os.path.realpath(folder)
    if real_path in parents:
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    for name in names:
        if not name.startswith(".") and os.path.splitext(name)[1].casefold() in SUFFIXES:
            yield folder / name
    for child in _subfolders(folder):
        yield from _walk_images(child, (*parents, real_path))
