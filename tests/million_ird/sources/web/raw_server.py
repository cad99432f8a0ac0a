"""A server that speaks whatever bytes a test wants, well-formed or not; every connection in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Speak = Callable[[socket.socket], None]


@dataclass
class Raw:
    """What was heard."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{scheme}://{host}:{self.port}{path}"


@contextlib.contextmanager
def speaking(speak: bytes | Speak) -> Iterator[Raw]:
    """Answers every request with those bytes, or as `speak` does, and closes the connection."""
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
