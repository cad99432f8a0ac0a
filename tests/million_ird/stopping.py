"""Stop a program before one of its file operations, whichever: by a kill of its process, or by an exception."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from million_ird.runtime.storage import Folder

NEVER = 10**6
"""Number of an operation that no test reaches."""
Place = tuple[Any, str]
"""An object, and the name of one of its functions."""
FILES: Sequence[Place] = (
    *((Folder, name) for name in ("read", "writing", "rename", "remove", "remove_files")),
    (os, "replace"),
    (os, "unlink"),
)
"""Operations on files of a folder: `writing` is before a file is begun, `replace` before it gets its name."""


class Stopped(BaseException):
    """Stands for a kill in a process that must live on."""


def raise_stopped() -> None:
    """End the operation as a kill would, without a handler that catches errors."""
    raise Stopped


def kill_this_process() -> None:
    """Do what `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop_before(
    number: int,
    stop: Callable[[], None],
    replace: Callable[[Any, str, Any], None] = setattr,
    places: Sequence[Place] = FILES,
) -> list[int]:
    """Have `stop` be called before operation `number`, from 0; return a list whose number counts the operations.

    Of many files that are removed at once from an object store, the first half is removed then.
    """
    count = [0]
    remove_files = Folder.remove_files

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if count[0] == number:
                if function is remove_files and len(arguments[1]) > 1:
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                stop()
            count[0] += 1
            return function(*arguments, **options)

        return call

    for owner, name in places:
        replace(owner, name, counted(getattr(owner, name)))
    return count
