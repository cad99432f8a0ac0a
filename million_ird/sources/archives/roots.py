"""What the root of an archive source means: one archive, a folder, or a pattern, also with braces as in WebDataset."""

import itertools
import os
import re
from collections.abc import Iterator

from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.files import StorageOptions, root_folder
from million_ird.sources.listing import has_magic

MAX_EXPANDED_NUMBERS = 1_000_000
"""Largest number of archives that braces in a name may stand for."""
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_single(root: str, options: StorageOptions) -> bool:
    """Return whether a root is one archive, not a folder or a pattern of some."""
    return not (has_magic(root) or Folder(root, dict(options)).is_folder)


def base_of(root: str, options: StorageOptions) -> Folder:
    """Return the folder that the uris of a source are relative to: the part of the root before braces or wildcards."""
    braces = _BRACES.search(root)
    if braces is None or _exists(root):
        return root_folder(root, options)
    return _folder(root[: braces.start()].rpartition("/")[0], options)


def _folder(root: str, options: StorageOptions) -> Folder:
    # A wildcard may come before the first brace: only the folders before it are common to all archives.
    parts = itertools.takewhile(lambda part: not has_magic(part), root.split("/"))
    return Folder("/".join(parts) or "/", dict(options))


def _exists(root: str) -> bool:
    return "://" not in root and os.path.lexists(root)


def expand_braces(root: str) -> Iterator[str]:
    """Yield the name with each of the numbers that `{00000..00012}` stands for, as in WebDataset."""
    braces = None if _exists(root) else _BRACES.search(root)
    if braces is None:
        yield root
        return
    first, last = braces.groups()
    if int(last) - int(first) >= MAX_EXPANDED_NUMBERS:
        raise SourceError(f"source {root}: the braces stand for more than {MAX_EXPANDED_NUMBERS:,} archives")
    for number in range(int(first), int(last) + 1):
        yield from expand_braces(f"{root[: braces.start()]}{number:0{len(first)}d}{root[braces.end() :]}")
