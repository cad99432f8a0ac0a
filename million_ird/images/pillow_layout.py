"""What Pillow says of an image, as a `ColourLayout`."""

from PIL import Image

from million_ird.images.colour_rules import Alpha, ColourLayout, Space
from million_ird.images.icc import classify_profile
from million_ird.images.samples import Samples, eight_bit_levels

DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
"""Pillow's modes with 16 bits."""
_MODELS = {"L": "grey", "LA": "grey", "La": "grey", "1": "grey", "P": "palette", "PA": "palette", "CMYK": "cmyk"}
_MODELS |= {"LAB": "lab", "RGB": "rgb", "RGBA": "rgb", "RGBa": "rgb", "RGBX": "rgb", "YCbCr": "ycbcr"}
_MODELS |= dict.fromkeys((*DEEP_MODES, "F", "I"), "grey")
_YCBCR = frozenset({"JPEG", "WEBP", "AVIF", "HEIF"})
"""Formats that store RGB as YCbCr, with few exceptions, which their decoders know."""


def layout_of(image: Image.Image, profile: bytes | None, bits: int, space: Space | None = None) -> ColourLayout:
    """Return the layout of an image of which Pillow says everything."""
    container = "JPEG" if image.format == "MPO" else str(image.format)
    model = _MODELS.get(image.mode, f"mode {image.mode}")
    kind = classify_profile(profile, model)
    by_profile: Space = "icc" if kind == "icc" else "srgb" if kind == "srgb" else "broken" if profile else "none"
    alpha: Alpha = "straight" if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} else "none"
    if "transparency" in image.info:
        alpha = "straight" if model == "palette" and container != "GIF" else "key"
    return ColourLayout(
        container=container,
        model="ycbcr" if model == "rgb" and container in _YCBCR else model,
        bits={"1": 1, "F": 32, "I": 32}.get(image.mode, max(bits, 16) if image.mode in DEEP_MODES else bits),
        numbers="float" if image.mode == "F" else "signed" if image.mode == "I" else "unsigned",
        alpha=alpha,
        space=space or by_profile,
    )


def lab_samples(image: Image.Image) -> Samples:
    """Return the samples of Pillow's LAB, whose a* and b* are 128 for grey, as a TIFF stores them."""
    levels = eight_bit_levels(image).copy()
    levels[..., 1:] ^= 128
    return Samples(levels=levels, model="lab")


def jpeg_variant(encoded: bytes) -> str | None:
    """Return what is unusual about a JPEG that Pillow refuses."""
    position = 2
    while position + 10 < len(encoded) and encoded[position] == 0xFF:
        marker, size = encoded[position + 1], int.from_bytes(encoded[position + 2 : position + 4], "big")
        if marker in {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}:
            bits, channels = encoded[position + 4], encoded[position + 9]
            usual = bits == 8 and channels in {1, 3, 4}
            return None if usual else f"a JPEG of {channels} channels of {bits} bits"
        position += 1 if marker == 0xFF else 2 + size
    return None
