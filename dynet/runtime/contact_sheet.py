"""Labelled pictures side by side: previews of a run, and `restore --compare`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_BACKGROUND = (32, 32, 32)
_TEXT = (240, 240, 240)


def labelled_sheet(rows: Sequence[Sequence[npt.NDArray[np.uint8]]], labels: Sequence[str]) -> Image.Image:
    """Rows of (H, W, 3) pictures, one label over each column; grown by whole pixels if tiny.

    All pictures are of one width, those of a row also of one height.
    """
    width = rows[0][0].shape[1]
    zoom = max(1, 160 // width)
    font = ImageFont.load_default(size=max(14, min(width * zoom // 16, 36)))
    band = int(font.getbbox("Ag")[3]) + 2 * _GAP
    cell_width = width * zoom + _GAP
    heights = [row[0].shape[0] * zoom + _GAP for row in rows]
    sheet = Image.new("RGB", (cell_width * len(labels) + _GAP, band + sum(heights)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(labels):
        draw.text((_GAP + column * cell_width, _GAP), label, _TEXT, font)
        for line, row in enumerate(rows):
            height = row[column].shape[0]
            picture = Image.fromarray(row[column]).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(picture, (_GAP + column * cell_width, band + sum(heights[:line])))
    return sheet
