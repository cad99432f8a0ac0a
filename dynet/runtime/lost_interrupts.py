"""An interrupt that arrives in a callback from C, or in a destructor, is raised again instead of being lost.

Python cannot pass an exception on from there: it prints it and continues, as if nobody had pressed Ctrl-C.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_SECONDS = 0.01
"""By then a callback has usually returned; if not, the interrupt is lost, and raised again once more."""


@contextlib.contextmanager
def lost_interrupts_raised() -> Iterator[None]:
    """Raise a KeyboardInterrupt that was lost in the main thread again, by the signal SIGALRM, within this block."""
    before, is_timer_set = sys.unraisablehook, False

    def handle(lost: "sys.UnraisableHookArgs") -> None:
        nonlocal is_timer_set
        is_interrupt = lost.exc_type is not None and issubclass(lost.exc_type, KeyboardInterrupt)
        if is_interrupt and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, _interrupt)
            signal.setitimer(signal.ITIMER_REAL, _SECONDS)
            is_timer_set = True
        else:
            before(lost)

    sys.unraisablehook = handle
    try:
        yield
    finally:
        sys.unraisablehook = before
        if is_timer_set:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
