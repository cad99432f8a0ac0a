"""Labelled pictures side by side: previews of a run, and `restore --compare`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_BACKGROUND = (32, 32, 32)
_TEXT = (240, 240, 240)


def labelled_sheet(rows: Sequence[Sequence[npt.NDArray[np.uint8]]], labels: Sequence[str]) -> Image.Image:
    """Rows of (H, W, 3) pictures of one size, one label over each column; grown by whole pixels if tiny."""
    height, width = rows[0][0].shape[:2]
    zoom = max(1, 160 // width)
    font = ImageFont.load_default(size=max(14, min(width * zoom // 16, 36)))
    band = int(font.getbbox("Ag")[3]) + 2 * _GAP
    cell_width, cell_height = width * zoom + _GAP, height * zoom + _GAP
    size = (cell_width * len(labels) + _GAP, band + cell_height * len(rows))
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(labels):
        draw.text((_GAP + column * cell_width, _GAP), label, _TEXT, font)
        for line, row in enumerate(rows):
            picture = Image.fromarray(row[column]).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(picture, (_GAP + column * cell_width, band + line * cell_height))
    return sheet
