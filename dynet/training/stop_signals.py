"""SIGINT and SIGTERM as a flag that the training loop checks between steps."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

ANSWER = b"\ndynet: stopping after this step; again to stop now\n"


class StopSignals:
    """A context in which the first SIGINT or SIGTERM only sets `received`; a second one acts as it does outside.

    A step can take minutes, so the first is answered at once, on stderr.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._handlers_before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python sets handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers_before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore_handlers()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore_handlers()
        if int(os.environ.get("RANK", "0")) == 0:
            os.write(2, ANSWER)  # not by print: the signal may have come within one

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._handlers_before.clear()
