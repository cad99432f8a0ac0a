"""AVIF: nothing moves, pictures and their turns stay."""

import io
from pathlib import Path

import pytest
from PIL import Image

from million_ird import images
from million_ird.errors import ReadError
from million_ird.privacy import holds_private, strip
from tests.million_ird.privacy.carriers import SECRET, avif, box, exif, saved


def test_zeros_of_the_same_length_stand_where_exif_and_xmp_were() -> None:
    encoded = avif().encoded
    stripped = strip(encoded, "AVIF")
    assert len(stripped) == len(encoded)
    assert b"Exif" not in stripped.replace(b"Exif\0", b"")
    assert b"xmpmeta" not in stripped
    changed = [n for n in range(len(encoded)) if encoded[n] != stripped[n]]
    assert {stripped[n] for n in changed} <= {0, *b"free"}


def test_rotation_stays() -> None:
    encoded = saved("AVIF", size=(64, 48), exif=exif(6))
    header = images.read_header(encoded)
    assert (header.orientation, header.width) == (6, 48)
    assert b"irot" in strip(encoded, "AVIF")
    assert images.read_header(strip(encoded, "AVIF")) == header


def test_thumbnails_exif_and_xmp_of_other_encoders_go(shared_data: Path) -> None:
    folder = shared_data / "hostile" / "avif"
    found = {path.name: holds_private(path.read_bytes(), "AVIF") for path in folder.glob("*.avif")}
    sequence = "colors-animated-8bpc-alpha-exif-xmp.avif"
    assert {"EXIF", "XMP", "creation time"} <= set(found[sequence])
    encoded = (folder / sequence).read_bytes()
    with Image.open(io.BytesIO(encoded)) as before, Image.open(io.BytesIO(strip(encoded, "AVIF"))) as after:
        assert not {"exif", "xmp"} & set(after.info)
        for number in range(before.n_frames):  # type: ignore[attr-defined]
            before.seek(number)
            after.seek(number)
            assert before.tobytes() == after.tobytes()


def test_bytes_of_no_item_become_zeros() -> None:
    encoded = saved("AVIF", size=(64, 48)) + box(b"mdat", SECRET)
    assert holds_private(encoded, "AVIF") == ["bytes of no item"]
    assert strip(encoded, "AVIF") == encoded.replace(SECRET, bytes(len(SECRET)))


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (lambda b: b[:-1000], "cut off"),
        (lambda b: b + box(b"moof", b""), "fragments"),
        (lambda b: b.replace(b"infe\2", b"infe\0"), "without types"),
        (lambda b: b.replace(b"av01Color", b"janeColor"), "item of type"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(spoil: object, detail: str) -> None:
    with pytest.raises(ReadError, match=f"not_strippable: .*{detail}"):
        strip(spoil(saved("AVIF", size=(64, 48))), "AVIF")  # type: ignore[operator]
