"""The quality of a table that is not the IJG's, compared with the error that the table leaves in photographs."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from million_ird.measures.artefacts import ArtefactMeasure
from million_ird.measures.header import HeaderMeasure
from million_ird.measures.jpeg_tables import _rounding_error, expected_error, ijg_luma_table, jpeg_quality
from tests.million_ird.measures.sample_images import BUNDLED, encoded_image

Table = tuple[int, ...]


def by_diagonals(first: Table, rest: tuple[Table, ...]) -> Table:
    """Return a symmetric table from its first row and what is right of the diagonal in the others."""
    table = np.zeros((8, 8), int)
    for row, values in enumerate((first, *rest)):
        table[row, row:] = values
    return tuple((table + table.T - np.diag(np.diag(table))).ravel().tolist())


TABLES: dict[str, Table] = {
    "Photoshop, high": by_diagonals(
        (18, 14, 14, 21, 30, 35, 34, 17),
        ((16, 16, 19, 26, 23, 12, 12), (17, 21, 23, *(12,) * 3), (23, *(12,) * 4), *((12,) * n for n in (4, 3, 2, 1))),
    ),
    "Photoshop, high, coarser above": by_diagonals(
        (18, 14, 14, 21, 30, 35, 34, 39),
        (
            (16, 16, 19, 26, 24, 30, 39),
            (17, 21, 24, 34, 46, 62),
            (26, 33, 48, 62, 65),
            *((51, 65, 65, 65), *((65,) * n for n in (3, 2, 1))),
        ),
    ),
    "Photoshop, medium": by_diagonals(
        (20, 16, 25, 39, 50, 46, 62, 68),
        (
            (18, 23, 38, 38, 53, 65, 68),
            (31, 38, 53, 65, 68, 68),
            (53, 65, 68, 68, 68),
            *((68,) * n for n in (4, 3, 2, 1)),
        ),
    ),
    "MozJPEG": by_diagonals(
        (16, 16, 16, 18, 25, 37, 56, 85),
        (
            (17, 20, 27, 34, 40, 53, 75),
            (24, 31, 43, 62, 91, 135),
            (40, 53, 74, 106, 156),
            *((69, 94, 131, 189), (124, 169, 238), (226, 255), (255,)),
        ),
    ),
}
LIKE_IJG = {"Photoshop, high": 79, "Photoshop, high, coarser above": 60, "Photoshop, medium": 32, "MozJPEG": 42}
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "motorcycle_left.png")
QUALITIES = range(16, 97, 4)


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", subsampling=0, **options)
    return buffer.getvalue()


def photograph(name: str) -> Image.Image:
    image = Image.open(BUNDLED / name).convert("RGB")
    return image.resize((image.width * 5 // 6, image.height * 5 // 6), Image.Resampling.LANCZOS)


def error(image: Image.Image, **options: object) -> float:
    before, after = (
        np.asarray(one.convert("L"), float) for one in (image, Image.open(io.BytesIO(saved(image, **options))))
    )
    return float(np.square(before - after).mean())


@pytest.mark.parametrize("name", TABLES)
def test_the_quality_is_that_of_the_ijg_table_which_leaves_as_large_an_error(name: str) -> None:
    true = []
    for image in map(photograph, PHOTOGRAPHS):
        errors = [-error(image, quality=quality) for quality in QUALITIES]
        true.append(
            np.interp(-error(image, qtables=[list(TABLES[name])] * 2), np.maximum.accumulate(errors), QUALITIES)
        )
    assert jpeg_quality((TABLES[name],)) == pytest.approx(LIKE_IJG[name], abs=2)
    assert jpeg_quality((TABLES[name],)) == pytest.approx(np.median(true), abs=4)


@pytest.mark.parametrize("name", TABLES)
def test_a_files_own_table_leaves_no_trace_of_an_earlier_compression(name: str) -> None:
    for image in map(photograph, PHOTOGRAPHS):
        once = encoded_image(Image.open(io.BytesIO(saved(image, qtables=[list(TABLES[name])] * 2))))
        file = encoded_image(image, format="JPEG", qtables=[list(TABLES[name])] * 2, subsampling=0)
        assert ArtefactMeasure().measure(once)["jpeg_trace"] is not None
        assert ArtefactMeasure().measure(file)["jpeg_trace"] is None
        assert HeaderMeasure().measure(file)["jpeg_quality"] == pytest.approx(LIKE_IJG[name], abs=2)


@pytest.mark.parametrize("quality", [20, 30, 50, 70])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_an_earlier_compression_shows_beside_the_files_own_in_each_orientation(quality: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    image = photograph("coffee.png")
    own = ArtefactMeasure().measure(encoded_image(image, format="JPEG", quality=quality, exif=exif))
    assert own["jpeg_trace"] is None
    earlier = Image.open(io.BytesIO(saved(image, quality=20)))
    trace = ArtefactMeasure().measure(encoded_image(earlier, format="JPEG", quality=75, exif=exif))["jpeg_trace"]
    assert trace == pytest.approx(20, abs=3)


@pytest.mark.parametrize(("step", "size"), [(1, 30), (8, 8), (16, 3), (40, 20), (60, 1), (255, 1)])
def test_the_expected_error_is_that_of_random_values(step: int, size: int) -> None:
    values = stats.laplace.ppf((np.arange(400_000) + 0.5) / 400_000, scale=size)
    rounding = np.square(values - step * np.rint(values / step)).mean()
    assert _rounding_error(*map(one, (step, size)))[0] == pytest.approx(rounding, rel=2e-3)


def one(value: float) -> NDArray[np.float64]:
    return np.array([value], np.float64)


def test_steps_that_no_encoder_writes_are_read_too() -> None:
    assert jpeg_quality(((0,) * 64,)) == jpeg_quality(((1,) * 64,)) == 100
    assert jpeg_quality(((65535,) * 64,)) == 1


def test_the_expected_error_grows_with_each_step() -> None:
    table = ijg_luma_table(60).astype(np.float64)
    before = expected_error(table)
    for place in range(64):
        coarser = table.copy()
        coarser[place] *= 2
        assert expected_error(coarser) > before
