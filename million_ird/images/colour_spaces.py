"""Conversion of colours from a space of curves and primaries to sRGB, in floating point."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue."""
D65 = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_CHROMATICITIES: Chromaticities = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: tuple[tuple[int, Chromaticities], ...] = (
    (4, (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    (5, (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    (6, (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    (7, (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    (8, (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    (9, (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    (10, (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
    (11, (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    (12, (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    (22, (*D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
)
"""ITU-T H.273, table 2; 1 and 2 (unspecified) are those of sRGB."""
_SRGB_CURVES = frozenset({1, 2, 6, 13, 14, 15})
_HDR_CURVES = frozenset({16, 18})
_LEVELS = np.linspace(0, 1, 65536)


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """How stored colours become light."""

    curves: tuple[Floats, ...]
    """One curve, or one each for red, green and blue: light of 65,536 equal steps of the stored value, both 0 to 1."""
    matrix: NDArray[np.float64] | None = None
    """(3, 3), from linear RGB to linear sRGB; None where they are the same, and for grey."""

    def to_srgb(self, values: Floats) -> Floats:
        """Convert (…, 1) or (…, 3) stored values of 0 to 1 to sRGB's, of the same shape."""
        steps = np.rint(values.clip(0, 1) * 65535).astype(np.uint16)
        light = np.empty(values.shape, np.float32)
        for channel in range(values.shape[-1]):
            light[..., channel] = self.curves[min(channel, len(self.curves) - 1)][steps[..., channel]]
        if self.matrix is not None and values.shape[-1] == 3:
            light = light @ self.matrix.T.astype(np.float32)
        return encode_srgb(light)


def encode_srgb(light: Floats) -> Floats:
    """Return the sRGB values, 0 to 1, of linear light, which is clipped to 0 to 1."""
    light = light.clip(0, 1)
    bright = np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(light <= np.float32(0.0031308), light * np.float32(12.92), bright).astype(np.float32, copy=False)


def srgb_curve() -> Floats:
    """Return sRGB's curve from stored values to light."""
    return np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def power_curve(exponent: float) -> Floats:
    """Return the curve light = value ** exponent."""
    return (_LEVELS**exponent).astype(np.float32)


def matrix_to_srgb(chromaticities: Chromaticities) -> NDArray[np.float64] | None:
    """Return the matrix from linear RGB of these primaries to linear sRGB, their white becoming white.

    Returns:
        (3, 3), or None where the chromaticities describe no colour space.
    """
    if min(chromaticities[1::2]) < 0 or chromaticities[1] <= 0:
        return None
    try:
        own = _to_xyz_d50(chromaticities)
        matrix = np.linalg.solve(_to_xyz_d50(SRGB_CHROMATICITIES), own).astype(np.float64)
    except np.linalg.LinAlgError:
        return None
    return matrix if np.isfinite(matrix).all() and np.abs(matrix).max() < 100 else None


def from_colorants(columns: NDArray[np.float64], curves: tuple[Floats, ...]) -> ColourSpace:
    """Return the space of a matrix profile.

    Args:
        columns: (3, 3), XYZ under D50 of red, green and blue as columns.
        curves: of red, green and blue.
    """
    return ColourSpace(curves, np.linalg.solve(_to_xyz_d50(SRGB_CHROMATICITIES), columns).astype(np.float64))


def from_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> ColourSpace | None:
    """Return the space of a PNG's gAMA and cHRM; None where it is sRGB within what libpng takes as equal.

    Args:
        gamma: value = light ** gamma; None, or an impossible one, for sRGB's curve.
        chromaticities: None, or impossible ones, for sRGB's primaries.
    """
    curve, matrix = None, None
    if gamma is not None and 0.01 < gamma < 100 and abs(gamma * 2.2 - 1) > 0.05:
        curve = power_curve(1 / gamma)
    if chromaticities is not None:
        distance = max(abs(a - b) for a, b in zip(chromaticities, SRGB_CHROMATICITIES, strict=True))
        matrix = matrix_to_srgb(chromaticities) if distance > 0.01 else None
    if curve is None and matrix is None:
        return None
    return ColourSpace((srgb_curve() if curve is None else curve,), matrix)


def from_code_points(primaries: int, transfer: int) -> ColourSpace | None:
    """Return the space of code points of ITU-T H.273; None for sRGB.

    Raises:
        LookupError: a high dynamic range (`hdr`), or code points without a meaning here (`unknown`).
    """
    if transfer in _HDR_CURVES:
        raise LookupError("hdr")
    exponents = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
    if primaries not in {1, 2, *dict(_PRIMARIES)} or transfer not in {*_SRGB_CURVES, *exponents}:
        raise LookupError("unknown")
    matrix = matrix_to_srgb(dict(_PRIMARIES)[primaries]) if primaries not in {1, 2} else None
    if matrix is None and transfer in _SRGB_CURVES:
        return None
    return ColourSpace((power_curve(exponents[transfer]) if transfer in exponents else srgb_curve(),), matrix)


def lab_to_srgb(lab: Floats) -> Floats:
    """Convert (…, 3) L* of 0 to 100, a* and b* under D50 to sRGB values of 0 to 1."""
    y = (lab[..., 0] + 16) / 116
    curved = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(curved > 6 / 29, curved**3, (curved - 4 / 29) * (108 / 841)) * _D50
    light = xyz @ np.linalg.inv(_to_xyz_d50(SRGB_CHROMATICITIES)).T
    return encode_srgb(light.astype(np.float32))


def read_profile(profile: bytes) -> ColourSpace | None:
    """Return the space of an ICC profile of grey or RGB that consists of curves and primaries.

    Returns:
        None for a profile of tables, of another colour model, or that cannot be read.
    """
    try:
        tags = _profile_tags(profile)
        if profile[16:20] == b"GRAY" and profile[20:24] == b"XYZ ":
            return ColourSpace((_curve(tags[b"kTRC"]),))
        if profile[16:20] != b"RGB " or profile[20:24] != b"XYZ " or b"A2B0" in tags:
            return None
        columns = np.array([struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T / 65536
        return from_colorants(columns, tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")))
    except (struct.error, KeyError, ValueError, IndexError, OverflowError):
        return None


def _profile_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {}
    for position in range(132, 132 + 12 * min(count, 100), 12):
        name, start, size = struct.unpack_from(">4sII", profile, position)
        tags[name] = profile[start : start + size]
    return tags


def _curve(tag: bytes) -> Floats:
    """Return a `curv` or `para` tag as a curve."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return _LEVELS.astype(np.float32)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return power_curve(float(points[0]) / 256)
        return np.interp(_LEVELS, np.linspace(0, 1, count), points / 65535).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    n_values = (1, 3, 4, 5, 7)[kind]
    values = [number / 65536 for number in struct.unpack_from(f">{n_values}i", tag, 12)]
    return _parametric(kind, values).clip(0, 1).astype(np.float32)


def _parametric(kind: int, values: list[float]) -> NDArray[np.float64]:
    g, a, b, c, d, e, f = (values + [0.0] * 7)[:7]
    if kind == 0:
        return _LEVELS**g
    if kind in {1, 2}:
        if a == 0:
            raise ValueError("no curve")
        below, offset = np.full(_LEVELS.shape, c), c
        return np.where(-b / a <= _LEVELS, (a * _LEVELS + b).clip(0, None) ** g + offset, below)
    below = c * _LEVELS + (f if kind == 4 else 0)
    return np.where(d <= _LEVELS, (a * _LEVELS + b).clip(0, None) ** g + (e if kind == 4 else 0), below)


def _to_xyz_d50(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ, adapted from its own white to D50 by Bradford's method."""
    xy = np.asarray(chromaticities, np.float64).reshape(4, 2)
    columns = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(axis=1)])
    white = columns[:, 0] / xy[0, 1]
    own = columns[:, 1:] * np.linalg.solve(columns[:, 1:], white)
    adapt = np.linalg.solve(_BRADFORD, np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD)
    result: NDArray[np.float64] = adapt @ own
    return result
