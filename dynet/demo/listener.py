"""The address of the page: a socket that listens before anything slow is loaded."""

import errno
import ipaddress
import socket
from dataclasses import dataclass

from dynet.errors import UsageError


@dataclass(frozen=True, slots=True)
class DemoListener:
    """A listening socket, and the address of the page."""

    socket: socket.socket
    address: str

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.socket.getsockname()[0])


def is_loopback(address: str) -> bool:
    """Return whether an IP address can only be reached from this machine."""
    return ipaddress.ip_address(address).is_loopback


def open_listener(host: str, port: int) -> DemoListener:
    """Listen on a port; 0 takes any free one.

    Raises:
        UsageError: The host does not exist, or the port cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family)
    except (socket.gaierror, UnicodeError) as error:  # the second for what is no name of any host
        raise UsageError(f"--host {host}: no such address") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: is in use; choose another, or 0 for any free port") from error
        raise UsageError(f"--host {host} --port {port}: {error.strerror}") from error
    name = f"[{host}]" if ":" in host else host
    return DemoListener(listening, f"http://{name}:{listening.getsockname()[1]}/")
