"""What a power cut leaves depends on: a record of the calls that flush and rename files."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class DiskCalls:
    """The calls that concern power cuts, in order: ("flush", path) and ("rename", from, to)."""

    calls: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def renamed(self) -> list[str]:
        """The names that files got."""
        return [call[2] for call in self.calls if call[0] == "rename"]

    def check(self) -> None:
        """Every file is flushed before it gets its name, and its folder after."""
        for place, call in enumerate(self.calls):
            if call[0] == "rename":
                _, old, new = call
                assert ("flush", old) in self.calls[:place], f"{new} got its name before its content was flushed"
                folder = ("flush", os.path.dirname(new))
                assert folder in self.calls[place:], f"the folder of {new} was not flushed after the renaming"


@contextlib.contextmanager
def recorded_disk_calls() -> Iterator[DiskCalls]:
    """Record the calls of a block, and check their order at its end."""
    recorded = DiskCalls()
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        recorded.calls.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def recording_replace(old: str | Path, new: str | Path) -> None:
        recorded.calls.append(("rename", os.path.realpath(old), os.path.realpath(new)))
        replace(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", recording_fsync)
        patch.setattr(os, "replace", recording_replace)
        yield recorded
    recorded.check()
