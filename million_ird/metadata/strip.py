"""What a picture file says beside the picture, and the file without it.

A photograph from the web says where and when it was taken, with which camera and by whom, and may carry a second
picture that was cropped away. `strip` takes all that out of the bytes without decoding: the coded pixels stay the same
bytes. What changes how the picture looks stays, too: colour profile, gamma, resolution, palette, transparency, frames,
and the EXIF orientation, alone in an otherwise empty EXIF block.

Three formats lose more than words, because there is no telling what a second picture shows: an MPO becomes the JPEG of
its first picture, a PSD loses its layers, a TIFF its previews (SubIFDs, not its pages). The picture that is measured
is the one that stays.
"""

import struct
from collections.abc import Callable

from million_ird.errors import ReadError
from million_ird.metadata import bmp, gif, isobmff, jp2, jpeg, pcx, png, pnm, psd, qoi, sgi, tga, tiff, webp
from million_ird.metadata.edits import Edit, apply, not_strippable

_FINDERS: dict[str, Callable[[bytes], list[Edit]]] = {
    "JPEG": jpeg.find,
    "MPO": jpeg.find,
    "PNG": png.find,
    "WEBP": webp.find,
    "TIFF": tiff.find,
    "AVIF": isobmff.find,
    "JPEG2000": jp2.find,
    "GIF": gif.find,
    "BMP": bmp.find,
    "PPM": pnm.find,
    "QOI": qoi.find,
    "PSD": psd.find,
    "SGI": sgi.find,
    "PCX": pcx.find,
    "TGA": tga.find,
}


def strip(encoded: bytes, format: str) -> bytes:
    """The same picture with nothing private beside it.

    `format` is Pillow's name, as in `Header.format`. Bytes that hold nothing private come back as the same object.
    What comes back has been walked again and holds nothing private, so stripping it once more changes nothing.

    Raises:
        ReadError: `not_strippable` where private bytes cannot be told from the picture for certain; never anything
            else, whatever the bytes are.
    """
    edits = _edits(encoded, format)
    if not edits:
        return encoded
    stripped = apply(encoded, edits)
    if left := holds_private(stripped, format):
        raise not_strippable(f"stripping leaves {', '.join(left)}")
    return stripped


def holds_private(encoded: bytes, format: str) -> list[str]:
    """Names what `strip` would take out, each once: `EXIF (GPS)`, `XMP`, `comment`, …; empty if nothing.

    Raises:
        ReadError: `not_strippable`, as `strip`.
    """
    return list(dict.fromkeys(edit.what for edit in _edits(encoded, format)))


def _edits(encoded: bytes, format: str) -> list[Edit]:
    if format not in _FINDERS:
        raise not_strippable(f"{format} is no format that can be stripped")
    try:
        return _FINDERS[format](encoded)
    except ReadError:
        raise
    except (struct.error, IndexError, OverflowError) as error:
        # A field that the file ends before, or a number beyond all sizes.
        raise not_strippable(f"a {format} that is cut off or broken") from error
