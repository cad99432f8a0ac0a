"""Pillow's settings are this package's while it decodes, and the importing program's otherwise."""

import io
import threading

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from million_ird.errors import ReadError
from million_ird.images.encoded_image import EncodedImage
from million_ird.images.pillow_settings import decoding


def settings() -> tuple[object, ...]:
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK


@pytest.fixture
def own_settings(monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 77)
    return settings()


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_limit_of_the_program_neither_counts_nor_changes(own_settings: tuple[object, ...], kind: str) -> None:
    image = EncodedImage(encoded(kind))
    assert image.thumbnail.shape == image.pixels.shape == (90, 80, 3)
    assert settings() == own_settings


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_what_is_cut_is_damaged_whatever_the_program_has_set(own_settings: tuple[object, ...], kind: str) -> None:
    whole = encoded(kind)
    with pytest.raises(ReadError):
        _ = EncodedImage(whole[: len(whole) * 2 // 3]).pixels
    assert settings() == own_settings


def test_the_last_of_several_threads_restores(own_settings: tuple[object, ...]) -> None:
    inside, leave = threading.Barrier(9), threading.Event()

    def enter() -> None:
        with decoding():
            inside.wait()
            leave.wait()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    inside.wait()
    with decoding():
        pass
    assert settings() == (None, False, 1 << 24)
    leave.set()
    for thread in threads:
        thread.join()
    assert settings() == own_settings
