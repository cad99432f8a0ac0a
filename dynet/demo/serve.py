"""The server of the page: one address, and one temporary folder that is removed at the end."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from dynet.demo.listener import DemoListener
from dynet.demo.restorer import Restorer
from dynet.demo.uploads import TOTAL_BYTES, PageFolder, UploadLimits

SHUTDOWN_SECONDS = 1
"""How long the end waits for open connections; those of a page that is still open would never close."""


def serve(listener: DemoListener, restorer: Restorer, limits: UploadLimits, on_ready: Callable[[], None]) -> None:
    """Serve the page until SIGINT or SIGTERM, and remove its files.

    If an image is being restored at that moment, this ends the process: a forward pass cannot be interrupted.

    Args:
        listener: The socket; it is closed at the end.
        restorer: The network.
        limits: The largest accepted image.
        on_ready: Called before the first request.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="dynet-demo-") as name:
            folder = PageFolder(Path(name), max(TOTAL_BYTES, 4 * limits.file_bytes))
            ended = threading.Event()
            threading.Thread(target=folder.sweep_until, args=(ended,), daemon=True).start()
            try:
                _run(listener, restorer, limits, folder, on_ready)
            except KeyboardInterrupt:  # uvicorn raises the signal again after it has ended
                pass
            finally:
                ended.set()
                folder.close()
    finally:
        listener.socket.close()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    if restorer.busy:
        sys.stdout.flush()
        os._exit(0)


def _run(
    listener: DemoListener, restorer: Restorer, limits: UploadLimits, folder: PageFolder, on_ready: Callable[[], None]
) -> None:
    os.environ["GRADIO_TEMP_DIR"] = str(folder.path)  # gradio reads it for each component and each request

    import uvicorn  # a dependency of gradio

    from dynet.demo.page import create_app

    app = create_app(restorer, limits, folder, loopback=listener.loopback)
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=SHUTDOWN_SECONDS, ws="none")
    on_ready()
    uvicorn.Server(config).run(sockets=[listener.socket])
