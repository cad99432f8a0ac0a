"""The one place that decides, by a file's own header, which decoder reads it and what its colours are."""

import dataclasses
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from million_ird.errors import ReadError
from million_ird.images import bmp_file, ico_file, png_file, pnm_file, tga_file, tiff_file, tiff_samples
from million_ird.images.avif_file import crop_of, read_avif_properties
from million_ird.images.colour_rules import ColourLayout
from million_ird.images.damage import require_container, require_png_header
from million_ird.images.jp2_file import read_jp2_colours, read_jp2_samples
from million_ird.images.jpeg_damage import with_end
from million_ird.images.jxl_file import JxlHeader, read_jxl_header, read_jxl_samples
from million_ird.images.pillow_layout import jpeg_variant, lab_samples, layout_of
from million_ird.images.samples import Samples, eight_bit_levels
from million_ird.images.signatures import format_by_signature, missing_decoder, unread_picture
from million_ird.images.webp_file import first_frame

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "GIF",
    "BMP",
    "PPM",
    "QOI",
    "PSD",
    "SGI",
    "PCX",
    "TGA",
)
"""Pillow's names, in the order in which they are tried: TGA has no signature, so it comes last."""
Image.init()  # registers all formats; with an explicit list `Image.open` does not

_MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "palette": "P", "lab": "LAB", "ycbcr": "YCbCr"}
_PLUGINS = {"HEIC": ("pillow_heif", "HEIF"), "JPEG XL": ("pillow_jxl", "JXL")}


@dataclass(slots=True, kw_only=True)
class OpenedImage:
    """An image whose header was read; its pixels are decoded on demand."""

    format: str
    """Pillow's name."""
    size: tuple[int, int]
    """As stored: width and height before the orientation."""
    mode: str
    """Pillow's, or the one that is nearest to what the file has."""
    layout: ColourLayout
    frames: int = 1
    image: Image.Image | None = None
    """As Pillow opened it; None where Pillow does not read it."""
    encoded: bytes = b""
    """What Pillow was given."""
    profile: bytes | None = None
    orientation: int | None = None
    """EXIF orientation, where it is not Pillow's to say."""
    samples: Callable[[], Samples] | None = None
    """Reads the samples, where Pillow's own pixels are not all that there is."""
    shown: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of the only part that Pillow's pixels cover or that is shown."""
    cropped: bool = False
    """Whether the image is only that part; otherwise the rest is transparent."""


def open_image(encoded: bytes, max_pixels: int) -> OpenedImage:
    """Read the header of a file.

    Args:
        encoded: the whole file.
        max_pixels: an image with more is refused before anything is allocated.

    Raises:
        ReadError: `not_an_image`, `too_large`, `unsupported`, `truncated` or `undecodable`.
        Exception: whatever Pillow raises for broken bytes; see `as_read_error` in header.py.
    """
    name = format_by_signature(encoded)
    require_container(encoded, name)
    opener = _OPENERS.get(name or "", _open_other)
    opened = opener(encoded, max_pixels)
    _check_size(opened.size, max_pixels)
    return opened


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if min(size) < 1:
        raise ReadError("undecodable", f"{size[0]}×{size[1]} has no pixels")
    if size[0] * size[1] > max_pixels:
        raise ReadError("too_large", f"{size[0]}×{size[1]} is over {max_pixels:,} pixels")


def _with_pillow(encoded: bytes, *formats: str) -> Image.Image:
    """Open a file with Pillow, restricted to these formats, or else to all of `FORMATS`."""
    try:
        return Image.open(io.BytesIO(encoded), formats=formats or FORMATS)
    except UnidentifiedImageError as error:
        name = format_by_signature(encoded)
        if name == "JPEG" and (variant := jpeg_variant(encoded)):
            raise ReadError("unsupported", variant) from error
        if name is not None:
            raise ReadError("undecodable", f"starts as {name}, but its header cannot be read") from error
        if (picture := unread_picture(encoded)) is not None:
            raise ReadError("unsupported", picture) from error
        raise


def _open_png(encoded: bytes, max_pixels: int) -> OpenedImage:
    require_png_header(encoded)
    encoded = png_file.without_faulty_chunks(encoded)
    image = _with_pillow(encoded, "PNG")
    profile = image.info.get("icc_profile")
    colours = png_file.read_png_colours(encoded, profile)
    opened = _opened(image, colours.layout, encoded, profile)
    if not colours.by_pillow:
        used = profile if colours.layout.space == "icc" and colours.space is None else None

        def samples() -> Samples:
            return png_file.read_png_samples(encoded, image, colours, used)

        opened.samples = samples
    return opened


def _open_tiff(encoded: bytes, max_pixels: int) -> OpenedImage:
    colours = tiff_file.read_tiff_colours(encoded)
    size = (colours.width, colours.height)
    _check_size(size, max_pixels)
    if colours.by_pillow:
        image = _with_pillow(encoded, "TIFF")
        return _opened(image, colours.layout, encoded, colours.profile, size)
    colours.require_readable()
    mode = _MODES.get(colours.layout.model, "L") + ("A" if colours.layout.alpha != "none" else "")
    turned = colours.one(tiff_file.ORIENTATION, 1)
    return OpenedImage(
        format="TIFF",
        size=size,
        mode="I;16" if mode == "L" and colours.layout.bits > 8 and colours.layout.numbers != "float" else mode,
        layout=colours.layout,
        frames=colours.pages,
        orientation=turned if turned in range(1, 9) else 1,
        profile=colours.profile,
        samples=lambda: tiff_samples.read_tiff_samples(encoded, colours),
    )


def _open_pnm(encoded: bytes, max_pixels: int) -> OpenedImage:
    file = pnm_file.read_pnm(encoded)
    _check_size((file.width, file.height), max_pixels)
    if file.by_pillow:
        return _opened(_with_pillow(encoded, "PPM"), file.layout, encoded, None)
    mode = _MODES[file.layout.model] + ("A" if file.layout.alpha != "none" else "")
    mode = "I;16" if mode == "L" and file.maxval > 255 else mode
    return OpenedImage(
        format="PPM",
        size=(file.width, file.height),
        mode=mode,
        layout=file.layout,
        orientation=1,
        samples=lambda: pnm_file.read_pnm_samples(encoded, file),
    )


def _open_bmp(encoded: bytes, max_pixels: int) -> OpenedImage:
    file = bmp_file.read_bmp(encoded)
    _check_size((file.width, file.height), max_pixels)
    if file.by_pillow:
        return _opened(_with_pillow(encoded, "BMP"), file.layout, encoded, file.profile)
    return OpenedImage(
        format="BMP",
        size=(file.width, file.height),
        mode="P" if file.bits <= 8 else "RGBA" if file.masks[3] else "RGB",
        layout=file.layout,
        orientation=1,
        profile=file.profile,
        samples=lambda: bmp_file.read_bmp_samples(encoded, file),
    )


def _open_ico(encoded: bytes, max_pixels: int) -> OpenedImage:
    picture = ico_file.largest_picture(encoded)
    if ico_file.is_png(picture):
        opened = _open_png(picture, max_pixels)
        opened.format = "ICO"
        return opened
    icon = ico_file.read_ico_bitmap(picture)
    return OpenedImage(
        format="ICO",
        size=(icon.bitmap.width, icon.bitmap.height),
        mode="RGBA",
        layout=icon.layout,
        orientation=1,
        samples=lambda: ico_file.read_ico_samples(icon),
    )


def _open_avif(encoded: bytes, max_pixels: int) -> OpenedImage:
    said = read_avif_properties(encoded)
    image = _with_pillow(encoded, "AVIF")
    opened = _open_coded(encoded, image, said.bits, said.code_points)
    if said.clean_aperture is not None and opened.frames == 1:
        opened.shown, opened.cropped = crop_of(said.clean_aperture, *image.size), True
        left, top, right, bottom = opened.shown
        opened.size = right - left, bottom - top
    return opened


def _open_with_extra(encoded: bytes, max_pixels: int) -> OpenedImage:
    """Open a HEIC or JPEG XL with the Pillow plugin that the extra `formats` installs."""
    name = format_by_signature(encoded) or ""
    if (advice := missing_decoder(name)) is not None:
        raise ReadError("unsupported", advice)
    header = read_jxl_header(encoded) if name == "JPEG XL" else None
    if header is not None:
        _check_size(header.size, max_pixels)  # its decoder decodes at once
    module, plugin = _PLUGINS[name]
    loaded: Any = importlib.import_module(module)
    if name == "HEIC":
        loaded.register_heif_opener(thumbnails=False)
        loaded.options.DECODE_THREADS = 1
    else:
        loaded.JpegXLImagePlugin.DECODE_THREADS = 0
    image = _with_pillow(encoded, plugin)
    if header is not None:
        return _open_jxl(encoded, image, header)
    nclx = image.info.get("nclx_profile") or {}
    points = (int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])) if nclx else None
    return _open_coded(encoded, image, int(image.info.get("bit_depth", 8)), points)


def _open_jxl(encoded: bytes, image: Image.Image, header: JxlHeader) -> OpenedImage:
    opened = _open_coded(encoded, image, header.bits, None)
    opened.layout = dataclasses.replace(opened.layout, bits=header.bits, numbers=header.numbers)
    used = opened.profile if opened.layout.space == "icc" else None
    if header.bits > 8 and image.mode in {"L", "LA", "RGB", "RGBA"}:
        image.load()
        deep = read_jxl_samples(encoded, image, header.bits, used)
        opened.samples = None if deep is None else lambda: deep
    return opened


def _open_coded(encoded: bytes, image: Image.Image, bits: int, code_points: tuple[int, int] | None) -> OpenedImage:
    """Open an image whose profile, or else whose code points, say what its colours are."""
    profile = image.info.get("icc_profile")
    layout = layout_of(image, profile, bits)
    space = None
    if not profile and code_points is not None:
        name, space = png_file.code_point_space(*code_points)
        layout = layout_of(image, profile, bits, "none" if name == "srgb" else name)
    opened = _opened(image, layout, encoded, profile)
    if image.mode == "F":
        opened.samples = lambda: Samples(levels=np.asarray(image, np.float32)[..., None], model="grey", white=1)
    elif space is not None:
        alpha = "straight" if layout.alpha == "straight" else "none"

        def samples() -> Samples:
            levels = eight_bit_levels(image)
            model = "grey" if levels.shape[2] <= 2 else "rgb"
            return Samples(levels=levels, model=model, alpha=alpha, space=space)

        opened.samples = samples
    return opened


def _open_other(encoded: bytes, max_pixels: int) -> OpenedImage:
    encoded = tga_file.readable_by_pillow(encoded) if format_by_signature(encoded) is None else encoded
    encoded = with_end(encoded)
    image = _with_pillow(encoded)
    profile = image.info.get("icc_profile")
    if image.format == "TGA":
        return _open_tga(encoded, image)
    opened = _opened(image, layout_of(image, profile, 8), encoded, profile)
    if image.format == "GIF" and (tiles := getattr(image, "tile", None)):
        opened.shown = None if tiles[0][1] == (0, 0, *image.size) else tiles[0][1]
    elif image.format == "WEBP" and image.mode == "RGB":
        opened.shown = first_frame(encoded)
    if image.mode == "LAB":
        opened.samples = lambda: lab_samples(image)
    return opened


def _open_jp2(encoded: bytes, max_pixels: int) -> OpenedImage:
    colours = read_jp2_colours(encoded)
    image = _with_pillow(encoded, "JPEG2000")
    opened = _opened(image, layout_of(image, colours.profile, colours.bits), encoded, colours.profile)
    if colours.bits > 8:
        colours.require_readable()
        alpha = opened.layout.alpha != "none"
        used = colours.profile if opened.layout.space == "icc" else None
        opened.samples = lambda: read_jp2_samples(encoded, colours, alpha=alpha, profile=used)
    return opened


def _open_tga(encoded: bytes, image: Image.Image) -> OpenedImage:
    layout = tga_file.read_tga_colours(encoded)
    if not getattr(image, "tile", None):
        raise ReadError("unsupported", f"a TGA of type {encoded[2]} with {encoded[16]} bits a pixel")
    if image.mode == "P" and encoded[7] == 32 and image.palette is not None:
        image.palette.mode = "RGBA"  # which Pillow forgets, and then cannot load the image
    opened = _opened(image, layout, encoded, None)
    if tga_file.has_fourth_value(encoded, image):
        opened.samples = lambda: tga_file.read_tga_samples(encoded, image, layout)
    return opened


def _opened(
    image: Image.Image,
    layout: ColourLayout,
    encoded: bytes,
    profile: bytes | None,
    size: tuple[int, int] | None = None,
) -> OpenedImage:
    return OpenedImage(
        format=image.format or "unknown",
        size=size or image.size,
        mode=image.mode,
        layout=layout,
        frames=int(getattr(image, "n_frames", 1)),
        image=image,
        encoded=encoded,
        profile=profile,
    )


_OPENERS: dict[str, Callable[[bytes, int], OpenedImage]] = {
    "PNG": _open_png,
    "TIFF": _open_tiff,
    "PPM": _open_pnm,
    "BMP": _open_bmp,
    "ICO": _open_ico,
    "AVIF": _open_avif,
    "JPEG2000": _open_jp2,
    "HEIC": _open_with_extra,
    "JPEG XL": _open_with_extra,
}
