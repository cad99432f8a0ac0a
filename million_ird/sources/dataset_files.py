"""The files that a Hugging Face dataset names: inside its folder, or its repository on the Hub, or refused."""

import os
from collections.abc import Iterable

from million_ird.errors import ReadError, SourceError
from million_ird.runtime.local_files import read_at_most
from million_ird.runtime.storage import Folder
from million_ird.sources.containment import climbs, locate, refusal

_PACKED = frozenset({"zip", "tar", "gzip", "bz2", "xz", "zstd", "lz4"})
"""What `datasets` looks into: `zip://a.png::hf://…/images.zip`. The part before `::` is a member, never a path."""


def read_named(root: str, path: str, at_most: int, *, follow_links: bool) -> bytes:
    """Read the first bytes of a file that a row names: in the dataset's folder, or in its repository.

    Raises:
        ReadError: `outside_source`: it is in neither.
    """
    allowed = _allowed(root, path, follow_links)
    if "::" not in allowed and "://" not in allowed:
        return Folder(root).read(allowed, at_most)
    from datasets.utils.file_utils import xopen

    with xopen(allowed, "rb") as file:
        return read_at_most(file, at_most)


def check_data_files(root: str, paths: Iterable[str], *, follow_links: bool) -> None:
    """Make sure that the files from which `datasets` takes the rows are inside the dataset.

    Raises:
        SourceError: one is not: a README, a `state.json` or a link names it.
    """
    for path in paths:
        try:
            _allowed(root, path, follow_links)
        except ReadError as error:
            raise SourceError(f"source dataset:{root}: its file {os.path.basename(path)} {error.detail}") from error


def _allowed(root: str, path: str, follow_links: bool) -> str:
    """Return a path in a form that can be opened: relative to the folder, or a chain or address as it was."""
    *members, last = path.split("::")
    if any(member.partition("://")[0] not in _PACKED for member in members):
        raise refusal("is a chain of file systems")
    if not os.path.isdir(root):
        return _in_repository(root, path, last)
    folder = Folder(root)
    name = locate(folder, last, follow_links=follow_links)
    return "::".join([*members, folder.real_path(name)]) if members else name


def _in_repository(root: str, path: str, last: str) -> str:
    for mark in ("@", "/"):
        prefix = f"hf://datasets/{root}{mark}"
        if last.startswith(prefix) and not climbs(last.removeprefix(prefix)):
            return path
    raise refusal("is not in its repository")
