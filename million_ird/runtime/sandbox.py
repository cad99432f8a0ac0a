"""A worker process for code that untrusted bytes may crash or hang.

The process makes one object and answers calls of its methods, one at a time, over a pair of pipes. It has nothing but
what is sent to it. When it dies, the caller gets a `WorkerDied` with the reason, and starts another.
"""

import contextlib
import faulthandler
import importlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from million_ird.errors import MillionIRDError
from million_ird.runtime.fork_server import start_forked

CALLS_PER_PROCESS = 5_000
"""Then it is replaced, and with it whatever leaked."""
KINDS_KEPT = 2
"""One for measuring, one for pages from the web or, at the end, the report's thumbnails."""
_idle: dict[bytes, list["WorkerProcess"]] = {}
_lock = threading.Lock()


class WorkerDied(MillionIRDError):
    """The process died during a call; `failure_class` is `hung`, `killed`, `out_of_memory` or `crashed`.

    `started` is false if that was before it had its object: then the call is not at fault.
    """

    def __init__(self, failure_class: str, detail: str, started: bool = True) -> None:
        super().__init__(f"{failure_class}: {detail}")
        self.failure_class = failure_class
        self.detail = detail
        self.started = started

    def __reduce__(self) -> tuple[type["WorkerDied"], tuple[str, str, bool]]:
        return type(self), (self.failure_class, self.detail, self.started)


class WorkerProcess:
    """A process that holds the object `factory(*arguments)`.

    Args:
        factory: `package.module:name`.
        arguments: of the factory; must pickle.
        memory: bytes that the process may allocate; 0 for no limit.
    """

    def __init__(self, factory: str, arguments: tuple[object, ...], memory: int = 0) -> None:
        self.calls = 0
        self._started = False
        self._process = start_forked(f"{__name__}:serve", factory.partition(":")[0])
        with contextlib.suppress(BrokenPipeError):  # it was killed already: the first call tells
            self._send((factory, arguments, memory))

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def call(self, method: str, *arguments: object, seconds: float | None = None) -> Any:
        """Call a method of the object; what it raises is raised here.

        Raises:
            WorkerDied: the process died during the call, or took longer than `seconds` and was killed for it.
        """
        self.calls += 1
        started = time.monotonic()
        try:
            self._send((method, arguments, seconds))
            if not self._started:
                pickle.load(self._process.stdout)
                self._started = True
            succeeded, value = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, ConnectionError, pickle.UnpicklingError) as error:
            code = self._process.wait()
            # A process that hangs ends itself by its own timer, without a signal; this clock started before that one.
            slow = code >= 0 and seconds is not None and time.monotonic() - started >= seconds
            raise _death(code, seconds if slow else None, self._started) from error
        except BaseException:  # after an interrupt, the next answer could belong to this call
            self.kill()
            raise
        if not succeeded:
            raise value
        return value

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def _send(self, message: object) -> None:
        pickle.dump(message, self._process.stdin, protocol=5)
        self._process.stdin.flush()


@contextlib.contextmanager
def worker_process(
    factory: str, arguments: tuple[object, ...], memory: int = 0
) -> Iterator[Callable[[], WorkerProcess]]:
    """Lend a worker process, kept from one unit of work to the next.

    Yields:
        A function that returns the process at hand, or a new one where that has died.
    """
    name = pickle.dumps((factory, arguments, memory))
    processes: list[WorkerProcess] = []

    def process() -> WorkerProcess:
        if processes and not processes[-1].alive:
            processes.pop().kill()
        if not processes:
            with _lock:
                idle = _idle.get(name, [])
                processes.append(idle.pop() if idle else WorkerProcess(factory, arguments, memory))
        return processes[-1]

    try:
        yield process
    except BaseException:
        for running in processes:
            running.kill()
        raise
    _put_back(name, processes)


def _put_back(name: bytes, processes: list[WorkerProcess]) -> None:
    """Keep processes for later units of the same kind; end those that are worn out or of kinds no longer used."""
    with _lock:
        kept = _idle.pop(name, [])
        for process in processes:
            if process.alive and process.calls < CALLS_PER_PROCESS:
                kept.append(process)
            else:
                process.kill()
        _idle[name] = kept
        while len(_idle) > KINDS_KEPT:  # of an earlier recipe
            for process in _idle.pop(next(iter(_idle))):
                process.kill()


def _death(code: int, seconds: float | None, started: bool) -> WorkerDied:
    if seconds is not None:
        return WorkerDied("hung", f"took longer than {seconds:g} s to read", started)
    if code == -signal.SIGKILL:
        return WorkerDied("killed", "the process that read it was killed, most likely because memory ran out", started)
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return WorkerDied("crashed", f"crashed the process that read it ({name})", started)


def serve(read: int, write: int) -> None:
    """Run the process: read calls from one descriptor, answer on another, end with the program."""
    calls, answers = os.fdopen(read, "rb"), os.fdopen(write, "wb")
    with contextlib.suppress(EOFError, BrokenPipeError):
        factory, arguments, memory = pickle.load(calls)
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        made, served = _answer(_make, (factory, arguments), None)
        pickle.dump(made, answers, protocol=5)
        answers.flush()
        while True:
            method, arguments, seconds = pickle.load(calls)
            # Where the object could not be made, every call is answered with the reason.
            answer = _answer(getattr(served, method), arguments, seconds) if made else (False, served)
            pickle.dump(answer, answers, protocol=5)
            answers.flush()


def _make(factory: str, arguments: tuple[object, ...]) -> object:
    module, name = factory.split(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def _answer(method: Callable[..., object], arguments: tuple[object, ...], seconds: float | None) -> tuple[bool, object]:
    if seconds is not None:
        # A thread of the interpreter, which ends the process even while a library holds the lock.
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)
    try:
        return True, method(*arguments)
    except MemoryError:
        return False, WorkerDied("out_of_memory", "needs more memory than a worker may take")
    except Exception as error:
        return False, error
    finally:
        faulthandler.cancel_dump_traceback_later()
