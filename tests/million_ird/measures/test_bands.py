"""Row bands: a filter over bands gives the same rows as over the whole image."""

import numpy as np
import pytest

from million_ird.measures.bands import ROWS, iter_row_bands
from tests.million_ird.measures.sample_images import natural_noise


@pytest.mark.parametrize("halo", [0, 1, 3])
@pytest.mark.parametrize(("height", "multiple"), [(5, 1), (ROWS, 16), (ROWS + 1, 16), (3 * ROWS + 40, 240)])
def test_bands_cover_every_row_once_and_have_their_halo(height: int, multiple: int, halo: int) -> None:
    luma = natural_noise(height, 32)
    start = 0
    for band, inside in iter_row_bands(luma, multiple, halo=halo):
        rows = band[inside]
        stop = start + len(rows)
        np.testing.assert_array_equal(rows, luma[start:stop])
        np.testing.assert_array_equal(band, luma[max(0, start - halo) : stop + halo])
        assert len(rows) % multiple == 0 or stop == height
        start = stop
    assert start == height
