"""Signature of an image: hashes of its pixels, of its frame, and of its details. No verdicts.

- `phash`: `imagehash.phash` of the thumbnail, 64 bits. At most 4 bits differ from that of the whole image, and none in
  nine images of ten (benchmarks/copies.py).
- `pixels_id`: SHA-256 of size and decoded pixels, truncated to 128 bits: the same image in another container.
- `frame`: the image as a whole, without a plain border: the pHashes of its eight orientations, and the 16×16 lowest
  frequencies from which they are computed. Frames of near-duplicates correlate, whatever their size, brightness and
  compression.
- `points`: up to 192 keypoints, each a position and a descriptor of 128 bits: SIFT (Lowe, IJCV 2004) of the luma at
  384 px, every bin of a descriptor compared with the descriptor's median. They find an image inside another one.

None of them is an image: `frame` is a blur of 16×16, and `points` holds no pixels.
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
FREQUENCIES = 16
"""Frequencies of a frame in each direction."""
FRAME = np.dtype([("hashes", ">u8", (8,)), ("low", "i1", (FREQUENCIES, FREQUENCIES))])
"""Layout of the column `frame`: pHashes of the eight orientations (see `orient`), then the weighted frequencies."""
KEYPOINT = np.dtype([("x", "u1"), ("y", "u1"), ("bits", ">u8", (2,))])
"""Layout of a keypoint in the column `points`: its position in 1/256 of the frame, its descriptor."""
MAX_KEYPOINTS = 192
KEYPOINTS_SIDE = 384
_CELLS = 5
"""Cells in each direction over which keypoints are spread, so that one detailed corner does not have them all."""
_SURROUNDINGS = 3
"""Radius of the area that a descriptor describes, in sizes of the keypoint, without its faint rim."""
_HASHED = 32
_MAX_BORDER_SHARE = 0.25


def compute_signature(
    image: EncodedImage, max_keypoints: int = MAX_KEYPOINTS, keypoints_side: int = KEYPOINTS_SIDE
) -> Mapping[str, str | bytes]:
    """Return the four columns of an image, see the top of this file.

    Args:
        image: the encoded image.
        max_keypoints: how many keypoints `points` holds at most.
        keypoints_side: longest side in pixels at which keypoints are detected.

    Raises:
        ReadError: the bytes do not decode.
    """
    thumbnail = image.thumbnail
    top, bottom, left, right = content_box(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))
    height, width = thumbnail.shape[:2]
    inner = thumbnail[top:bottom, left:right]
    luma = image.luma
    y_scale, x_scale = luma.shape[0] / height, luma.shape[1] / width
    luma = luma[round(top * y_scale) : round(bottom * y_scale), round(left * x_scale) : round(right * x_scale)]
    return {
        "phash": f"{phash(thumbnail):016x}",
        "pixels_id": pixels_id(image.pixels),
        "frame": pack_frame(inner),
        "points": pack_keypoints(luma, max_keypoints, keypoints_side),
    }


def pixels_id(pixels: NDArray[np.uint8]) -> str:
    """Return 32 hex digits that identify (H, W, 3) uint8 pixels."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def phash(pixels: NDArray[np.uint8]) -> int:
    """Return `imagehash.phash` of (H, W, 3) uint8 pixels, bit for bit, as a number below 2⁶⁴."""
    return _hash_bits(_frequencies(pixels))


def pack_frame(pixels: NDArray[np.uint8]) -> bytes:
    """Return the packed `FRAME` of (H, W, 3) uint8 pixels.

    The frequencies are weighted by their distance from zero, which flattens the spectrum of photographs, and scaled so
    that the largest is ±127; the mean is left out.
    """
    frequencies = _frequencies(pixels)
    packed = np.zeros((), FRAME)
    packed["hashes"] = [_hash_bits(orient(frequencies, orientation)) for orientation in range(8)]
    low = frequencies[:FREQUENCIES, :FREQUENCIES] * frequency_weights()
    largest = np.abs(low).max()
    packed["low"] = np.rint(low * (127 / largest)) if largest > 0 else 0
    return packed.tobytes()


def orient(frequencies: NDArray[T], orientation: int) -> NDArray[T]:
    """Return the cosine transform of an image in another orientation.

    Mirroring, left to right or upside down, flips the sign of odd frequencies; transposing transposes.

    Args:
        frequencies: (…, n, n), the cosine transform of the image as it is.
        orientation: 0–7: mirrored (bit 0), upside down (bit 1), transposed (bit 2, applied last).
    """
    oriented = frequencies.copy()
    if orientation & 1:
        oriented[..., 1::2] *= -1
    if orientation & 2:
        oriented[..., 1::2, :] *= -1
    return oriented.swapaxes(-1, -2) if orientation & 4 else oriented


def content_box(luma: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a (h, w) uint8 thumbnail without its plain border.

    A border has one shade up to a step, is found on each side separately, and is at most a quarter of the image wide.
    """
    rows = _border_rows(luma), _border_rows(luma[::-1])
    columns = _border_rows(luma.T), _border_rows(luma.T[::-1])
    return rows[0], luma.shape[0] - rows[1], columns[0], luma.shape[1] - columns[1]


def pack_keypoints(luma: NDArray[np.uint8], max_keypoints: int, side: int) -> bytes:
    """Return up to `max_keypoints` packed `KEYPOINT`s of (H, W) uint8 luma, detected at `side` px or less.

    They are sorted by how likely a downscaled or cropped copy shows them as well: the largest first, those whose
    surroundings cross the edge last.
    """
    scale = side / max(luma.shape)
    if scale < 1:
        size = (max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    detector = cv2.SIFT.create(nfeatures=3 * max_keypoints, contrastThreshold=0.01)
    keypoints, descriptors = detector.detectAndCompute(luma, None)
    if descriptors is None:
        return b""
    height, width = luma.shape
    table = np.array([(p.pt[0] / width, p.pt[1] / height, p.size, p.response) for p in keypoints])
    edges = np.minimum(table[:, :2], 1 - table[:, :2]) * (width, height)
    whole = edges.min(axis=1) >= _SURROUNDINGS * table[:, 2]
    chosen = _spread_over_cells(table, whole, max_keypoints)
    packed = np.zeros(len(chosen), KEYPOINT)
    packed["x"] = np.clip(table[chosen, 0] * 256, 0, 255)
    packed["y"] = np.clip(table[chosen, 1] * 256, 0, 255)
    high = descriptors[chosen] > np.median(descriptors[chosen], axis=1, keepdims=True)
    packed["bits"] = np.ascontiguousarray(np.packbits(high[:, DESCRIPTOR_BIT_ORDER], axis=1)).view(">u8")
    return packed.tobytes()


def _descriptor_bit_order() -> NDArray[np.int64]:
    """Return the bins, those of every second cell (as on a chessboard) first: 64 bits that represent all 128."""
    cells = [y * 4 + x for y in range(4) for x in range(4)]
    ordered = sorted(cells, key=lambda cell: (cell // 4 + cell % 4) % 2)
    return np.array([cell * 8 + direction for cell in ordered for direction in range(8)])


DESCRIPTOR_BIT_ORDER = _descriptor_bit_order()
"""Bins of a SIFT descriptor (4×4 cells of 8 directions) in the order of a keypoint's bits."""


def _spread_over_cells(table: NDArray[np.float64], whole: NDArray[np.bool_], max_keypoints: int) -> NDArray[np.int64]:
    """Return rows of the strongest keypoints of each cell, the `whole` ones first, largest first.

    Args:
        table: (n, 4): x and y in 0…1, size, response.
        whole: (n,): whether a keypoint's surroundings are inside the image.
        max_keypoints: how many rows to return at most.
    """
    strongest = np.lexsort((table[:, 1], table[:, 0], -table[:, 3]))
    cells = (table[:, 0] * _CELLS).astype(int) * _CELLS + (table[:, 1] * _CELLS).astype(int)
    share, taken, chosen = max(1, max_keypoints // (_CELLS * (_CELLS - 2))), np.zeros(_CELLS**2, int), list[int]()
    for row in strongest.tolist():
        cell = min(cells[row], _CELLS**2 - 1)
        if taken[cell] < share and len(chosen) < max_keypoints:
            taken[cell] += 1
            chosen.append(row)
    kept = np.array(chosen)
    return kept[np.lexsort((table[kept, 1], table[kept, 0], -table[kept, 3], -table[kept, 2], ~whole[kept]))]


def _frequencies(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (32, 32): the cosine transform of the image at 32×32, each step as `imagehash.phash` takes it."""
    small = Image.fromarray(pixels).convert("L").resize((_HASHED, _HASHED), Image.Resampling.LANCZOS)
    frequencies: NDArray[np.float64] = fftpack.dct(fftpack.dct(np.asarray(small), axis=0), axis=1)
    return frequencies


def _hash_bits(frequencies: NDArray[np.float64]) -> int:
    block = frequencies[:8, :8]
    return int.from_bytes(np.packbits(block > np.median(block)).tobytes())


def frequency_weights() -> NDArray[np.float64]:
    """Return the weights of the frequencies of a frame: (16, 16), their distance from zero."""
    steps = np.arange(FREQUENCIES)
    return np.hypot(steps[:, None], steps[None])


def _border_rows(luma: NDArray[np.uint8]) -> int:
    """Return how many rows at the top are border."""
    limit = int(luma.shape[0] * _MAX_BORDER_SHARE)
    rows = luma[: limit + 2].astype(np.float32)
    plain = (rows.std(axis=1) < 3) & (np.abs(rows.mean(axis=1) - rows[0].mean()) < 3)
    deep = int(np.argmin(plain)) if not plain.all() else len(rows)
    if deep == 0 or deep > limit:
        return 0
    # Shrinking has mixed the border with the first row of the content; the row after that must differ from the border.
    inside = rows[min(deep + 1, len(rows) - 1)]
    return min(deep + 1, limit) if np.abs(inside - rows[0].mean()).mean() > 8 else 0
