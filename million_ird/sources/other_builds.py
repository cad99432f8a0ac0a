"""Outputs of other builds inside a source: their images are copies of images elsewhere, with a ledger of their own."""

import functools
import logging
from collections.abc import Sequence

from million_ird.config.recipe import HEADER_LINE
from million_ird.runtime.storage import Folder

log = logging.getLogger(__name__)

RECIPE = "recipe.yaml"
"""The file that marks a folder as the output of a build; its first line is `HEADER_LINE`."""


def is_build(folder: Folder, names: Sequence[str]) -> bool:
    """Return whether a folder with these names in it is the output of a build: its images are copies of others.

    Not that of a folder that a source names itself: whoever names it wants it.
    """
    if RECIPE not in names:
        return False
    try:
        found = folder.read(RECIPE, len(HEADER_LINE.encode())) == HEADER_LINE.encode()
    except OSError:
        return False
    if found:
        _warn_once(f"{folder.url}: is the output of another build, and is left out")
    return found


@functools.cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)


class OtherBuilds:
    """The outputs of other builds below a folder, found by the files that a pattern or a listing gives."""

    def __init__(self, top: Folder) -> None:
        self._top, self._known = top, {"": False}

    def contains(self, name: str) -> bool:
        """Return whether a file is in one, at any depth."""
        parent = name.rpartition("/")[0]
        if parent not in self._known:
            self._known[parent] = self.contains(parent) or self._is_build(parent)
        return self._known[parent]

    def _is_build(self, name: str) -> bool:
        folder = Folder(self._top.path(name) if self._top.local else f"{self._top.url}/{name}", self._top.options)
        return is_build(folder, [RECIPE] if folder.exists(RECIPE) else [])
