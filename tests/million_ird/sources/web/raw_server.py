"""A server that sends any bytes, well-formed or not; each connection has its own thread."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Speak = Callable[[socket.socket], None]


@dataclass
class Raw:
    """The server's port and what it has received."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"{scheme}://{host}:{self.port}{path}"


@contextlib.contextmanager
def speaking(speak: bytes | Speak) -> Iterator[Raw]:
    """Answer every request with these bytes, or as `speak` does, and close the connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    raw = Raw(listener.getsockname()[1])

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            heard = connection.recv(65_536)
            if not heard:
                return
            raw.requests.append(heard)
            if callable(speak):
                speak(connection)
            else:
                connection.sendall(speak)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                raw.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield raw
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
