"""What a picture is recognised by: hashes of its pixels, of its frame, and of its details. No verdicts.

- `phash`: `imagehash.phash` of the thumbnail, 64 bits. That of the whole picture differs by at most 4 bits, and by none
  in nine pictures of ten (benchmarks/copies.py).
- `pixels_id`: SHA-256 of size and decoded pixels, cut to 128 bits: the same picture in another container.
- `frame`: the picture as a whole, without a plain border: the pHashes of its eight orientations, and the 16×16 lowest
  frequencies that they come from. Two frames correlate, whatever the size, the brightness and the compression.
- `points`: up to 192 details, each a place and 128 bits: SIFT (Lowe, IJCV 2004) of the luma at 384 px, every bin of a
  descriptor against the descriptor's median. They find a picture inside another one.

None of them is a picture: `frame` is a blur of 16×16, of `points` nothing can be seen.
"""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fftpack

from million_ird.images.encoded_image import EncodedImage

T = TypeVar("T", np.float32, np.float64)
COLUMNS = ("phash", "pixels_id", "frame", "points")
LOW = 16
"""Frequencies of a frame in each direction."""
FRAME = np.dtype([("hashes", ">u8", (8,)), ("low", "i1", (LOW, LOW))])
"""How `frame` is packed: pHashes of the eight orientations (see `oriented`), then the weighed frequencies."""
POINT = np.dtype([("x", "u1"), ("y", "u1"), ("bits", ">u8", (2,))])
"""How a point is packed: its place in 1/256 of the frame, its descriptor."""
MOST_POINTS = 192
POINTS_SIDE = 384
_CELLS = 5
"""Points are dealt over so many fields in each direction, so that one lively corner does not take them all."""
_SURROUNDINGS = 3
"""Sizes of a detail that its descriptor looks at in each direction, its faint rim aside."""
_HASHED = 32
_DEEPEST_BORDER = 0.25


def compute_signature(
    sample: EncodedImage, most_points: int = MOST_POINTS, points_side: int = POINTS_SIDE
) -> Mapping[str, str | bytes]:
    """The four columns of a picture.

    Raises:
        ReadError: the bytes do not decode.
    """
    thumbnail = sample.thumbnail
    box = content_box(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))
    height, width = thumbnail.shape[:2]
    top, bottom, left, right = box
    inner = thumbnail[top:bottom, left:right]
    luma = sample.luma
    rows, columns = luma.shape[0] / height, luma.shape[1] / width
    luma = luma[round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)]
    return {
        "phash": f"{phash(thumbnail):016x}",
        "pixels_id": pixels_id(sample.pixels),
        "frame": pack_frame(inner),
        "points": pack_keypoints(luma, most_points, points_side),
    }


def pixels_id(pixels: NDArray[np.uint8]) -> str:
    """32 hex digits that name (H, W, 3) uint8 pixels."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def phash(pixels: NDArray[np.uint8]) -> int:
    """`imagehash.phash` of (H, W, 3) uint8 pixels, bit for bit, as a number below 2⁶⁴."""
    return _bits(_frequencies(pixels))


def pack_frame(pixels: NDArray[np.uint8]) -> bytes:
    """The packed `FRAME` of (H, W, 3) uint8 pixels.

    The frequencies are weighed by their distance from zero, which evens out the spectrum of photographs, and scaled so
    that the largest is ±127; the mean is left out.
    """
    found = _frequencies(pixels)
    packed = np.zeros((), FRAME)
    packed["hashes"] = [_bits(orient(found, which)) for which in range(8)]
    low = found[:LOW, :LOW] * weights()
    largest = np.abs(low).max()
    packed["low"] = np.rint(low * (127 / largest)) if largest > 0 else 0
    return packed.tobytes()


def orient(frequencies: NDArray[T], which: int) -> NDArray[T]:
    """The cosine transform (…, n, n) of a picture mirrored (bit 0), upside down (bit 1), transposed (bit 2, last).

    A mirror, left to right or upside down, turns the sign of odd frequencies; transposing transposes.
    """
    turned = frequencies.copy()
    if which & 1:
        turned[..., 1::2] *= -1
    if which & 2:
        turned[..., 1::2, :] *= -1
    return turned.swapaxes(-1, -2) if which & 4 else turned


def content_box(luma: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a (h, w) uint8 thumbnail without its plain border.

    A border is of one shade up to a step, on each side for itself, and at most a quarter of the picture wide.
    """
    rows = _border(luma), _border(luma[::-1])
    columns = _border(luma.T), _border(luma.T[::-1])
    return rows[0], luma.shape[0] - rows[1], columns[0], luma.shape[1] - columns[1]


def pack_keypoints(luma: NDArray[np.uint8], most: int, side: int) -> bytes:
    """Up to `most` packed `POINT`s of (H, W) uint8 luma, looked for at a longest side of at most `side`.

    The largest details come first, those aside whose surroundings reach over the edge: what a shrunk or cropped copy is
    most likely to show just the same.
    """
    scale = side / max(luma.shape)
    if scale < 1:
        size = (max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    detector = cv2.SIFT.create(nfeatures=3 * most, contrastThreshold=0.01)
    found, descriptors = detector.detectAndCompute(luma, None)
    if descriptors is None:
        return b""
    height, width = luma.shape
    places = np.array([(p.pt[0] / width, p.pt[1] / height, p.size, p.response) for p in found])
    edges = np.minimum(places[:, :2], 1 - places[:, :2]) * (width, height)
    whole = edges.min(axis=1) >= _SURROUNDINGS * places[:, 2]
    chosen = _spread(places, whole, most)
    packed = np.zeros(len(chosen), POINT)
    packed["x"] = np.clip(places[chosen, 0] * 256, 0, 255)
    packed["y"] = np.clip(places[chosen, 1] * 256, 0, 255)
    high = descriptors[chosen] > np.median(descriptors[chosen], axis=1, keepdims=True)
    packed["bits"] = np.ascontiguousarray(np.packbits(high[:, BIT_ORDER], axis=1)).view(">u8")
    return packed.tobytes()


def _bit_order() -> NDArray[np.int64]:
    """The half of the bins in the fields of one colour of a chessboard first: 64 bits that speak for all 128."""
    fields = [y * 4 + x for y in range(4) for x in range(4)]
    ordered = sorted(fields, key=lambda field: (field // 4 + field % 4) % 2)
    return np.array([field * 8 + direction for field in ordered for direction in range(8)])


BIT_ORDER = _bit_order()
"""Bins of a SIFT descriptor (4×4 fields of 8 directions) in the order of a point's bits."""


def _spread(places: NDArray[np.float64], whole: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """The strongest of each field, the `whole` ones first, largest first."""
    strongest = np.lexsort((places[:, 1], places[:, 0], -places[:, 3]))
    fields = (places[:, 0] * _CELLS).astype(int) * _CELLS + (places[:, 1] * _CELLS).astype(int)
    share, taken, chosen = max(1, most // (_CELLS * (_CELLS - 2))), np.zeros(_CELLS**2, int), list[int]()
    for i in strongest.tolist():
        field = min(fields[i], _CELLS**2 - 1)
        if taken[field] < share and len(chosen) < most:
            taken[field] += 1
            chosen.append(i)
    kept = np.array(chosen)
    return kept[np.lexsort((places[kept, 1], places[kept, 0], -places[kept, 3], -places[kept, 2], ~whole[kept]))]


def _frequencies(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(32, 32): the cosine transform of a picture shrunk to 32×32, each step as `imagehash.phash` takes it."""
    small = Image.fromarray(pixels).convert("L").resize((_HASHED, _HASHED), Image.Resampling.LANCZOS)
    found: NDArray[np.float64] = fftpack.dct(fftpack.dct(np.asarray(small), axis=0), axis=1)
    return found


def _bits(frequencies: NDArray[np.float64]) -> int:
    block = frequencies[:8, :8]
    return int.from_bytes(np.packbits(block > np.median(block)).tobytes())


def weights() -> NDArray[np.float64]:
    """What the frequencies of a frame were multiplied by: (16, 16), their distance from zero."""
    steps = np.arange(LOW)
    return np.hypot(steps[:, None], steps[None])


def _border(luma: NDArray[np.uint8]) -> int:
    """How many rows at the top are border."""
    most = int(luma.shape[0] * _DEEPEST_BORDER)
    rows = luma[: most + 2].astype(np.float32)
    plain = (rows.std(axis=1) < 3) & (np.abs(rows.mean(axis=1) - rows[0].mean()) < 3)
    deep = int(np.argmin(plain)) if not plain.all() else len(rows)
    if deep == 0 or deep > most:
        return 0
    # Shrinking has mixed the border with the first row of the picture; the row after that must be unlike the border.
    inside = rows[min(deep + 1, len(rows) - 1)]
    return min(deep + 1, most) if np.abs(inside - rows[0].mean()).mean() > 8 else 0
