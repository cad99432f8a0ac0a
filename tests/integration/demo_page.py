"""What a person does on the page of `dynet demo`, done in Chromium."""

import json
import time
from pathlib import Path

from tests.integration.chromium import Chromium, Page

SECONDS = 60
"""After which something that never comes is a fault."""


def until(page: Page, condition: str) -> None:
    """Waits until an expression is true in the page; what the page says is told where it never is."""
    end = time.monotonic() + SECONDS
    within_a_second = f"""new Promise(done => {{
      const began = performance.now();
      const look = () => ({condition}) ? done(true) : performance.now() - began > 1000 ? done(false)
        : setTimeout(look, 20);
      look();
    }})"""
    while not page.run(within_a_second):
        assert time.monotonic() < end, f"never: {condition}\n{page.run('document.body.innerText')}\n{page.errors()}"


def opened(browser: Chromium, url: str, *, width: int = 1280, dark: bool = False) -> Page:
    """The page of `dynet demo` at this address, when all of it is there."""
    page = browser.open(url, width=width, dark=dark)
    until(page, "document.querySelectorAll('#examples button[aria-label] img').length > 0")
    until(page, "!!document.querySelector('#picture input[type=file]')")
    return page


def upload(page: Page, file: Path) -> None:
    """Chooses a file as the picture."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    found = page.call("DOM.querySelector", nodeId=root, selector="#picture input[type=file]")
    page.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(file)])


def message(page: Page, said: str, role: str = "status") -> None:
    """Waits until the page says so, as what was done, or as an `alert`."""
    until(page, f"document.querySelector('#message [role={role}]')?.innerText.includes({json.dumps(said)})")


def choose(page: Page, label: str) -> None:
    """Chooses a degradation, with the mouse."""
    page.run("document.querySelector('#kind input').focus()")
    until(page, "document.querySelectorAll('[role=option]').length > 5")
    option = f"[...document.querySelectorAll('[role=option]')].find(one => one.innerText.includes({json.dumps(label)}))"
    page.run(f"{option}.dispatchEvent(new MouseEvent('mousedown', {{ bubbles: true }}))")
    until(page, "!!document.querySelector('#strength input')")


def compared(page: Page, variant: str = "L") -> list[str]:
    """Addresses of the pictures before and after, when the variant's slider shows both at their place."""
    pictures = f"[...document.querySelectorAll('#slider-{variant} [data-testid=imageslider-image]')]"
    drawn = "one => one.complete && one.naturalWidth && one.getBoundingClientRect().height > 20"
    until(page, f"{pictures}.length == 2 && {pictures}.every({drawn})")
    addresses: list[str] = page.run(f"{pictures}.map(one => one.src)")
    return addresses
