"""Pillow's settings while this package decodes; before and after, those of the program that imports it."""

import contextlib
import threading
from collections.abc import Iterator

from PIL import Image, ImageFile, PngImagePlugin

_SETTINGS = (
    # Its own check for decompression bombs warns at one size and raises at twice that; `open_image` checks sizes first.
    (Image, "MAX_IMAGE_PIXELS", None),
    (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
    # The limit of an embedded profile, too; texts are left out before Pillow sees a file.
    (PngImagePlugin, "MAX_TEXT_CHUNK", 1 << 24),
)
_lock = threading.Lock()
_inside = 0
_before: list[object] = []


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Apply the settings; the last of the threads that are inside restores what was set before the first."""
    global _inside, _before
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = [getattr(module, name) for module, name, _ in _SETTINGS]
            for module, name, value in _SETTINGS:
                setattr(module, name, value)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for (module, name, _), before in zip(_SETTINGS, _before, strict=True):
                    setattr(module, name, before)
