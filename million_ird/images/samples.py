"""Stored samples of any depth and colour model, and their one way to 8-bit sRGB; see `colour_rules.py`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.colour_spaces import ColourSpace, Floats, lab_to_srgb
from million_ird.images.icc import convert_8_bits

_BAND_SAMPLES = 1 << 22
"""Samples that are converted at a time: in floating point, a whole image would need many times its memory."""
_OVERSHOOT = 1 / 510
"""How far a float sample may lie outside [0, 1]: half a step of 8 bits, which rounding takes away."""


@dataclass(slots=True, kw_only=True)
class Samples:
    """The samples of an image as they are stored, and how they are meant."""

    levels: NDArray[np.uint8] | NDArray[np.uint16] | Floats
    """(H, W, C): the colour model's channels, then alpha where there is one."""
    model: str
    """`grey`, `rgb`, `cmyk` or `lab`."""
    white: float = 255
    """The level of full light or ink, and of full cover; 1 for floats."""
    alpha: str = "none"
    """`none`, `straight` or `premultiplied`: what the last channel is."""
    key: tuple[int, ...] | None = None
    """The levels of the one colour that is transparent."""
    inverted: bool = False
    space: ColourSpace | None = None
    """Where to convert from; None for sRGB."""
    profile: bytes | None = None
    """An ICC profile to convert from after rounding to 8 bits."""

    def to_srgb(self) -> NDArray[np.uint8]:
        """Convert to (H, W, 3) uint8 sRGB over white.

        Raises:
            ReadError: `unsupported` for float samples outside 0 to 1.
        """
        self._check_range()
        height, width, channels = self.levels.shape
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, _BAND_SAMPLES // max(1, width * channels))
        for top in range(0, height, rows):
            pixels[top : top + rows] = self._convert(self.levels[top : top + rows])
        return pixels

    def _check_range(self) -> None:
        if self.levels.dtype.kind != "f" or not self.levels.size:
            return
        low, high = float(self.levels.min()), float(self.levels.max())  # NaN where there is one
        if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):
            text = "float samples that are not numbers" if np.isnan(low + high) else ""
            text = text or f"float samples from {low:.4g} to {high:.4g}, outside [0, 1]"
            raise ReadError("unsupported", text)

    def _convert(self, levels: NDArray[np.generic]) -> NDArray[np.uint8]:
        alpha = self._alpha(levels)
        colour = np.asarray(levels if self.alpha == "none" else levels[..., :-1])
        rgb = self._to_rgb(colour, alpha)
        if alpha is not None:
            rgb = rgb * alpha + (1 - alpha)
        # The sums of three weights may be a hair above 1.
        eight: NDArray[np.uint8] = np.rint(rgb.clip(0, 1) * np.float32(255)).astype(np.uint8)
        return eight

    def _alpha(self, levels: NDArray[np.generic]) -> Floats | None:
        """Return (h, w, 1) cover of 0 to 1, or None for an opaque image."""
        if self.alpha != "none":
            cover: Floats = (levels[..., -1:].astype(np.float32) / np.float32(self.white)).clip(0, 1)
            return cover
        if self.key is None:
            return None
        differs: Floats = (levels != np.asarray(self.key)).any(axis=-1, keepdims=True).astype(np.float32)
        return differs

    def _to_rgb(self, colour: NDArray[np.generic], alpha: Floats | None) -> Floats:
        values = (colour.astype(np.float32) / np.float32(self.white)).astype(np.float32, copy=False)
        if self.model == "lab":
            return lab_to_srgb(_lab(values, self.white))
        if self.alpha == "premultiplied" and alpha is not None:
            values = np.divide(values, alpha, out=np.zeros_like(values), where=alpha > 0).astype(np.float32)
        values = values.clip(0, 1)
        if self.inverted:
            values = 1 - values
        if self.profile is not None:
            return _through_8_bits(values, self.model, self.profile)
        if self.model == "cmyk":
            values = (1 - values[..., :3]) * (1 - values[..., 3:])
        if self.space is not None:
            values = self.space.to_srgb(values)
        return values if values.shape[-1] == 3 else np.repeat(values, 3, axis=-1)


def eight_bit_levels(image: Image.Image) -> NDArray[np.uint8]:
    """Return (H, W, C) of an image of up to 8 bits, with its palette resolved and its own transparency as alpha.

    A transparent colour of grey or RGB stays in the colours, for `Samples.key`.
    """
    if image.mode in {"P", "PA"}:
        transparent = image.mode == "PA" or "transparency" in image.info or getattr(image.palette, "mode", "") == "RGBA"
        image = image.convert("RGBA" if transparent else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    levels = np.asarray(image)
    return levels[..., None] if levels.ndim == 2 else levels


def _lab(values: Floats, white: float) -> Floats:
    """Return L* of 0 to 100, a* and b* of the levels of a TIFF, whose a* and b* are two's complements."""
    half = (white + 1) / 2
    chroma = np.rint(values[..., 1:] * white)
    chroma = np.where(chroma >= half, chroma - (white + 1), chroma) / ((white + 1) / 256)
    return np.concatenate([values[..., :1] * 100, chroma], axis=-1).astype(np.float32)


def _through_8_bits(values: Floats, model: str, profile: bytes) -> Floats:
    """Convert by LittleCMS, which takes 8 bits here."""
    eight = np.rint(values * np.float32(255)).astype(np.uint8)
    image = Image.fromarray(eight[..., 0]) if model == "grey" else _as_image(eight, model)
    return np.asarray(convert_8_bits(image, profile), np.float32) / np.float32(255)


def _as_image(eight: NDArray[np.uint8], model: str) -> Image.Image:
    height, width = eight.shape[:2]
    return Image.frombytes("CMYK" if model == "cmyk" else "RGB", (width, height), eight.tobytes())
