"""Warnings of libjpeg about JPEGs that Pillow decodes without a word."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.inference.images import read_file


def coded(mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_cut_jpeg_with_an_end_marker_is_read_with_a_warning(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = coded(mode)
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 9 // 10] + b"\xff\xd9")
    (tmp_path / "whole.jpg").write_bytes(whole)
    with caplog.at_level(logging.WARNING):
        read_file(tmp_path / "whole.jpg")
        assert caplog.messages == []
        read_file(tmp_path / "cut.jpg")
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path / 'cut.jpg'}: is damaged, and parts of it may be grey or wrong: ")
