"""A driver for Debian's Chromium over its DevTools protocol, through a pipe: without a port or another package.

with Chromium() as browser:
    page = browser.open(path.as_uri(), width=360)
    page.run("document.title")
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = "/usr/bin/chromium"
SECONDS = 30.0
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)


def is_installed() -> bool:
    """Return whether Chromium is installed."""
    return Path(PROGRAM).exists()


class Chromium:
    """A browser with a temporary profile."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._last = 0
        self._pending = b""

    def __enter__(self) -> "Chromium":
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", PROGRAM, *_FLAGS.split(), f"--user-data-dir={self._profile}"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> "Page":
        """Open a page at that window size, and wait until it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.go(url)
        return page

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result; events that arrive before it are kept in `events`."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        _write_all(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def receive(self) -> dict[str, Any]:
        """Return the next message; an event is added to `events`."""
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._pending:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([self._read], [], [], remaining)[0]:
                raise TimeoutError(f"no message from Chromium for {SECONDS:.0f} s")
            content = os.read(self._read, 1 << 20)
            if not content:
                raise RuntimeError(f"Chromium ended with {self._process.wait(10)}")
            self._pending += content
        first, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        if "method" in message:
            self.events.append(message)
        return message


@dataclass
class Page:
    """One tab."""

    browser: Chromium
    session: str
    seen: int = field(default=0)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command to the tab and return its result."""
        return self.browser.call(method, self.session, **parameters)

    def go(self, url: str) -> None:
        """Load a page and wait for it."""
        self.browser.events.clear()
        self.call("Page.navigate", url=url)
        while not self.events("Page.loadEventFired"):
            self.browser.receive()

    def run(self, script: str) -> Any:
        """Return the value of an expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key: `press("ArrowRight", 39)`."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def events(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of the tab's events of one kind."""
        own = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event["params"] for event in own if event["method"] == method]

    def errors(self) -> list[str]:
        """Return all errors and warnings on the console, including uncaught exceptions."""
        self.run("new Promise(done => setTimeout(done, 50))")
        thrown = [event["exceptionDetails"]["text"] for event in self.events("Runtime.exceptionThrown")]
        calls = self.events("Runtime.consoleAPICalled")
        printed = [str(event["args"]) for event in calls if event["type"] in {"error", "warning"}]
        logged = [event["entry"]["text"] for event in self.events("Log.entryAdded")]
        return thrown + printed + logged

    def requested(self) -> list[str]:
        """Return the requested URLs without `data:` URLs; the page's own comes first."""
        urls = [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        screenshot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(screenshot["data"]))


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
