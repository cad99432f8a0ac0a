"""The pages of a TIFF: which are restored, and their samples at the depth that they are stored with.

tifffile reads grey and RGB of any depth: whole numbers of 1 to 16 bits and floating-point numbers, in strips or tiles,
with channels together or in planes, black or white as zero, alpha premultiplied or not. Pillow reads what has to be
converted, to 8 bits: palettes, CMYK, Lab, YCbCr, and the compressions of faxes and JPEG.

Floating-point samples keep their range. The network is given them scaled to [0, 1]: black is 0, or the smallest sample
where that is negative; white is 1, or the largest sample where that is more. A range that the file states
(SMinSampleValue and SMaxSampleValue) is taken instead where it contains all samples.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from dynet.errors import ImageError
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.decoding import MAX_IMAGES, require_file
from dynet.inference.image_metadata import ImageMetadata, make_xmp_upright
from dynet.inference.lab import lab_to_srgb
from dynet.inference.orientation import turn_upright
from dynet.inference.pillow_samples import ColourAndAlpha, decode_8_bits, float_range, scale_to_16_bits, unmultiply
from dynet.inference.tiff_directories import ORIENTATION, read_exif_description

logger = logging.getLogger(__name__)

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REDUCED_IMAGE, _MASK = 1, 4
_CR2, _DNG_VERSION = b"CR", 50706
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _LAB = 0, 1, 2, 8
_BY_PILLOW = frozenset({2, 3, 4, 6, 7, 32771, 34892, 34661})
"""Compressions of faxes and JPEG: libtiff knows their variants, and their samples have up to 8 bits."""
_UNSIGNED, _FLOAT = 1, 3
_UNSPECIFIED, _PREMULTIPLIED, _STRAIGHT = 0, 1, 2
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _XMP, _ICC = 282, 283, 296, 700, 34675
_SMALLEST, _LARGEST = 340, 341
_PER_INCH = {2: 1.0, 3: 2.54}
_DEPTH, _COLOUR_MAP = 32997, 320


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF or a BigTIFF."""
    require_file(path)
    with path.open("rb") as file:
        return file.read(4) in SIGNATURES


@contextmanager
def open_pages(encoded: bytes) -> Iterator[list[tuple[int, tifffile.TiffPage]]]:
    """Open a TIFF as its pages, each with its number in the file; smaller versions of a page before are left out.

    Raises:
        ImageError: It is a camera raw file, has no image, or has pages that only other programs understand.
    """
    library = tifffile.logger()
    before, library.disabled = library.disabled, True  # what it warns of is an error here, or harmless
    try:
        with tifffile.TiffFile(io.BytesIO(encoded)) as file:
            pages, offsets = [], set()
            for number, page in enumerate(file.pages):
                if page.offset in offsets:
                    break  # a directory that names an earlier one as the next
                if number == MAX_IMAGES:
                    raise ImageError(f"has more than {MAX_IMAGES} pages")
                offsets.add(page.offset)
                pages.append((number, page.aspage()))
            if not pages:
                raise ImageError("has no image")
            if encoded[8:10] == _CR2 or _DNG_VERSION in pages[0][1].tags or pages[0][1].subfiletype & _REDUCED_IMAGE:
                raise ImageError("a camera raw file, or only a reduced version of an image; develop it to a TIFF first")
            yield _whole_images(file, pages)
    finally:
        library.disabled = before


def decode_page(encoded: bytes, number: int, page: tifffile.TiffPage, name: str) -> DecodedImage:
    """Decode a page, upright, with its metadata.

    Args:
        encoded: The bytes of the file.
        number: The number of the page in the file, from 0.
        page: The page, of the file that `open_pages` opened.
        name: The name of the file, for messages.

    Raises:
        ImageError: Its samples are of a kind that is not read, or not finite.
    """
    metadata, shown_range = _read_metadata(page, encoded), (0.0, 1.0)
    orientation = _tag(page, ORIENTATION, 1)
    if page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and page.compression not in _BY_PILLOW:
        stored, alpha = _decode_with_tifffile(page, name)
        if stored.dtype.kind == "f":
            shown_range = float_range(stored, metadata)
        if page.photometric == _WHITE_IS_ZERO:
            black, white = shown_range if stored.dtype.kind == "f" else (0, np.iinfo(stored.dtype).max)
            stored = (black + white - stored).astype(stored.dtype)
        colour = turn_upright(stored, orientation)
        alpha = None if alpha is None else turn_upright(alpha, orientation)
    elif _is_plain_lab(page):
        metadata.pop("icc_profile", None)
        stored = page.asarray() if page.axes == "YXS" else np.moveaxis(page.asarray(), 0, 2)
        colour, alpha = turn_upright(lab_to_srgb(np.ascontiguousarray(stored)), orientation), None
    else:
        colour, alpha, was_converted = _decode_with_pillow(encoded, number, name)
        if was_converted:
            metadata.pop("icc_profile", None)
    return DecodedImage(
        colour=colour, alpha=alpha, format="TIFF", metadata=metadata, name=name, float_range=shown_range
    )


def _whole_images(
    file: tifffile.TiffFile, pages: list[tuple[int, tifffile.TiffPage]]
) -> list[tuple[int, tifffile.TiffPage]]:
    whole = [(number, page) for number, page in pages if not page.subfiletype & _REDUCED_IMAGE]
    for number, page in whole:
        if page.subfiletype & _MASK:
            raise ImageError(f"page {number + 1} is a mask of transparency, which is not supported")
        if _tag(page, _DEPTH, 1) > 1:
            raise ImageError(f"page {number + 1} is a volume of {_tag(page, _DEPTH, 1)} planes; save them as pages")
    stated = int((file.imagej_metadata or {}).get("images", 1)) if file.is_imagej else 1
    if len(pages) == 1 and stated > 1:
        raise ImageError(f"an ImageJ stack of {stated} images with one directory; save it as a multi-page TIFF")
    return whole


def _is_plain_lab(page: tifffile.TiffPage) -> bool:
    is_lab = page.photometric == _LAB and page.compression not in _BY_PILLOW and page.axes in ("YXS", "SYX")
    return is_lab and page.samplesperpixel == 3 and page.bitspersample in (8, 16) and page.sampleformat == _UNSIGNED


def _decode_with_tifffile(page: tifffile.TiffPage, name: str) -> ColourAndAlpha:
    """Decode grey or RGB as stored, but scaled to 8 or 16 bits, and with alpha that is not premultiplied."""
    bits, colours = page.bitspersample, 3 if page.photometric == _RGB else 1
    _require_readable_samples(page, colours)
    samples = page.asarray()
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(f"its samples are in an order that is not supported ({page.axes})")
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    samples = np.atleast_3d(samples)
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise ImageError("has samples that are infinite or not a number")
    if samples.dtype.kind != "f":
        samples = _scale(samples, bits)
    colour = np.ascontiguousarray(samples[..., :3] if colours == 3 else samples[..., 0])
    meaning = page.extrasamples[0] if page.extrasamples else _STRAIGHT
    if samples.shape[2] == colours:
        return colour, None
    if meaning not in (_PREMULTIPLIED, _STRAIGHT):
        logger.warning("%s: its channel of no stated meaning, beside the colours, is left out", name)
        return colour, None
    if meaning == _PREMULTIPLIED and page.photometric == _WHITE_IS_ZERO:
        raise ImageError("white is zero and alpha is premultiplied, whose meaning is not defined")
    alpha = np.ascontiguousarray(samples[..., -1])
    return (unmultiply(colour, alpha) if meaning == _PREMULTIPLIED else colour), alpha


def _require_readable_samples(page: tifffile.TiffPage, colours: int) -> None:
    bits = page.bitspersample
    if page.sampleformat not in (_UNSIGNED, _FLOAT):
        raise ImageError("has signed or complex samples, whose value for white is not defined")
    if page.sampleformat == _UNSIGNED and (not isinstance(bits, int) or not 1 <= bits <= 16):
        raise ImageError(f"has samples of {bits} bits; whole numbers of up to 16 bits are supported")
    if not colours <= page.samplesperpixel <= colours + 1:
        raise ImageError(f"has {page.samplesperpixel} channels; grey or RGB with at most one more are supported")
    if page.dtype is None:
        raise ImageError(f"has samples of {bits} bits, which are not supported")


def _scale(samples: Samples, bits: int) -> Samples:
    """Scale samples of 1 to 16 bits so that white is the largest value of uint8 or uint16."""
    if bits > 8:
        return scale_to_16_bits(samples.astype(np.uint16, copy=False), (1 << bits) - 1)
    if bits == 8:
        return samples.astype(np.uint8, copy=False)
    levels: Samples = np.rint(np.arange(1 << bits) * (255 / ((1 << bits) - 1))).astype(np.uint8)
    return levels[samples.astype(np.uint8)]


def _decode_with_pillow(encoded: bytes, number: int, name: str) -> tuple[Samples, Samples | None, bool]:
    """Decode a page, upright, to 8 bits; also return whether its colours were converted to sRGB."""
    try:
        image = Image.open(io.BytesIO(encoded), formats=["TIFF"])
    except UnidentifiedImageError as error:
        raise ImageError("a TIFF of a kind that is not supported") from error
    with image:
        image.seek(number)
        if image.mode != "P":
            image.palette = None  # Pillow keeps that of the first page
        image.load()
        if image.mode.startswith(("I", "F")):
            raise ImageError("has samples of more than 8 bits in a form that is not supported")
        if image.mode == "P" and (entries := image.tag_v2.get(_COLOUR_MAP)) and max(entries) < 256:  # type: ignore[attr-defined]
            image.putpalette(np.reshape(entries, (3, -1)).T.astype(np.uint8).tobytes())  # entries of 8 bits, not of 16
        converted = image.mode in ("CMYK", "LAB")
        return *decode_8_bits(image, name), converted


def _read_metadata(page: tifffile.TiffPage, encoded: bytes) -> ImageMetadata:
    metadata = ImageMetadata()
    if exif := read_exif_description(encoded, page.offset).exif_block():
        metadata["exif"] = exif
    for name, tag in (("icc_profile", _ICC), ("xmp", _XMP)):
        if isinstance(value := _tag(page, tag, None), bytes) and value:
            metadata[name] = value if name == "icc_profile" else make_xmp_upright(value)  # type: ignore[literal-required]
    if dpi := _resolution(page):
        metadata["dpi"] = dpi
    stated = [np.asarray(_tag(page, tag, np.nan), np.float64) for tag in (_SMALLEST, _LARGEST)]
    low, high = float(stated[0].min()), float(stated[1].max())
    if np.isfinite(high - low) and low < high:
        metadata["sample_range"] = (low, high)
    return metadata


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    per_inch = _PER_INCH.get(_tag(page, _RESOLUTION_UNIT, 2))
    try:
        dots = [np.divide(*_tag(page, tag, (0, 1)), dtype=np.float64) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    except (TypeError, ValueError):
        return None
    if per_inch is None or not all(0 < number * per_inch < 1e6 for number in dots):
        return None
    return float(dots[0]) * per_inch, float(dots[1]) * per_inch


def _tag(page: tifffile.TiffPage, tag: int, default: Any) -> Any:
    return page.tags[tag].value if tag in page.tags else default
