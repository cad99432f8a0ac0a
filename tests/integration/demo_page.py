"""Actions of a visitor on the page of `dynet demo`, in Chromium."""

import json
import time
from pathlib import Path

from tests.integration.chromium import Chromium, Page

SECONDS = 60
"""The limit for waiting."""


def wait_until(page: Page, condition: str) -> None:
    """Wait until an expression is true in the page; a failure shows the text of the page."""
    deadline = time.monotonic() + SECONDS
    within_a_second = f"""new Promise(done => {{
      const start = performance.now();
      const check = () => ({condition}) ? done(true) : performance.now() - start > 1000 ? done(false)
        : setTimeout(check, 20);
      check();
    }})"""
    while not page.run(within_a_second):
        assert time.monotonic() < deadline, (
            f"never true: {condition}\n{page.run('document.body.innerText')}\n{page.errors()}"
        )


def open_page(browser: Chromium, url: str, *, width: int = 1280, dark: bool = False) -> Page:
    """Open the page of `dynet demo` at this address, and wait until it is complete."""
    page = browser.open(url, width=width, dark=dark)
    wait_until(page, "document.querySelectorAll('#examples button[aria-label] img').length > 0")
    wait_until(page, "!!document.querySelector('#image input[type=file]')")
    return page


def upload(page: Page, file: Path) -> None:
    """Choose a file as the image."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    element = page.call("DOM.querySelector", nodeId=root, selector="#image input[type=file]")
    page.call("DOM.setFileInputFiles", nodeId=element["nodeId"], files=[str(file)])


def wait_for_message(page: Page, text: str, role: str = "status") -> None:
    """Wait until the page's message, a `status` or an `alert`, contains this text."""
    wait_until(page, f"document.querySelector('#message [role={role}]')?.innerText.includes({json.dumps(text)})")


def choose_degradation(page: Page, label: str) -> None:
    """Choose a degradation with the mouse."""
    page.run("document.querySelector('#kind input').focus()")
    wait_until(page, "document.querySelectorAll('[role=option]').length > 5")
    options = "[...document.querySelectorAll('[role=option]')]"
    option = f"{options}.find(element => element.innerText.includes({json.dumps(label)}))"
    page.run(f"{option}.dispatchEvent(new MouseEvent('mousedown', {{ bubbles: true }}))")
    wait_until(page, "!!document.querySelector('#strength input')")


def slider_urls(page: Page, variant: str = "L") -> list[str]:
    """Wait until a variant's slider shows the images before and after, and return their URLs."""
    images = f"[...document.querySelectorAll('#slider-{variant} [data-testid=imageslider-image]')]"
    shown = "image => image.complete && image.naturalWidth && image.getBoundingClientRect().height > 20"
    wait_until(page, f"{images}.length == 2 && {images}.every({shown})")
    urls: list[str] = page.run(f"{images}.map(image => image.src)")
    return urls
