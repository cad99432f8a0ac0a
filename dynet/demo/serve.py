"""The page's server: one address, one folder of temporary files, and an end without a trace."""

import errno
import ipaddress
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dynet.demo.folder import PageFolder
from dynet.demo.restorer import Restorer
from dynet.demo.uploads import Limits
from dynet.errors import UsageError

SECONDS_TO_END = 1
"""How long open connections are waited for at the end: those of a page that is still shown would stay for ever."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that is ours."""

    socket: socket.socket
    address: str

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach it."""
        return is_loopback(self.socket.getsockname()[0])


def is_loopback(place: str) -> bool:
    """True for an IP address of this machine alone."""
    return ipaddress.ip_address(place).is_loopback


def require_gradio() -> None:
    """Raise UsageError where the extra is not installed."""
    if find_spec("gradio") is None:
        raise UsageError("the page needs gradio: pip install 'million-ird[demo]'")


def listen(host: str, port: int) -> Listener:
    """Take the port; 0 takes any that is free. Raises UsageError where that cannot be."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.create_server(place[:2], family=family)
    except socket.gaierror as error:
        raise UsageError(f"--host {host}: no such address") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"--port {port}: another program has it; give another, or 0 for any that is free"
            ) from error
        raise UsageError(f"--host {host} --port {port}: {error.strerror}") from error
    name = f"[{host}]" if ":" in host else host
    return Listener(taken, f"http://{name}:{taken.getsockname()[1]}/")


def serve(listener: Listener, restorer: Restorer, limits: Limits, ready: Callable[[], None]) -> None:
    """Serve the page until SIGINT or SIGTERM; its files are gone afterwards. `ready` is called before any request.

    The process ends here if a picture is being restored then: a network cannot be interrupted, and nobody waits for it.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="dynet-demo-") as name:
            folder = PageFolder(Path(name))
            try:
                _run(listener, restorer, limits, folder, ready)
            except KeyboardInterrupt:  # uvicorn raises the signal again when it has ended
                pass
            finally:
                folder.end()
    finally:
        listener.socket.close()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    if restorer.busy:
        sys.stdout.flush()
        os._exit(0)


def _run(listener: Listener, restorer: Restorer, limits: Limits, folder: PageFolder, ready: Callable[[], None]) -> None:
    os.environ["GRADIO_TEMP_DIR"] = str(folder.path)  # read when gradio makes a component, and at each request

    import uvicorn  # comes with gradio

    from dynet.demo.page import application

    app = application(restorer, limits, folder, loopback=listener.loopback)
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=SECONDS_TO_END, ws="none")
    ready()
    uvicorn.Server(config).run(sockets=[listener.socket])
