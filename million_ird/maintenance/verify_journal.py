"""What a verification has found so far, so that one that was killed goes on; gone when a verification has ended.

The results of units are stored in batches under `.work/verify`, where the folder can be written. A unit is named by all
that its result depends on, the marks of its files among it: what is in a file that has changed is checked again.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from million_ird.errors import BuildError, DamagedFile, OutputError
from million_ird.runtime.file_marks import mark_of
from million_ird.runtime.storage import Folder

log = logging.getLogger(__name__)

FOLDER = ".work/verify"
RULES = 1
"""Raise it when a unit is checked in another way."""
BATCH_SECONDS = 20.0
"""After which results are stored; that much of the work may be lost."""


@dataclass(frozen=True, slots=True)
class UnitContent:
    """What the result of a unit depends on."""

    files: tuple[str, ...]
    fields: list[Any]
    """Which rows of these are checked, and the rules, as JSON."""
    ledger: bytes
    """The rows of the ledger that they are compared with."""


class VerifyJournal:
    """Results by the names of units. Use as a context manager: it is removed at the end, and kept after an error."""

    def __init__(self, out: Folder) -> None:
        self._out = out
        self._can_write = not out.local or os.access(out.root, os.W_OK)
        self._before = self._load() if self._can_write else {}
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._names: dict[int, str] = {}
        self._marks: dict[str, str] = {}
        self._stored_at = time.monotonic()
        self._run, self._batches = secrets.token_hex(4), 0

    def __enter__(self) -> "VerifyJournal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._store()
        elif self._before or self._batches:
            self._out.remove(FOLDER)
            self._out.remove_empty(".work")

    def found(self, number: int, content: UnitContent) -> dict[str, Any] | None:
        """Return what an earlier run has found in a unit; None if none has, or if one of its files may have changed."""
        if not self._can_write:
            return None
        name = self._name(content)
        if name in self._before:
            return self._before[name]
        if name:
            self._names[number] = name
        return None

    def add(self, number: int, found: Mapping[str, Any]) -> None:
        """Keep what was found in a unit that `found` was asked for."""
        name = self._names.pop(number, "")
        if name:
            self._waiting[name] = found
        if time.monotonic() - self._stored_at >= BATCH_SECONDS:
            self._store()

    def _name(self, content: UnitContent) -> str:
        marks = [self._mark(name) for name in content.files]
        if not all(marks):
            return ""
        text = json.dumps([RULES, metadata.version("million-ird"), content.files, marks, content.fields])
        return hashlib.blake2b(text.encode() + content.ledger, digest_size=16).hexdigest()

    def _mark(self, name: str) -> str:
        """Return the mark that a file had when it was first asked for, before any of its units was checked."""
        if name not in self._marks:
            self._marks[name] = mark_of(self._out, name)
        return self._marks[name]

    def _store(self) -> None:
        self._stored_at = time.monotonic()
        if not (self._waiting and self._can_write):
            return
        try:
            self._out.write_json(f"{FOLDER}/{self._run}-{self._batches:06d}.json", self._waiting)
        except (OSError, OutputError, BuildError) as error:
            log.info("a verification that is killed will begin again: %s", error)
            self._can_write = False
        except Exception:
            if self._out.local:
                raise
            self._can_write = False  # clients of object stores raise error types of their own
        else:
            self._batches += 1
            self._waiting = {}

    def _load(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name in self._out.names(FOLDER):
            if name.endswith(".json"):
                try:
                    found |= self._out.read_json(f"{FOLDER}/{name}") or {}
                except DamagedFile:
                    log.info("%s/%s: is damaged, and checked again", FOLDER, name)
        return found
