"""A process that starts others within milliseconds: it has loaded what they need, and forks.

There is one for each process of the program that asks for it. It ends with that process, and has a single thread, since
a fork copies only the thread that forks, and whatever lock another one holds stays locked in the copy.
"""

import contextlib
import fcntl
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

PIPE_BYTES = 1 << 20
PREPARE = "prepare_before_fork"
"""A function of this name in a module of `start_forked` is called once, in the server: it must leave no thread."""
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables without which NumPy's OpenBLAS and pyarrow start threads as soon as they are loaded."""
_SIZE_BYTES, _NUMBER_BYTES = 8, 4
_server: "ForkServer | None" = None
_lock = threading.Lock()


class _Start(NamedTuple):
    """A request for a process.

    Three descriptors are sent with it. The process reads from the first and writes to the second; to the third the
    server writes the number of the process, and later its exit code.
    """

    entry: str
    module: str
    path: list[str]
    environment: dict[str, str]
    folder: str | None


class _Kill(NamedTuple):
    pid: int


class ForkedProcess:
    """A process that the server has forked, with a pipe to it and one from it.

    Attributes:
        stdin: What is written here, it reads.
        stdout: What it writes.
        pid: Its number; None where the server ended before it could fork.
    """

    def __init__(self, server: "ForkServer", stdin: BinaryIO, stdout: BinaryIO, status: BinaryIO) -> None:
        self.stdin, self.stdout = stdin, stdout
        self._server, self._status = server, status
        self.pid = self._number()
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self._code is None and _readable(self._status.fileno(), milliseconds=0):
            self.wait()
        return self._code

    def wait(self) -> int:
        """Wait for its end and return the exit code; -SIGKILL where the server was killed, which alone knew it."""
        if self._code is None:
            code = self._number()
            self._code = -signal.SIGKILL if code is None else code
            self._status.close()
        return self._code

    def kill(self) -> None:
        """End it at once. Where the server is gone, it ends as soon as it reads from its pipe, which is closed here."""
        if self.poll() is None:
            if self.pid is not None:
                self._server.kill(self.pid)
            self.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _number(self) -> int | None:
        """Return what the server sends next: first the process's number, then its exit code; None if nothing comes."""
        sent = self._status.read(_NUMBER_BYTES)
        return int.from_bytes(sent, "little", signed=True) if len(sent) == _NUMBER_BYTES else None


class ForkServer:
    """The server as the program sees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import run; run({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libtiff and others write there about every odd file
                pass_fds=(theirs.fileno(),),
                env=os.environ | _NO_THREADS | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    @property
    def alive(self) -> bool:
        """Whether the server is running."""
        return self._process.poll() is None

    def start(self, entry: str, module: str) -> ForkedProcess:
        """Fork a process; see `start_forked`."""
        (calls, stdin), (stdout, answers), (status, status_writer) = os.pipe(), os.pipe(), os.pipe()
        with contextlib.ExitStack() as theirs:
            for descriptor in (calls, answers, status_writer):
                theirs.callback(os.close, descriptor)
            ours = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), os.fdopen(status, "rb", buffering=0)
            for pipe in ours[:2] if hasattr(fcntl, "F_SETPIPE_SZ") else ():
                with contextlib.suppress(OSError):  # a user's pipes may have come to their limit: then it stays small
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            folder = None
            with contextlib.suppress(OSError):  # the folder is gone
                folder = str(Path.cwd())
            request = _Start(entry, module, list(sys.path), dict(os.environ), folder)
            # A server that was killed a moment ago cannot answer: its process is then seen as killed, too.
            with contextlib.suppress(OSError):
                self._ask(request, (calls, answers, status_writer))
        return ForkedProcess(self, *ours)

    def kill(self, pid: int) -> None:
        """Kill a process by its number, if it has not ended: the server knows, so no other process can be hit."""
        with contextlib.suppress(OSError):
            self._ask(_Kill(pid), ())

    def _ask(self, request: _Start | _Kill, descriptors: tuple[int, ...]) -> None:
        message = pickle.dumps(request)
        with self._lock:
            socket.send_fds(self._control, [len(message).to_bytes(_SIZE_BYTES, "little")], descriptors)
            self._control.sendall(message)


def start_forked(entry: str, module: str) -> ForkedProcess:
    """Fork a process from one that has loaded `module`.

    Args:
        entry: `package.module:function`, called in the process with the descriptors that it reads from and writes to.
        module: Imported once by the server before it forks, and its function PREPARE called. What fails there is left
            for the process itself to find and to report.
    """
    global _server
    with _lock:
        if _server is None or not _server.alive:
            _server = ForkServer()
        return _server.start(entry, module)


def run(descriptor: int) -> None:
    """Run the server: fork at every request, report every exit code, end with the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the program to handle
    control = socket.socket(fileno=descriptor)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: dict[int, int] = {}  # where to tell of its end, by the number of a process
    prepared: set[str] = set()
    while True:
        ready = _readable(control.fileno(), woken)
        if woken in ready:
            os.read(woken, 1 << 16)
        _send_exit_codes(children)
        if control.fileno() in ready:
            received = _receive(control)
            if received is None:
                return
            request, descriptors = received
            if isinstance(request, _Kill):
                if request.pid in children:
                    os.kill(request.pid, signal.SIGKILL)
                continue
            sys.path[:] = request.path
            if request.module not in prepared:
                prepared.add(request.module)
                _prepare(request.module)
            calls, answers, status_writer = descriptors
            pid = os.fork()
            if pid == 0:
                for mine in (control.detach(), woken, wake, status_writer, *children.values()):
                    os.close(mine)
                _run_child(request, calls, answers)
            os.close(calls)
            os.close(answers)
            children[pid] = status_writer
            _send_number(status_writer, pid)


def _readable(*descriptors: int, milliseconds: int | None = None) -> set[int]:
    """Wait until one can be read or is closed at its other end, or the time is over; return which."""
    poll = select.poll()  # `select.select` takes no descriptors from 1024 on
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(milliseconds)}


def _prepare(module: str) -> None:
    with contextlib.suppress(Exception):  # the process finds the same, and answers with it
        getattr(importlib.import_module(module), PREPARE, lambda: None)()
    gc.collect()
    gc.freeze()  # a collection in the processes would copy every page that they share


def _run_child(request: _Start, calls: int, answers: int) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(request.environment)
        if request.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(request.folder)
        module, name = request.entry.split(":")
        getattr(importlib.import_module(module), name)(calls, answers)
        code = 0
    finally:
        os._exit(code)


def _send_exit_codes(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status_writer = children.pop(pid)
        _send_number(status_writer, os.waitstatus_to_exitcode(status))
        os.close(status_writer)


def _send_number(status_writer: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the program has closed its end
        os.write(status_writer, number.to_bytes(_NUMBER_BYTES, "little", signed=True))


def _receive(control: socket.socket) -> tuple[_Start | _Kill, list[int]] | None:
    """Return a request and its descriptors; None when the program has ended."""
    try:
        size, descriptors, _, _ = socket.recv_fds(control, _SIZE_BYTES, 3)
        if len(size) < _SIZE_BYTES:
            return None
        message = bytearray()
        while len(message) < int.from_bytes(size, "little"):
            part = control.recv(int.from_bytes(size, "little") - len(message))
            if not part:
                return None
            message += part
    except ConnectionError:
        return None
    return pickle.loads(message), descriptors
