"""The screenshot of docs/demo.md: `dynet demo` in Chromium with a noisy photograph and its restoration.

`--weights W` are the weights of the page, `--picture FILE` is the photograph, and `--out FILE.jpg` is the file for the
screenshot. Without weights it uses a narrow, untrained network.
"""

import argparse
import io
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT))
from dynet import DyNet
from tests.integration.chromium import Chromium, is_installed
from tests.integration.demo_page import choose_degradation, open_page, slider_urls, upload, wait_for_message

QUALITY = 72


def screenshot(url: str, photograph: Path) -> Image.Image:
    """Return the page at a width of 1280 pixels, after the deepest variant has restored noise of sigma 25."""
    with Chromium() as browser, tempfile.TemporaryDirectory() as folder:
        page = open_page(browser, url)
        upload(page, photograph)
        wait_for_message(page, " pixels, ")
        choose_degradation(page, "Gaussian noise")
        page.run("document.querySelector('#restore').click()")
        wait_for_message(page, "Restored by ")
        slider_urls(page)
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        page.run(f"document.activeElement.blur(), {frames}")
        page.screenshot(Path(folder) / "page.png", whole=True)
        return Image.open(io.BytesIO((Path(folder) / "page.png").read_bytes())).convert("RGB")


def main() -> None:
    """Start the page, take the screenshot and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not is_installed():
        sys.exit("no Chromium at /usr/bin/chromium")
    import skimage.data

    photograph = arguments.picture or Path(skimage.data.__file__).with_name("motorcycle_left.png")
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.weights:
            DyNet(dim=4, heads=(1, 1, 2, 2), prompt_channels=(4, 4, 8)).save_pretrained(folder)
        command = [sys.executable, "-m", "dynet", "demo", "--weights", arguments.weights or folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
            assert program.stdout is not None
            try:
                image = screenshot(program.stdout.readline().split()[0], photograph.resolve())
            finally:
                program.send_signal(signal.SIGINT)
        out = arguments.out or Path(folder) / "demo_page.jpg"
        image.save(out, quality=QUALITY, optimize=True)
        print(f"| {out.name} | {image.width} × {image.height} pixels | {out.stat().st_size / 1000:.0f} kB |")


if __name__ == "__main__":
    main()
