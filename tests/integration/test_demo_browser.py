"""`dynet demo` as a user runs it: the program is started, used in a real browser, and ended with Ctrl-C.

The program logs every address that it contacts, so that a call to another machine is seen whichever library makes it.
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
from dynet.degradations.strengths import AddedDegradation
from dynet.demo.restorer import Restorer
from dynet.inference.images import read_image
from dynet.inference.precision import choose_dtype
from dynet.inference.restore import prepare_for_inference
from tests.integration.chromium import Chromium, Page, is_installed
from tests.integration.demo_page import (
    SECONDS,
    choose_degradation,
    open_page,
    slider_urls,
    upload,
    wait_for_message,
    wait_until,
)

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="no Chromium at /usr/bin/chromium"),
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
    contacted: Path
    """The log of contacted addresses."""

    def end(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and return the exit code, the rest of stdout, and stderr."""
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
    contacted = tmp_path_factory.mktemp("contacted") / "addresses.txt"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM,
            contacted,
            "demo",
            "--weights",
            weights,
            "--port",
            "0",
            "--max-megapixels",
            "0.1",
        ],
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()  # from now on the port accepts requests
    try:
        assert line.endswith("  (Ctrl-C ends it)\n"), process.communicate(timeout=SECONDS)
        yield Demo(process, line.split()[0], temporary, contacted)
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
    """Return the images before and after as the browser shows them, from the URLs of the slider."""
    return [np.asarray(Image.open(io.BytesIO(_get(url)))) for url in slider_urls(page, variant)]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _other_hosts(page: Page) -> set[str]:
    """Return all hosts but the page's own that it has contacted, or that its elements refer to."""
    links = "[...document.querySelectorAll('link[href], script[src], img[src]')].map(e => e.href || e.src)"
    urls = [url for url in [*page.requested(), *page.run(links)] if not url.startswith(("data:", "blob:"))]
    return {urlsplit(url).netloc for url in urls} - {urlsplit(page.run("location.href")).netloc}


def _console_errors(page: Page) -> list[str]:
    """Return the errors on the console, without a warning of gradio's own stream."""
    return [error for error in page.errors() if "Method not implemented" not in error]


def _downloaded(browser: Chromium, page: Page, variant: str, folder: Path) -> Path:
    """Press the download button, and return the file on the visitor's disk."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
    page.run(f"document.querySelector('#download-{variant}').click()")
    while not any(
        event["method"] == "Browser.downloadProgress" and event["params"]["state"] == "completed"
        for event in browser.events
    ):
        browser.receive()
    (file,) = folder.iterdir()
    return file


@pytest.mark.full
def test_an_uploaded_image_is_degraded_restored_and_downloaded(
    browser: Chromium, demo: Demo, weights: Path, photograph: Path, tmp_path: Path
) -> None:
    page = open_page(browser, demo.url)
    upload(page, photograph)
    wait_for_message(page, "120 × 80 pixels, colour of 8 bits")
    choose_degradation(page, "Gaussian noise")
    page.run("document.querySelector('#restore').click()")
    wait_for_message(page, "Restored by L in ")

    before, after = _shown(page, "L")
    model = DyNet.from_pretrained(weights)
    # As the program does.
    prepare_for_inference(model, choose_dtype("auto", torch.device("cpu")), local_statistics=None)
    expected = Restorer(model, torch.device("cpu")).compare(
        read_image(photograph), AddedDegradation("gaussian_noise", 0.5, 0), model.variants[1:], lambda *_: None
    )
    assert np.array_equal(before, expected.before.colour)
    assert np.abs(after.astype(int) - expected.results[0].image.colour).max() <= 1
    assert np.abs(after.astype(int) - before).mean() > 1
    figures = page.run("document.querySelector('#figures').innerText")
    assert expected.quality is not None
    assert f"{expected.quality.psnr:.2f} dB" in figures
    assert " MB" in figures
    assert " s\t" in figures
    file = _downloaded(browser, page, "L", tmp_path)
    assert file.name == "my cat & me.L.png"
    assert np.array_equal(np.asarray(Image.open(file)), after)
    assert _console_errors(page) == []
    assert _other_hosts(page) == set()

    page.run("document.querySelectorAll('input[type=radio]')[2].click()")
    page.run("document.querySelector('#restore').click()")
    wait_for_message(page, "Restored by S in ")
    shallow = _shown(page, "S")[1]
    assert np.array_equal(_shown(page, "L")[1], after)
    assert not np.array_equal(shallow, after)


@pytest.mark.full
def test_a_text_file_gives_an_error_and_the_page_still_works(
    browser: Chromium, demo: Demo, photograph: Path, tmp_path: Path
) -> None:
    page = open_page(browser, demo.url)
    text = tmp_path / "notes.txt"
    text.write_text("not an image")
    upload(page, text)
    wait_until(page, "document.body.innerText.includes('Invalid file type: notes.txt')")
    renamed = text.rename(tmp_path / "notes.png")
    upload(page, renamed)
    wait_for_message(page, "notes.png: not an image", "alert")
    large = tmp_path / "large.png"
    Image.new("RGB", (400, 300)).save(large)
    wait_until(page, "!!document.querySelector('#image input[type=file]')")
    upload(page, large)
    wait_for_message(page, "large.png: has 0.1 megapixels (400 × 300); this page accepts up to 0.1", "alert")
    page.run("document.querySelector('#restore').click()")
    wait_for_message(page, "Choose an image first.", "alert")
    upload(page, photograph)
    wait_for_message(page, "120 × 80 pixels")


@pytest.mark.full
def test_an_example_needs_one_key_press_and_every_control_has_a_name(browser: Chromium, demo: Demo) -> None:
    page = open_page(browser, demo.url)
    nameless = """[...document.querySelectorAll("button, input, [role=button]")]
      .filter(e => !(e.ariaLabel || e.innerText.trim() || e.labels?.length || e.closest("label")))
      .map(e => e.outerHTML.slice(0, 100))"""
    assert page.run(nameless) == []
    page.run("document.querySelector('#examples button').focus()")
    page.press(" ", 32)
    wait_until(page, "!!document.querySelector('#image img')")
    wait_for_message(page, "motorcycle.png: 384 × 259 pixels")  # downscaled to the limit


@pytest.mark.parametrize(("width", "dark"), [(390, False), (768, True), (1280, True)])
def test_nothing_exceeds_the_width_of_the_window(browser: Chromium, demo: Demo, width: int, dark: bool) -> None:
    page = open_page(browser, demo.url, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    columns = (
        "new Set([...document.querySelectorAll('#image, #figures')].map(e => e.getBoundingClientRect().left)).size"
    )
    assert page.run(columns) == (1 if width < 700 else 2)
    assert page.run("document.body.classList.contains('dark')") is dark


def test_ctrl_c_ends_the_program_without_remaining_files_or_contact_to_other_machines(
    browser: Chromium, demo: Demo
) -> None:
    """End the program that the other tests share; it must be the last test of the file."""
    page = open_page(browser, demo.url)
    page.run("document.querySelector('#examples button').click()")
    wait_for_message(page, "motorcycle.png")
    page.run("document.querySelector('#restore').click()")
    wait_until(page, "document.querySelector('#message').innerText.includes('%')")
    assert len(list(demo.temporary.glob("dynet-demo-*"))) == 1

    code, out, err = demo.end()
    assert (code, out, err) == (0, "", "")
    assert list(demo.temporary.glob("dynet-demo-*")) == []
    contacted = [literal_eval(line) for line in demo.contacted.read_text().splitlines()]
    assert contacted, "the program has at least looked up its own address"
    hosts = {str(address[0]) if isinstance(address, tuple) else str(address) for _, address in contacted}
    assert hosts <= {"127.0.0.1", "localhost", "::1"}, hosts
