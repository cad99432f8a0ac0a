"""What happens to the colours of every kind of image: one table, which docs/sources.md repeats.

A `ColourLayout` says how a file stores its colours, read from the file's own header: PNG chunks, TIFF tags, masks of a
BMP, boxes of an AVIF. Five questions are asked of it in the order of `STEPS`. For each, the first row of `COLOUR_RULES`
that applies says what happens; the last row of every question applies to whatever is left, so no layout is without an
answer. What a row refuses is `unsupported`, and is not decoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from million_ird.errors import ReadError

Numbers = Literal["unsigned", "signed", "float"]
Alpha = Literal["none", "straight", "premultiplied", "key"]
Space = Literal["none", "srgb", "icc", "broken", "gamma", "cicp", "hdr", "unknown"]
Step = Literal["samples", "colour model", "polarity", "alpha", "colour space"]
STEPS: tuple[Step, ...] = ("samples", "colour model", "polarity", "alpha", "colour space")
CHANNELS = (("grey", 1), ("rgb", 3), ("palette", 1), ("cmyk", 4), ("lab", 3), ("ycbcr", 3))
"""Colour models that have a rule, and how many channels they have besides alpha."""
_MODELS = frozenset(name for name, _ in CHANNELS)
_DECODED_YCBCR = frozenset({"JPEG", "WEBP", "AVIF", "HEIF", "JXL", "JPEG2000"})
"""Formats whose decoders turn their YCbCr into RGB, by the matrix that the file names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourLayout:
    """How a file stores its colours, by its own header."""

    container: str
    """JPEG, PNG, TIFF, …"""
    model: str
    """`grey`, `rgb`, `palette`, `cmyk`, `lab`, `ycbcr`, or the name of another one."""
    bits: int
    """Per sample, as stored."""
    numbers: Numbers = "unsigned"
    alpha: Alpha = "none"
    """`key`: one value or colour is transparent."""
    white_is_zero: bool = False
    space: Space = "none"
    """What says how the colours are meant: nothing, sRGB by name, an ICC profile that can be used or not, gAMA or
    cHRM, coding-independent code points (cICP, nclx) of an ordinary or a high dynamic range, or of unknown meaning."""


@dataclass(frozen=True, slots=True)
class ColourRule:
    """One row of the table."""

    step: Step
    when: str
    happens: str
    applies: Callable[[ColourLayout], bool]
    refused: bool = False


COLOUR_RULES: tuple[ColourRule, ...] = (
    ColourRule(
        "samples",
        "1 to 16 bits, unsigned",
        "v / (2ⁿ − 1), in PNM and PAM v / maxval; rounded to 8 bits once, after all other steps",
        lambda it: it.numbers == "unsigned" and 1 <= it.bits <= 16,
    ),
    ColourRule(
        "samples",
        "float of 16, 32 or 64 bits",
        "values in [0, 1] are used as they are; a file with other values or NaN is `unsupported`, with its range",
        lambda it: it.numbers == "float" and it.bits in {16, 32, 64},
    ),
    ColourRule(
        "samples", "signed integers", "`unsupported`: no fixed black", lambda it: it.numbers == "signed", refused=True
    ),
    ColourRule("samples", "any other", "`unsupported`: no fixed white", lambda it: True, refused=True),
    ColourRule("colour model", "grey", "repeated in three channels", lambda it: it.model == "grey"),
    ColourRule("colour model", "RGB", "as it is", lambda it: it.model == "rgb"),
    ColourRule(
        "colour model",
        "palette of up to 8 bits",
        "the colours of its entries, and their alpha",
        lambda it: it.model == "palette" and it.bits <= 8 and it.numbers == "unsigned",
    ),
    ColourRule(
        "colour model",
        "CMYK",
        "by its ICC profile, rounded to 8 bits first; without one (1 − C)(1 − K), …",
        lambda it: it.model == "cmyk",
    ),
    ColourRule(
        "colour model",
        "Lab of 8 or 16 bits, unsigned",
        "CIE L*a*b* with the white of D50, to sRGB",
        lambda it: it.model == "lab" and it.bits in {8, 16} and it.numbers == "unsigned",
    ),
    ColourRule(
        "colour model",
        "YCbCr in JPEG, WebP, AVIF, HEIF, JPEG XL, JPEG 2000",
        "to RGB by the format's decoder, which rounds to 8 bits",
        lambda it: it.model == "ycbcr" and it.container in _DECODED_YCBCR,
    ),
    ColourRule(
        "colour model",
        "YCbCr of 8 bits in TIFF, compressed",
        "to RGB by libtiff, with the file's own coefficients",
        lambda it: it.model == "ycbcr" and it.bits == 8 and it.numbers == "unsigned" and it.container == "TIFF",
    ),
    ColourRule("colour model", "any other", "`unsupported`, with its name", lambda it: True, refused=True),
    ColourRule("polarity", "black is zero", "as it is", lambda it: not it.white_is_zero),
    ColourRule(
        "polarity",
        "white is zero, grey without premultiplied alpha",
        "inverted; alpha is not",
        lambda it: it.model == "grey" and it.alpha != "premultiplied",
    ),
    ColourRule("polarity", "white is zero, any other", "`unsupported`", lambda it: True, refused=True),
    ColourRule("alpha", "none", "opaque", lambda it: it.alpha == "none"),
    ColourRule("alpha", "straight", "laid over white, after the colour space", lambda it: it.alpha == "straight"),
    ColourRule(
        "alpha",
        "premultiplied grey or RGB",
        "divided by alpha, then as straight",
        lambda it: it.alpha == "premultiplied" and it.model in {"grey", "rgb"},
    ),
    ColourRule(
        "alpha",
        "one transparent value or colour (tRNS, GIF)",
        "samples that equal it as stored become white",
        lambda it: it.alpha == "key" and it.model in {"grey", "rgb", "palette"},
    ),
    ColourRule("alpha", "any other", "`unsupported`", lambda it: True, refused=True),
    ColourRule("colour space", "Lab", "known by itself; a profile is not used", lambda it: it.model == "lab"),
    ColourRule(
        "colour space",
        "none, sRGB, a profile named sRGB; gAMA and cHRM within 5 % and 0.01 of sRGB's",
        "taken as sRGB",
        lambda it: it.space in {"none", "srgb"},
    ),
    ColourRule(
        "colour space",
        "ICC profile of the same colour model, up to 8 bits",
        "converted by LittleCMS, perceptual intent; a grey curve where it errs by more than 2 levels by that curve",
        lambda it: it.space == "icc" and it.bits <= 8,
    ),
    ColourRule(
        "colour space",
        "ICC profile of the same colour model, more bits",
        "grey and matrix profiles by their curves in full depth; table profiles rounded to 8 bits, then as above",
        lambda it: it.space == "icc",
    ),
    ColourRule(
        "colour space",
        "ICC profile that is damaged or of another colour model",
        "not used; `icc` is `broken`",
        lambda it: it.space == "broken",
    ),
    ColourRule(
        "colour space",
        "gAMA, cHRM of a PNG, without cICP, iCCP and sRGB",
        "converted, at full depth; without gAMA by sRGB's curve; cHRM not for grey",
        lambda it: it.space == "gamma" and it.model in {"grey", "rgb", "palette"},
    ),
    ColourRule(
        "colour space",
        "cICP of a PNG (before any profile), nclx of AVIF and HEIF (without a profile)",
        "converted; the curve of video (1, 6, 14, 15) is taken as sRGB's",
        lambda it: it.space == "cicp" and it.model in {"grey", "rgb", "palette", "ycbcr"},
    ),
    ColourRule(
        "colour space",
        "PQ and HLG (high dynamic range)",
        "`unsupported`: no one way to sRGB",
        lambda it: it.space == "hdr",
        refused=True,
    ),
    ColourRule("colour space", "any other", "`unsupported`", lambda it: True, refused=True),
)
"""In the order in which they are asked; every step ends with a row for whatever is left."""


def rules_for(layout: ColourLayout) -> tuple[ColourRule, ...]:
    """Return what happens to a layout: the row of each step, in the order of `STEPS`."""
    return tuple(next(rule for rule in COLOUR_RULES if rule.step == step and rule.applies(layout)) for step in STEPS)


def require_rule(layout: ColourLayout) -> None:
    """Make sure that the table converts a layout.

    Raises:
        ReadError: `unsupported`, with what the layout is.
    """
    for rule in rules_for(layout):
        if rule.refused:
            raise ReadError("unsupported", f"{describe(layout)} ({rule.step}: {rule.when})")


def describe(layout: ColourLayout) -> str:
    """Return a layout as a few words: `a TIFF of 32-bit signed grey`."""
    names = {"grey": "grey", "rgb": "RGB", "cmyk": "CMYK", "lab": "Lab", "ycbcr": "YCbCr"}
    alpha = {"none": "", "straight": " with alpha", "premultiplied": " with premultiplied alpha"}
    numbers = "" if layout.numbers == "unsigned" else f"{layout.numbers} "
    inverted = ", white is zero" if layout.white_is_zero else ""
    model = names.get(layout.model, layout.model)
    key = alpha.get(layout.alpha, " with a transparent colour")
    article = "an" if layout.container[:1] in "AI" else "a"
    space = {"hdr": ", PQ or HLG", "unknown": ", in an unknown colour space"}.get(layout.space, "")
    return f"{article} {layout.container} of {layout.bits}-bit {numbers}{model}{key}{inverted}{space}"


def as_markdown() -> str:
    """Return the table as docs/sources.md shows it."""
    rows = [f"| {rule.step} | {rule.when} | {rule.happens} |" for rule in COLOUR_RULES]
    return "\n".join(["| step | a file has | what happens |", "|---|---|---|", *rows])
