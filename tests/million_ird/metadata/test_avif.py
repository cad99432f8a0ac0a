"""AVIF: no byte moves, images and their rotation stay."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.header import read_header
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, box, exif, saved
from tests.million_ird.metadata.secret_files import avif


def test_exif_and_xmp_become_zeros_of_the_same_length() -> None:
    encoded = avif().encoded
    stripped = strip_metadata(encoded, "AVIF")
    assert len(stripped) == len(encoded)
    assert b"Exif" not in stripped.replace(b"Exif\0", b"")
    assert b"xmpmeta" not in stripped
    changed = [n for n in range(len(encoded)) if encoded[n] != stripped[n]]
    assert {stripped[n] for n in changed} <= {0, *b"free"}


def test_rotation_stays() -> None:
    encoded = saved("AVIF", size=(64, 48), exif=exif(6))
    header = read_header(encoded)
    assert (header.orientation, header.width) == (6, 48)
    assert b"irot" in strip_metadata(encoded, "AVIF")
    assert header.camera
    assert read_header(strip_metadata(encoded, "AVIF")) == replace(header, camera=False)


def test_thumbnails_exif_and_xmp_of_other_encoders_are_removed(shared_data: Path) -> None:
    folder = shared_data / "hostile" / "avif"
    private = {path.name: list_private(path.read_bytes(), "AVIF") for path in folder.glob("*.avif")}
    sequence = "colors-animated-8bpc-alpha-exif-xmp.avif"
    assert {"EXIF", "XMP", "creation time"} <= set(private[sequence])
    encoded = (folder / sequence).read_bytes()
    with Image.open(io.BytesIO(encoded)) as before, Image.open(io.BytesIO(strip_metadata(encoded, "AVIF"))) as after:
        assert not {"exif", "xmp"} & set(after.info)
        for number in range(before.n_frames):  # type: ignore[attr-defined]
            before.seek(number)
            after.seek(number)
            assert before.tobytes() == after.tobytes()


def test_bytes_of_no_item_become_zeros() -> None:
    encoded = saved("AVIF", size=(64, 48)) + box(b"mdat", SECRET)
    assert list_private(encoded, "AVIF") == ["bytes of no item"]
    assert strip_metadata(encoded, "AVIF") == encoded.replace(SECRET, bytes(len(SECRET)))


def avif_with_split_exif(shift: int = 0) -> bytes:
    """Return an AVIF with an Exif block in two pieces around the image, and an XMP packet inside the `meta` box."""

    def entry(number: int, kind: bytes, extra: bytes = b"") -> bytes:
        return box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, kind) + b"\0" + extra)

    def boxes_before_data(start: int) -> bytes:
        exif = [(start, 10), (start + 30, len(SECRET) - 10)]
        locations = [(1, 0, [(start + 10 + shift, 20)]), (2, 0, exif), (3, 1, [(4, len(SECRET))])]
        table = b"".join(
            struct.pack(">HHHH", number, method, 0, len(extents)) + b"".join(struct.pack(">II", *e) for e in extents)
            for number, method, extents in locations
        )
        kinds = entry(1, b"av01") + entry(2, b"Exif") + entry(3, b"mime", b"application/rdf+xml\0")
        children = box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + box(b"pitm", bytes(4) + b"\0\1")
        children += box(b"iinf", struct.pack(">IH", 0, 3) + kinds)
        children += box(b"iloc", struct.pack(">IHH", 1 << 24, 0x4400, 3) + table)
        children += box(b"idat", b"1234" + SECRET + b"5678")
        return box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(4) + children)

    front = boxes_before_data(len(boxes_before_data(0)) + 8)
    return front + box(b"mdat", SECRET[:10] + b"p" * 20 + SECRET[10:])


def test_an_item_in_pieces_and_one_inside_the_meta_box_become_zeros_in_place() -> None:
    encoded = avif_with_split_exif()
    stripped = strip_metadata(encoded, "AVIF")
    assert list_private(encoded, "AVIF") == ["EXIF", "XMP"]
    assert stripped.endswith(bytes(10) + b"p" * 20 + bytes(len(SECRET) - 10))
    assert b"1234" + bytes(len(SECRET)) + b"5678" in stripped
    assert len(stripped) == len(encoded)


def test_an_exif_block_that_shares_bytes_with_the_image_is_refused() -> None:
    with pytest.raises(ReadError, match="not_strippable: a private part of an AVIF shares bytes"):
        strip_metadata(avif_with_split_exif(shift=-1), "AVIF")


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (lambda b: b[:-1000], "cut off"),
        (lambda b: b + box(b"moof", b""), "fragments"),
        (lambda b: b.replace(b"infe\2", b"infe\0"), "without types"),
        (lambda b: b.replace(b"av01Color", b"janeColor"), "item of type"),
    ],
)
def test_broken_files_are_refused(damage: object, detail: str) -> None:
    with pytest.raises(ReadError, match=f"not_strippable: .*{detail}"):
        strip_metadata(damage(saved("AVIF", size=(64, 48))), "AVIF")  # type: ignore[operator]
