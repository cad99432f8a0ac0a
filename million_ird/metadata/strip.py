"""Private metadata of an image file, and the file without it.

A photograph from the web records where and when it was taken, with which camera and by whom, and may carry a second
image that was cropped away. `strip_metadata` removes all that without decoding: the coded pixels stay the same bytes.
Everything that changes how the image looks stays, too: colour profile, gamma, resolution, palette, transparency,
frames, and the EXIF orientation, alone in an otherwise empty EXIF block.

Four formats lose more than text, because nobody can know what a second image shows: an MPO becomes the JPEG of its
first image, a PSD loses its layers, an ICO all but the largest of its
pictures, a TIFF its previews (SubIFDs, not its pages). The image that stays is the one that
is measured.
"""

import struct
from collections.abc import Callable

from million_ird.errors import ReadError
from million_ird.metadata import avif, bmp, gif, ico, jp2, jpeg, jxl, pcx, png, pnm, psd, qoi, sgi, tga, tiff, webp
from million_ird.metadata.edits import Edit, apply_edits, not_strippable

_FORMATS: dict[str, Callable[[bytes], list[Edit]]] = {
    "JPEG": jpeg.find_private,
    "MPO": jpeg.find_private,
    "PNG": png.find_private,
    "WEBP": webp.find_private,
    "TIFF": tiff.find_private,
    "AVIF": avif.find_private,
    "JPEG2000": jp2.find_private,
    "GIF": gif.find_private,
    "BMP": bmp.find_private,
    "PPM": pnm.find_private,
    "QOI": qoi.find_private,
    "PSD": psd.find_private,
    "SGI": sgi.find_private,
    "PCX": pcx.find_private,
    "TGA": tga.find_private,
    "ICO": ico.find_private,
    "HEIF": avif.find_private,
    "JXL": jxl.find_private,
}


def strip_metadata(encoded: bytes, format: str) -> bytes:
    """Return the same image without private metadata.

    Args:
        encoded: the whole file.
        format: Pillow's name, as in `ImageHeader.format`.

    Returns:
        The same object if it holds no private metadata. Otherwise new bytes, which were parsed again and hold none:
        stripping them once more changes nothing.

    Raises:
        ReadError: `not_strippable` if private bytes cannot be separated from the image with certainty. No other error
            is raised, whatever the bytes are.
    """
    edits = _find_private(encoded, format)
    if not edits:
        return encoded
    stripped = apply_edits(encoded, edits)
    if remaining := list_private(stripped, format):
        raise not_strippable(f"stripping leaves {', '.join(remaining)}")
    return stripped


def list_private(encoded: bytes, format: str) -> list[str]:
    """Return the names of what `strip_metadata` would remove, each once: `EXIF (GPS)`, `XMP`, `comment`, ….

    Raises:
        ReadError: `not_strippable`, as `strip_metadata`.
    """
    return list(dict.fromkeys(edit.name for edit in _find_private(encoded, format)))


def _find_private(encoded: bytes, format: str) -> list[Edit]:
    if format not in _FORMATS:
        raise not_strippable(f"{format} is no format that can be stripped")
    try:
        return _FORMATS[format](encoded)
    except ReadError:
        raise
    except (struct.error, IndexError, OverflowError) as error:
        # The file ends inside a field, or a number is larger than any size can be.
        raise not_strippable(f"a {format} that is cut off or broken") from error
