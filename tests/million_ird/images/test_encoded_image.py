"""What is decoded once for thumbnail and pixels is what each would be if decoded by itself, or fails alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from million_ird.errors import ReadError
from million_ird.images import decode as decoding
from million_ird.images.encoded_image import EncodedImage
from tests.million_ird.images import colour_files, other_files
from tests.million_ird.images.encoded_images import encode_image, wave_image

KINDS = ("png", "tiff", "pnm", "bmp", "tga", "ico", "coded")


def outcome(read: Callable[[], np.ndarray]) -> object:
    """Return the bytes of an image, or how reading it failed."""
    try:
        pixels = read()
    except ReadError as error:
        return error.failure_class, error.detail
    return pixels.shape, pixels.tobytes()


def differs(encoded: bytes) -> bool:
    """Return whether thumbnail or pixels of one `EncodedImage`, the thumbnail first, differ from those read alone."""
    alone = [
        outcome(lambda: EncodedImage(encoded).thumbnail),
        outcome(lambda: EncodedImage(encoded).pixels),
    ]
    image = EncodedImage(encoded)
    after = [outcome(lambda: image.thumbnail), outcome(lambda: image.pixels)]
    return after != alone or outcome(lambda: image.pixels) != alone[1]


def generated(kind: str) -> list[bytes]:
    module = colour_files if kind in {"png", "tiff"} else other_files
    return [file.encoded for file in getattr(module, f"{kind}_files")()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_reads_alike_after_the_thumbnail(kind: str) -> None:
    files = generated(kind)
    assert len(files) >= 6
    assert [number for number, encoded in enumerate(files) if differs(encoded)] == []


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG"])
def test_damaged_files_fail_alike_after_the_thumbnail(format: str) -> None:
    options = {"compression": "tiff_deflate"} if format == "TIFF" else {}
    whole = encode_image(wave_image(300, 400), format, **options)
    random = np.random.default_rng(0)
    read = 0
    for share in (0.3, 0.7, 0.97, 1, 1, 1, 1, 1, 1, 1):
        broken = bytearray(whole[: int(len(whole) * share)])
        for place in random.integers(len(broken) // 3, len(broken), 2):
            broken[place] ^= 0xFF
        assert not differs(bytes(broken)), share
        read += isinstance(outcome(lambda encoded=bytes(broken): EncodedImage(encoded).pixels)[1], bytes)
    assert read < 10


def test_damage_that_pillow_passes_over_is_found_after_the_thumbnail() -> None:
    whole = encode_image(wave_image(300, 400), "PNG")
    checksum = whole.rindex(b"IEND") - 8  # of the last IDAT
    image = EncodedImage(whole[:checksum] + bytes([whole[checksum] ^ 1]) + whole[checksum + 1 :])
    assert image.thumbnail.shape == (192, 256, 3)
    with pytest.raises(ReadError, match=r"^damaged: wrong checksum"):
        _ = image.pixels


def test_hostile_files_read_alike_after_the_thumbnail(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for path in sorted((shared_data / "hostile").rglob("*")) if path.is_file()]
    assert [path for path in files[::3] if differs(path.read_bytes())] == []
    capfd.readouterr()  # the C libraries' own complaints


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_what_the_thumbnail_decodes_whole_is_not_decoded_again(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    plain = decoding._to_array
    monkeypatch.setattr(decoding, "_to_array", lambda *given: counted.append(1) or plain(*given))
    image = EncodedImage(encode_image(wave_image(300, 400), format))
    assert max(image.thumbnail.shape) == decoding.THUMBNAIL_SIDE
    assert image.pixels.shape == (300, 400, 3)
    assert len(counted) == 1
