"""A process of its own for what a stranger's bytes may kill or hang.

The child makes one object and answers calls of its methods, one at a time, over a pair of pipes. It has nothing but
what is sent to it. When it dies, whoever called is told how, and makes another.
"""

import contextlib
import faulthandler
import importlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from million_ird.errors import MillionIRDError

PIPE_BYTES = 1 << 20
CALLS_PER_CHILD = 5_000
"""Then it is replaced, and with it whatever leaked."""
KINDS_KEPT = 2
"""One for measuring, one for the report's thumbnails."""
_idle: dict[bytes, list["Child"]] = {}
_lock = threading.Lock()


class Lost(MillionIRDError):
    """The child died of a call; `failure_class` is `hung`, `killed`, `out_of_memory` or `crashed`."""

    def __init__(self, failure_class: str, detail: str) -> None:
        super().__init__(f"{failure_class}: {detail}")
        self.failure_class = failure_class
        self.detail = detail

    def __reduce__(self) -> tuple[type["Lost"], tuple[str, str]]:
        return type(self), (self.failure_class, self.detail)


class Child:
    """A process that holds the object `factory(*arguments)`.

    Args:
        factory: `package.module:name`.
        arguments: what it is called with; must pickle.
        memory: bytes that the process may allocate; 0 for no limit.
    """

    def __init__(self, factory: str, arguments: tuple[object, ...], memory: int = 0) -> None:
        self.calls = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from million_ird.runtime.sandbox import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff and its like talk there about every odd file
            pipesize=PIPE_BYTES,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._send((factory, arguments, memory))

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def call(self, method: str, *arguments: object, seconds: float | None = None) -> Any:
        """Calls a method of the object; what it raises is raised here.

        Raises:
            Lost: the process died of it, or took longer than `seconds` and was killed for it.
        """
        self.calls += 1
        started = time.monotonic()
        try:
            self._send((method, arguments, seconds))
            fine, value = pickle.load(cast(BinaryIO, self._process.stdout))
        except (EOFError, BrokenPipeError, ConnectionError, pickle.UnpicklingError) as error:
            self._process.wait()
            code = self._process.returncode
            # Who hangs ends by its own clock, without a signal. Ours has run since before the child was ready.
            slow = code >= 0 and seconds is not None and time.monotonic() - started >= seconds
            raise _lost(code, seconds if slow else None) from error
        except BaseException:  # an interrupt: nobody knows which answer would come next
            self.kill()
            raise
        if not fine:
            raise value
        return value

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast(BinaryIO, pipe).close()

    def _send(self, message: object) -> None:
        pipe = cast(BinaryIO, self._process.stdin)
        pickle.dump(message, pipe, protocol=5)
        pipe.flush()


@contextlib.contextmanager
def borrowed(factory: str, arguments: tuple[object, ...], memory: int = 0) -> Iterator[Callable[[], Child]]:
    """Lends children, kept from one unit of work to the next: the function gives the one at hand, or a new one.

    A child that was lost is not given again.
    """
    name = pickle.dumps((factory, arguments, memory))
    children: list[Child] = []

    def child() -> Child:
        if children and not children[-1].alive:
            children.pop().kill()
        if not children:
            with _lock:
                idle = _idle.get(name, [])
                children.append(idle.pop() if idle else Child(factory, arguments, memory))
        return children[-1]

    try:
        yield child
    except BaseException:
        for one in children:
            one.kill()
        raise
    with _lock:
        kept = _idle.pop(name, [])
        for one in children:
            if one.alive and one.calls < CALLS_PER_CHILD:
                kept.append(one)
            else:
                one.kill()
        _idle[name] = kept
        while len(_idle) > KINDS_KEPT:  # of an earlier recipe: nobody will ask for these again
            for one in _idle.pop(next(iter(_idle))):
                one.kill()


def _lost(code: int, seconds: float | None) -> Lost:
    if seconds is not None:
        return Lost("hung", f"took longer than {seconds:g} s to decode and measure")
    if code == -signal.SIGKILL:
        return Lost("killed", "the process that decoded it was killed, for want of memory most likely")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Lost("crashed", f"crashed the process that decoded it ({name})")


def serve() -> None:
    """The child's whole life: reads calls from stdin, answers on stdout, ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_RDWR)
    os.dup2(silent, 0)
    os.dup2(silent, 1)  # whatever a library prints must not get between the answers
    with contextlib.suppress(EOFError, BrokenPipeError):
        factory, arguments, memory = pickle.load(calls)
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        module, name = factory.split(":")
        served = getattr(importlib.import_module(module), name)(*arguments)
        while True:
            method, arguments, seconds = pickle.load(calls)
            pickle.dump(_answer(getattr(served, method), arguments, seconds), answers, protocol=5)
            answers.flush()


def _answer(method: Callable[..., object], arguments: tuple[object, ...], seconds: float | None) -> tuple[bool, object]:
    if seconds is not None:
        # A thread of the interpreter's own, which ends the process even while a library holds the lock.
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)
    try:
        return True, method(*arguments)
    except MemoryError:
        return False, Lost("out_of_memory", "needs more memory than a worker may take")
    except Exception as error:
        return False, error
    finally:
        faulthandler.cancel_dump_traceback_later()
