"""The sheet of `restore --compare`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.inference.comparison_sheet import MAX_PANEL_SIDE, make_comparison_sheet
from dynet.inference.decoded_image import DecodedImage
from dynet.runtime.contact_sheet import labelled_sheet

_GAP = 6


def _decoded(colour: np.ndarray) -> DecodedImage:
    return DecodedImage(colour=colour, alpha=None, format="PNG")


def test_an_image_that_fits_a_panel_is_shown_pixel_by_pixel() -> None:
    before, after = (np.full((90, 200, 3), level, np.uint8) for level in (10, 200))
    sheet = make_comparison_sheet([("input", _decoded(before)), ("S  1.0 s", _decoded(after))]).colour
    band = sheet.shape[0] - 90 - _GAP
    assert sheet.shape[1] == 2 * 200 + 3 * _GAP
    assert np.array_equal(sheet[band : band + 90, _GAP : _GAP + 200], before)
    assert np.array_equal(sheet[band : band + 90, 200 + 2 * _GAP : 400 + 2 * _GAP], after)
    assert np.ptp(sheet[:band]) > 150  # labels
    assert sheet[:band, 212:].max() > 200  # one above each panel


@pytest.mark.parametrize(("height", "width"), [(1500, 3000), (2600, 700)])
def test_a_large_image_is_shown_whole_and_below_that_the_part_that_changed_most(height: int, width: int) -> None:
    before = np.zeros((height, width, 3), np.uint8)
    after = before.copy()
    after[-100:, -100:] = 255
    sheet = make_comparison_sheet([("input", _decoded(before)), ("L", _decoded(after))]).colour
    panel = round(height * MAX_PANEL_SIDE / max(height, width)), round(width * MAX_PANEL_SIDE / max(height, width))
    assert sheet.shape[1] == 2 * panel[1] + 3 * _GAP
    assert max(panel) == MAX_PANEL_SIDE
    lower = sheet[-panel[0] - _GAP : -_GAP, -panel[1] - _GAP : -_GAP]
    assert np.array_equal(lower, after[-panel[0] :, -panel[1] :])


def test_grey_and_16_bits_are_shown_as_8_bit_colour() -> None:
    grey = np.full((20, 30), 40000, np.uint16)
    sheet = make_comparison_sheet([("input", _decoded(grey))]).colour
    assert sheet.dtype == np.uint8
    assert tuple(sheet[-_GAP - 2, -_GAP - 2]) == (156,) * 3


def test_rows_of_a_sheet_may_differ_in_height(tmp_path: Path) -> None:
    rows = [[np.full((height, 200, 3), 99, np.uint8)] * 2 for height in (50, 80)]
    labelled_sheet(rows, ["a", "b"]).save(tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 2 * 200 + 3 * _GAP
    assert (sheet[-_GAP - 80 : -_GAP, 10] == 99).all()
    assert (sheet[-_GAP - 80 - _GAP - 50 : -_GAP - 80 - _GAP, 10] == 99).all()
