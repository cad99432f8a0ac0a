"""WebP: chunks of the image stay the same bytes, sizes and flags are correct."""

import io
import struct

import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.metadata import webp
from million_ird.metadata.strip import strip_metadata
from tests.million_ird import scenes
from tests.million_ird.metadata.file_parts import exif, saved, xmp
from tests.million_ird.metadata.secret_files import webp as secret_webp


def chunks(encoded: bytes) -> dict[bytes, bytes]:
    return {c.kind: encoded[c.start : c.stop] for c in webp._chunks(encoded, 12, len(encoded))}


def test_image_and_profile_are_the_same_bytes_and_the_size_is_correct() -> None:
    encoded = secret_webp().encoded
    end = 8 + struct.unpack("<I", encoded[4:8])[0]
    before, after = chunks(encoded[:end]), chunks(strip_metadata(encoded, "WEBP"))
    assert set(after) == {b"VP8X", b"ICCP", b"VP8 ", b"EXIF"}
    assert all(after[kind] == before[kind] for kind in (b"ICCP", b"VP8 "))
    assert after[b"VP8X"][8] == 0x20 | 0x08  # profile, and the orientation
    assert struct.unpack("<I", strip_metadata(encoded, "WEBP")[4:8])[0] == len(strip_metadata(encoded, "WEBP")) - 8


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_without_orientation_no_flag_remains(options: dict[str, object]) -> None:
    stripped = strip_metadata(saved("WEBP", exif=exif(1), xmp=xmp(), **options), "WEBP")
    assert chunks(stripped)[b"VP8X"][8] & 0x0C == 0
    assert not {b"EXIF", b"XMP "} & set(chunks(stripped))


def animation() -> bytes:
    buffer = io.BytesIO()
    scenes.photograph(1).save(buffer, "WEBP", save_all=True, append_images=[scenes.photograph(2)], xmp=xmp())
    return buffer.getvalue()


def test_frames_are_the_same_bytes() -> None:
    encoded = animation()
    frames = [encoded[c.start : c.stop] for c in webp._chunks(encoded, 12, len(encoded)) if c.kind == b"ANMF"]
    stripped = strip_metadata(encoded, "WEBP")
    assert [
        stripped[c.start : c.stop] for c in webp._chunks(stripped, 12, len(stripped)) if c.kind == b"ANMF"
    ] == frames
    with Image.open(io.BytesIO(stripped)) as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]


def test_an_unknown_chunk_in_a_frame_is_refused() -> None:
    encoded = animation()
    position = encoded.index(b"ANMF") + 24
    with pytest.raises(ReadError, match="not_strippable: an unknown chunk in a frame"):
        strip_metadata(encoded[:position] + b"JANE" + encoded[position + 4 :], "WEBP")
