"""`dynet demo` as a person meets it: the program started, its page in a real browser, ended with Ctrl-C.

The program notes every address that it asks for, so that a call to another machine is seen whoever in it makes it.
"""

import io
import signal
import subprocess
import sys
import urllib.request
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.demo.degradations import Addition
from dynet.demo.restorer import Restorer
from dynet.inference.images import read_picture
from dynet.inference.precision import choose_kind
from dynet.inference.restore import prepare
from tests.integration.chromium import Chromium, Page, is_there
from tests.integration.demo_page import SECONDS, choose, compared, message, opened, until, upload

pytestmark = [
    pytest.mark.skipif(not is_there(), reason="no Chromium at /usr/bin/chromium"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="gradio, of the extra `demo`, is not installed"),
]

TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
PROGRAM = """
import sys
log = open(sys.argv[1], "a", buffering=1)
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(repr((event, arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0])), file=log)
sys.addaudithook(note)
from dynet.cli.app import main
main(sys.argv[2:])
"""


@dataclass(frozen=True)
class Demo:
    """The program while it runs."""

    process: subprocess.Popen[str]
    url: str
    temporary: Path
    asked: Path

    def end(self) -> tuple[int, str, str]:
        """Ctrl-C: exit code, the rest of stdout, stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    DyNet(**TINY, refinement_blocks=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Demo]:
    temporary = tmp_path_factory.mktemp("temporary")
    asked = tmp_path_factory.mktemp("asked") / "addresses.txt"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, asked, "demo", "--weights", weights, "--port", "0", "--max-megapixels", "0.1"],
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()  # the port takes requests from here on
    try:
        assert line.endswith("  (Ctrl-C ends it)\n"), process.communicate(timeout=SECONDS)
        yield Demo(process, line.split()[0], temporary, asked)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as started:
        yield started


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("mine") / "my cat & me.png"
    Image.fromarray(data.cat()[100:180, 120:240]).save(path)
    return path


def _shown(page: Page, variant: str) -> list[np.ndarray]:
    """Before and after as the browser shows them: fetched from where the slider's pictures come from."""
    return [np.asarray(Image.open(io.BytesIO(_get(url)))) for url in compared(page, variant)]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _others(page: Page) -> set[str]:
    """Hosts but the page's own that it has asked for, or that it names for the browser to ask or to connect to."""
    links = "[...document.querySelectorAll('link[href], script[src], img[src]')].map(one => one.href || one.src)"
    named = [url for url in [*page.requested(), *page.run(links)] if not url.startswith(("data:", "blob:"))]
    return {urlsplit(url).netloc for url in named} - {urlsplit(page.run("location.href")).netloc}


def _faults(page: Page) -> list[str]:
    """What the console says, but for a warning of gradio's own stream."""
    return [fault for fault in page.errors() if "Method not implemented" not in fault]


def _downloaded(browser: Chromium, page: Page, variant: str, folder: Path) -> Path:
    """What a press of the download button leaves on the visitor's disk."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
    page.run(f"document.querySelector('#download-{variant}').click()")
    while not any(
        event["method"] == "Browser.downloadProgress" and event["params"]["state"] == "completed"
        for event in browser.events
    ):
        browser.receive()
    (file,) = folder.iterdir()
    return file


def test_upload_noise_restore_and_the_picture_changes(
    browser: Chromium, demo: Demo, weights: Path, photograph: Path, tmp_path: Path
) -> None:
    page = opened(browser, demo.url)
    upload(page, photograph)
    message(page, "120 × 80 pixels, colour of 8 bits")
    choose(page, "Gaussian noise")
    page.run("document.querySelector('#restore').click()")
    message(page, "Restored by L in ")

    before, after = _shown(page, "L")
    model = DyNet.from_pretrained(weights)
    prepare(model, choose_kind("auto", torch.device("cpu")), local_statistics=None)  # as the program does
    expected = Restorer(model, torch.device("cpu")).compare(
        read_picture(photograph), Addition("gaussian_noise", 0.5, 0), model.variants[1:], lambda *_: None
    )
    assert np.array_equal(before, expected.before.colour)
    assert np.abs(after.astype(int) - expected.after[0].picture.colour).max() <= 1
    assert np.abs(after.astype(int) - before).mean() > 1
    figures = page.run("document.querySelector('#figures').innerText")
    assert expected.quality is not None
    assert f"{expected.quality.psnr:.2f} dB" in figures
    assert " MB" in figures
    assert " s\t" in figures
    file = _downloaded(browser, page, "L", tmp_path)
    assert file.name == "my cat & me.L.png"
    assert np.array_equal(np.asarray(Image.open(file)), after)
    assert _faults(page) == []
    assert _others(page) == set()

    page.run("document.querySelectorAll('input[type=radio]')[2].click()")
    page.run("document.querySelector('#restore').click()")
    message(page, "Restored by S in ")
    shallow = _shown(page, "S")[1]
    assert np.array_equal(_shown(page, "L")[1], after)
    assert not np.array_equal(shallow, after)


def test_a_text_file_brings_an_error_and_the_page_goes_on(
    browser: Chromium, demo: Demo, photograph: Path, tmp_path: Path
) -> None:
    page = opened(browser, demo.url)
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    upload(page, text)
    until(page, "document.body.innerText.includes('Invalid file type: notes.txt')")
    called = text.rename(tmp_path / "notes.png")
    upload(page, called)
    message(page, "notes.png: not a picture", "alert")
    large = tmp_path / "large.png"
    Image.new("RGB", (400, 300)).save(large)
    until(page, "!!document.querySelector('#picture input[type=file]')")
    upload(page, large)
    message(page, "large.png: has 0.1 megapixels (400 × 300), and this page takes up to 0.1", "alert")
    page.run("document.querySelector('#restore').click()")
    message(page, "Choose a picture first.", "alert")
    upload(page, photograph)
    message(page, "120 × 80 pixels")


def test_an_example_is_one_click_away_and_everything_has_a_name_for_the_keyboard(browser: Chromium, demo: Demo) -> None:
    page = opened(browser, demo.url)
    nameless = """[...document.querySelectorAll("button, input, [role=button]")]
      .filter(one => !(one.ariaLabel || one.innerText.trim() || one.labels?.length || one.closest("label")))
      .map(one => one.outerHTML.slice(0, 100))"""
    assert page.run(nameless) == []
    page.run("document.querySelector('#examples button').focus()")
    page.press(" ", 32)
    until(page, "!!document.querySelector('#picture img')")
    message(page, "astronaut.png: 316 × 316 pixels")  # made to fit the limit


@pytest.mark.parametrize(("width", "dark"), [(390, False), (768, True), (1280, True)])
def test_nothing_sticks_out(browser: Chromium, demo: Demo, width: int, dark: bool) -> None:
    page = opened(browser, demo.url, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    columns = (
        "new Set([...document.querySelectorAll('#picture, #figures')].map(e => e.getBoundingClientRect().left)).size"
    )
    assert page.run(columns) == (1 if width < 700 else 2)
    assert page.run("document.body.classList.contains('dark')") is dark


def test_ctrl_c_ends_it_at_any_time_without_a_trace_and_it_has_asked_no_other_machine(
    browser: Chromium, demo: Demo
) -> None:
    """The last test of the file: it ends the program that the others share."""
    page = opened(browser, demo.url)
    page.run("document.querySelector('#examples button').click()")
    message(page, "astronaut.png")
    page.run("document.querySelector('#restore').click()")
    until(page, "document.querySelector('#message').innerText.includes('%')")
    assert len(list(demo.temporary.glob("dynet-demo-*"))) == 1

    code, out, err = demo.end()
    assert (code, out, err) == (0, "", "")
    assert list(demo.temporary.glob("dynet-demo-*")) == []
    asked = [literal_eval(line) for line in demo.asked.read_text().splitlines()]
    assert asked, "the program has at least asked for its own address"
    hosts = {str(place[0]) if isinstance(place, tuple) else str(place) for _, place in asked}
    assert hosts <= {"127.0.0.1", "localhost", "::1"}, hosts
