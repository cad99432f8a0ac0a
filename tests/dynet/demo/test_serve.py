import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dynet.demo import serve
from dynet.demo.serve import Listener, is_loopback, listen
from dynet.errors import UsageError

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("place", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_this_machine_alone(place: str) -> None:
    assert is_loopback(place)


@pytest.mark.parametrize("place", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "8.8.8.8"])
def test_every_other_address_is_open_to_others(place: str) -> None:
    assert not is_loopback(place)


def test_port_0_takes_a_free_port_and_tells_it() -> None:
    one, other = listen("127.0.0.1", 0), listen("localhost", 0)
    with one.socket, other.socket:
        assert one.address == f"http://127.0.0.1:{one.socket.getsockname()[1]}/"
        assert one.address != other.address
        assert one.loopback
        assert other.loopback


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--host no\.such\.host\.invalid: no such address"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1 --port 0: "):  # a range that no machine has
        listen("192.0.2.1", 0)


def test_a_taken_port_is_one_line_and_exit_2(dynet_command: Command, tiny_weights: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", port)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"--port {port}: another program has it" in err


def test_without_gradio_one_line_says_how_to_install_it(
    dynet_command: Command, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", 0)
    assert (code, out, err) == (2, "", "dynet: the page needs gradio: pip install 'million-ird[demo]'\n")


def test_missing_weights_are_one_line(dynet_command: Command, tmp_path: Path) -> None:
    code, out, err = dynet_command("demo", "--weights", tmp_path / "none.safetensors", "--port", 0)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("loopback", [True, False])
def test_another_host_than_loopback_brings_a_warning(
    dynet_command: Command, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, loopback: bool
) -> None:

    def pretend(listener: Listener, restorer: object, limits: object, ready: Callable[[], None]) -> None:
        ready()
        listener.socket.close()

    monkeypatch.setattr(serve, "is_loopback", lambda place: loopback)  # nothing but this machine is served by a test
    monkeypatch.setattr(serve, "serve", pretend)
    code, out, err = dynet_command("demo", "--weights", tiny_weights, "--port", 0)
    assert code == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/  \(Ctrl-C ends it\)\n", out)
    assert ("has no password" in err) is not loopback
    assert err.count("\n") == (0 if loopback else 1)
