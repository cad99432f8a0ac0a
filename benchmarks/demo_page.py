"""The picture of docs/demo.md: `dynet demo` in Chromium, a photograph with noise, and what the network makes of it.

`--weights W` are those of the page, `--picture FILE` is what it is shown with, `--out FILE.jpg` is where the picture of
the page goes. Without weights, those of a narrow network that was never trained.
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
from tests.integration.chromium import Chromium, is_there
from tests.integration.demo_page import choose, compared, message, opened, upload

QUALITY = 72


def screenshot(url: str, picture: Path) -> Image.Image:
    """The page at 1280 pixels, after the deepest variant has restored the picture with noise of sigma 25."""
    with Chromium() as browser, tempfile.TemporaryDirectory() as folder:
        page = opened(browser, url)
        upload(page, picture)
        message(page, " pixels, ")
        choose(page, "Gaussian noise")
        page.run("document.querySelector('#restore').click()")
        message(page, "Restored by ")
        compared(page)
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        page.run(f"document.activeElement.blur(), {frames}")
        page.screenshot(Path(folder) / "page.png", whole=True)
        return Image.open(io.BytesIO((Path(folder) / "page.png").read_bytes())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not is_there():
        sys.exit("no Chromium at /usr/bin/chromium")
    import skimage.data

    picture = arguments.picture or Path(skimage.data.__file__).with_name("motorcycle_left.png")
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.weights:
            DyNet(dim=4, heads=(1, 1, 2, 2), prompt_channels=(4, 4, 8)).save_pretrained(folder)
        command = [sys.executable, "-m", "dynet", "demo", "--weights", arguments.weights or folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
            assert program.stdout is not None
            try:
                image = screenshot(program.stdout.readline().split()[0], picture.resolve())
            finally:
                program.send_signal(signal.SIGINT)
        out = arguments.out or Path(folder) / "demo_page.jpg"
        image.save(out, quality=QUALITY, optimize=True)
        print(f"| {out.name} | {image.width} × {image.height} pixels | {out.stat().st_size / 1000:.0f} kB |")


if __name__ == "__main__":
    main()
