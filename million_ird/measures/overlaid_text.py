"""Characters that are written over an image: captions, dates, watermarks, pages around a photograph.

Text is found and read by PP-OCR in rapidocr's wheel (Apache-2.0), which needs no download. A detector alone takes
branches and windows for text; what can also be read is text. Text that was photographed, such as a sign, counts too
where it is as level as text that a program writes, so look at what a gate drops.

This is a score that a recipe names, since it takes longer than all measures together.
"""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.extras import require
from million_ird.images.decode import shrink
from million_ird.measure_specs import OVERLAID_CHARACTERS

_SIDE = 960
"""Longest side in px at which text is looked for; larger sides find no more captions, and take longer."""
_LEAST_SIDE = 32
_SURE = 0.7
"""Confidence from which on a line counts."""
_LEAST_CHARACTERS = 2
"""Letters and digits of a line: single ones are seen in stars and branches."""
_LEVEL = 4.0
"""Largest tilt in degrees of a line against the nearest side of the image."""
_SAME_TILT, _TILES = 3.0, 3
"""Degrees within which lines are parallel, and how many of them are a repeated mark, at any tilt."""


@dataclass(frozen=True, slots=True)
class OverlaidText:
    """The score `overlaid_characters`. It is pickled as its name; each process loads the networks once."""

    name: str = OVERLAID_CHARACTERS

    def measure_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[float | None]:
        """Return the number of characters over each (H, W, 3) uint8 RGB image; None for one too small to read in."""
        return [_count(image) for image in images]


def check() -> None:
    """Check that what reads text is installed.

    Raises:
        MissingExtra: it is not.
    """
    require("rapidocr", "onnxruntime")


def load() -> None:
    """Load the networks; they are part of the wheel."""
    _reader()


@functools.lru_cache(maxsize=1)
def _reader() -> Any:
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    # One thread, as a scan has a process for each core.
    settings = {"Global.log_level": "error", "Det.limit_type": "max", "Det.limit_side_len": _SIDE}
    return RapidOCR(params=settings | {"EngineConfig.onnxruntime.intra_op_num_threads": 1})


def _count(image: NDArray[np.uint8]) -> float | None:
    if min(image.shape[:2]) < _LEAST_SIDE:
        return None
    small = cv2.cvtColor(shrink(image, _SIDE), cv2.COLOR_RGB2BGR)
    found = _reader()(small, use_det=True, use_cls=False, use_rec=True)
    if not found.txts:
        return 0.0
    lines = [
        (sum(map(str.isalnum, text)), _tilt(np.asarray(box, np.float64)))
        for box, text, sure in zip(found.boxes, found.txts, found.scores, strict=True)
        if sure > _SURE
    ]
    readable = [(count, tilt) for count, tilt in lines if count >= _LEAST_CHARACTERS]
    tilts = np.array([tilt for _, tilt in readable])
    return float(sum(count for count, tilt in readable if _is_written(tilt, tilts)))


def _tilt(box: NDArray[np.float64]) -> float:
    """Return the tilt of a line of text against the nearest side of the image, −45 to 45 degrees; box: (4, 2) x, y."""
    along, across = box[1] - box[0], box[3] - box[0]
    x, y = along if np.hypot(*along) >= np.hypot(*across) else across
    return float((np.degrees(np.arctan2(y, x)) + 45) % 90 - 45)


def _is_written(tilt: float, tilts: NDArray[np.float64]) -> bool:
    """Return whether a line is level, or one of several that are parallel."""
    return abs(tilt) <= _LEVEL or int((np.abs(tilts - tilt) <= _SAME_TILT).sum()) >= _TILES
