"""Labelled images side by side: previews of a training run, and `restore --compare`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_BACKGROUND = (32, 32, 32)
_TEXT = (240, 240, 240)


def labelled_sheet(rows: Sequence[Sequence[npt.NDArray[np.uint8]]], labels: Sequence[str]) -> Image.Image:
    """Return one image with all images in a grid; tiny images are enlarged by a whole factor.

    Args:
        rows: Rows of images, each (H, W, 3). All have the same width, those of one row also the same height.
        labels: The label above each column.
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
            image = Image.fromarray(row[column]).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(image, (_GAP + column * cell_width, band + sum(heights[:line])))
    return sheet
