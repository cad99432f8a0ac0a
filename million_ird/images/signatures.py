"""What a file is by its first bytes: pictures that are not read here are `unsupported` by name, not `not_an_image`."""

import struct
from importlib.util import find_spec

from million_ird.extras import INSTALL
from million_ird.images.bmp_file import HEADER_SIZES
from million_ird.images.pnm_file import is_pnm

JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 mif2 miaf".split())
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_READ: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS\0\x01", "PSD"),
    (b"qoif", "QOI"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\0\0\1\0", "ICO"),
)
_NOT_READ: tuple[tuple[bytes, str], ...] = (
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIRS", "camera raw (ORF)"),
    (b"IIU\0", "camera raw (RW2)"),
    (b"FOVb", "camera raw (X3F)"),
    (b"DDS ", "DDS"),
    (b"gimp xcf", "XCF"),
    (b"icns", "ICNS"),
    (b"SIMPLE  =", "FITS"),
    (b"AT&TFORM", "DjVu"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"8BPS\0\x02", "PSB"),
    (b"farbfeld", "farbfeld"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"\0\0\2\0", "CUR"),
)
_EXTRAS = (("HEIC", "pillow_heif"), ("JPEG XL", "pillow_jxl"))


def format_by_signature(encoded: bytes) -> str | None:
    """Return the name of the format that a file starts as: Pillow's, `HEIC` or `JPEG XL`; None for any other file."""
    if encoded.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return "JPEG XL"
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WEBP"
    if encoded[:2] == b"BM" and int.from_bytes(encoded[14:18], "little") in HEADER_SIZES:
        return "BMP"
    if is_pnm(encoded):
        return "PPM"
    if brands := _brands(encoded):
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIC" if brands & _HEIF_BRANDS else None
    return next((name for start, name in _READ if encoded.startswith(start)), None)


def unread_picture(encoded: bytes) -> str | None:
    """Return the name of a kind of picture that is not read here; None for anything else."""
    if encoded[4:8] == b"ftyp" and encoded[8:12] == b"crx ":
        return "camera raw (CR3)"
    if encoded[128:132] == b"DICM":
        return "DICOM"
    return next((name for start, name in _NOT_READ if encoded.startswith(start)), None)


def missing_decoder(name: str) -> str | None:
    """Return how to install what decodes a format, or None where it is installed or comes with this package."""
    module = dict(_EXTRAS).get(name)
    if module is None or find_spec(module) is not None:
        return None
    return f"{name} (pip install {INSTALL[module]})"


def _brands(encoded: bytes) -> frozenset[bytes]:
    """Return the brands of an ISO base media file; empty for any other file."""
    if encoded[4:8] != b"ftyp":
        return frozenset()
    (size,) = struct.unpack_from(">I", encoded)
    body = encoded[8 : min(max(size, 16), 512)]
    return frozenset(body[at : at + 4] for at in (0, *range(8, len(body) - 3, 4)))
