"""Composing the frames of a GIF or an APNG: each is a part of the canvas, laid over what the frames before left."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from dynet.inference.decoded_image import Samples, opaque_value

Disposal = Literal["keep", "clear", "restore"]
"""What becomes of a frame's part before the next one: it stays, becomes transparent, or is what it was before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """A frame as the file stores it."""

    top: int
    left: int
    colour: Samples
    """(h, w, 3), or (h, w) when grey."""
    alpha: Samples | None
    """(h, w); None if the part is opaque."""
    disposal: Disposal
    replaces: bool
    """Whether the part replaces the canvas also where it is transparent."""
    duration: Fraction
    """In seconds."""


def compose(parts: Iterable[FramePart], height: int, width: int) -> Iterator[tuple[Samples, Samples, Fraction]]:
    """Yield colour, (H, W, 3) or (H, W), and alpha, (H, W), of the canvas with each frame, and its duration in seconds.

    The canvas is transparent at first, as browsers show it; what is outside of it is cut off.
    """
    colour: Samples | None = None
    for part in parts:
        if colour is None:
            colour = np.zeros((height, width, *part.colour.shape[2:]), part.colour.dtype)
            alpha = np.zeros((height, width), part.colour.dtype)
        before = (colour.copy(), alpha.copy()) if part.disposal == "restore" else None
        rows, columns = slice(part.top, height), slice(part.left, width)
        _lay_over(colour[rows, columns], alpha[rows, columns], part)
        yield colour.copy(), alpha.copy(), part.duration
        if before is not None:
            colour, alpha = before
        elif part.disposal == "clear":
            shape = part.colour.shape
            rows, columns = slice(part.top, part.top + shape[0]), slice(part.left, part.left + shape[1])
            colour[rows, columns], alpha[rows, columns] = 0, 0


def _lay_over(colour: Samples, alpha: Samples, part: FramePart) -> None:
    """Change colour and alpha of the canvas from the part's corner on."""
    height, width = part.colour.shape[:2]
    colour, alpha = colour[:height, :width], alpha[:height, :width]
    height, width = alpha.shape
    own_colour, white = part.colour[:height, :width], opaque_value(alpha.dtype)
    own_alpha = np.full_like(alpha, white) if part.alpha is None else part.alpha[:height, :width]
    if part.replaces:
        colour[...], alpha[...] = own_colour, own_alpha
        return
    opaque = own_alpha == white
    colour[opaque], alpha[opaque] = own_colour[opaque], white
    mixed = ~opaque & (own_alpha > 0)
    if mixed.any():
        above = own_alpha[mixed] / white
        below = (1 - above) * (alpha[mixed] / white)
        total = above + below
        shape = (-1,) + (1,) * (colour.ndim - 2)
        above, below = (above / total).reshape(shape), (below / total).reshape(shape)
        colour[mixed] = np.rint(own_colour[mixed] * above + colour[mixed] * below).astype(colour.dtype)
        alpha[mixed] = np.rint(total * white).astype(alpha.dtype)
