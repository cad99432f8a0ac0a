import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dynet.demo import serve
from dynet.demo.listener import DemoListener, is_loopback, open_listener
from dynet.errors import UsageError

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_addresses_are_only_reachable_from_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "8.8.8.8"])
def test_all_other_addresses_are_reachable_from_other_machines(address: str) -> None:
    assert not is_loopback(address)


def test_port_0_takes_a_free_port_and_shows_it() -> None:
    first, second = open_listener("127.0.0.1", 0), open_listener("localhost", 0)
    with first.socket, second.socket:
        assert first.address == f"http://127.0.0.1:{first.socket.getsockname()[1]}/"
        assert first.address != second.address
        assert first.loopback
        assert second.loopback


def test_an_address_of_another_machine_is_refused() -> None:
    for host in ("no.such.host.invalid", "my..host", "n" * 70 + ".invalid", "\udcff"):
        with pytest.raises(UsageError, match=rf"--host {re.escape(host)}: no such address"):
            open_listener(host, 0)
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1 --port 0: "):  # no machine has an address of this range
        open_listener("192.0.2.1", 0)


def test_a_port_in_use_is_one_line_and_exit_code_2(dynet_command: Command, tiny_weights: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", port)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"--port {port}: is in use" in err


def test_without_gradio_one_line_tells_how_to_install_it(
    dynet_command: Command, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", 0)
    assert (code, out, err) == (2, "", "dynet: gradio is not installed: pip install 'million-ird[demo]'\n")


def test_missing_weights_are_one_line(dynet_command: Command, tmp_path: Path) -> None:
    code, out, err = dynet_command("demo", "--weights", tmp_path / "none.safetensors", "--port", 0)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("loopback", [True, False])
def test_any_host_but_loopback_gives_a_warning(
    dynet_command: Command, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, loopback: bool
) -> None:

    def serve_nothing(listener: DemoListener, restorer: object, limits: object, on_ready: Callable[[], None]) -> None:
        on_ready()
        listener.socket.close()

    # A test never listens for other machines.
    monkeypatch.setattr("dynet.demo.listener.is_loopback", lambda address: loopback)
    monkeypatch.setattr(serve, "serve", serve_nothing)
    code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", 0)
    assert code == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/  \(Ctrl-C ends it\)\n", out)
    assert ("has no password" in err) is not loopback
    assert err.count("\n") == (0 if loopback else 1)
