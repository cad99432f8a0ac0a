"""What card and report were made from, so that a build in which nothing moved writes neither again.

A record says which inputs the files were made from, and which versions of the files that gave. It is valid only while
both are unchanged: the files are written again after a change of recipe, ledger, shards, releases, sources or program
version, and after one of them was removed or edited.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from million_ird import ledger as ledgers
from million_ird.build_folder import SOURCES, WORK
from million_ird.config.recipe import Recipe, digest
from million_ird.dataset.layout import CARD, CHANGES, FIGURES, LICENCE_FILE, RELEASES, REPORT
from million_ird.runtime.storage import Folder

_SHARDS = ("data", "patches")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrom:
    """The inputs of the card or the report of one folder."""

    folder: Folder
    name: str
    """Of the record: `card` or `report`."""
    inputs: str
    """Digest of all that the files depend on."""
    files: tuple[str, ...]
    """The files, and the folder of the card's figures."""

    @property
    def is_current(self) -> bool:
        """Whether the files are there, unchanged, and were made from these inputs."""
        return bool(self.folder.read_json(self._record) == self._state())

    def keep(self) -> None:
        """Record that the files, which were just written, were made from these inputs."""
        self.folder.write_json(self._record, self._state())

    @property
    def _record(self) -> str:
        return f"{WORK}/{self.name}.json"

    def _state(self) -> dict[str, object]:
        return {"inputs": self.inputs, "files": _versions(self.folder, self.files)}


def card_made_from(folder: Folder, recipe: Recipe, benchmarks: Sequence[str], mark: str) -> MadeFrom:
    """Return what the card of the present ledger and shards is made from; `benchmarks` are those it lists."""
    inputs = {
        **_common(folder, recipe, mark),
        "benchmarks": list(benchmarks),
        "shards": {kind: [list(one) for one in folder.sizes(kind)] for kind in _SHARDS},
        "releases": _versions(folder, (RELEASES, CHANGES)),
    }
    return MadeFrom(folder=folder, name="card", inputs=_digest(inputs), files=(CARD, LICENCE_FILE, FIGURES))


def report_made_from(folder: Folder, recipe: Recipe, mark: str, vanished: int) -> MadeFrom:
    """Return what the report of the present ledger is made from; of `vanished` candidates it shows no thumbnail."""
    inputs = {
        **_common(folder, recipe, mark),
        "folder": folder.url,
        "sources": folder.read_json(SOURCES),
        "vanished": vanished,
    }
    return MadeFrom(folder=folder, name="report", inputs=_digest(inputs), files=(REPORT,))


def _common(folder: Folder, recipe: Recipe, mark: str) -> dict[str, object]:
    return {
        "program": metadata.version("million-ird"),
        "recipe": recipe.digest,
        "mark": mark,
        "ledger": ledgers.versions(folder),
    }


def _digest(inputs: Mapping[str, object]) -> str:
    return digest(json.dumps(inputs, sort_keys=True))  # in ASCII: a path need not be valid text


def _versions(folder: Folder, names: Sequence[str]) -> dict[str, str]:
    """Return the versions of files that exist; of a folder, those of the files in it."""
    found: dict[str, str] = {}
    for name in names:
        inside = [f"{name}/{one}" for one in folder.names(name)] if name == FIGURES else [name]
        found |= {one: folder.version(one) for one in inside if folder.exists(one)}
    return found
