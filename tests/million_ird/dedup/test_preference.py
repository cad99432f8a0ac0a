"""Of two copies the original is preferred, whichever comes first."""

import io
from functools import cache
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
import skimage.data
from PIL import Image

from benchmarks.alterations import ALTERATIONS
from benchmarks.harms import HARMS, hidden
from million_ird.dedup.preference import Copies, CopyRow, judge, standings
from million_ird.dedup.search import HashPairSearch
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from million_ird.measures.signature import compute_signature
from million_ird.measures.view import pack_view
from million_ird.runtime.threads import single_threaded
from tests.million_ird import scenes

ALL = {**ALTERATIONS, **HARMS}
SHOWN = {
    "caption bar below, dark": "surrounded",
    "black sides": "surrounded",
    "blurred sides": "surrounded",
    "mirrored sides": "surrounded",
    "tiled mark 45 %": "overlaid",
    "centred mark 45 %": "overlaid",
    "logo": "overlaid",
    "meme": "overlaid",
    "crop of 10%": "cut",
    "noise 25": "noisy",
    "median 7": "smooth",
    "JPEG 20": "smooth",
    "64 colours": "posterised",
    "grey": "discoloured",
    "bicubic ×1.5": "enlarged",
    "nearest ×2": "enlarged",
    "resize ×0.5": "smaller",
}
"""What the altered copy is to have."""


def row_of(image: Image.Image, form: str = "PNG", **saving: object) -> dict[str, object]:
    buffer = io.BytesIO()
    image.save(buffer, form, **(saving or {"compress_level": 1}))
    encoded = EncodedImage(buffer.getvalue())
    with single_threaded():
        columns = compute_signature(encoded)
        return {
            **{name: columns[name] for name in ("frame", "points")},
            "view": pack_view(encoded),
            "width": image.width,
            "height": image.height,
            "jpeg_quality": MEASURES["header"].measure(encoded)["jpeg_quality"],
            **{name: MEASURES["artefacts"].measure(encoded)[name] for name in ("jpeg_trace", "fine_trace")},
        }


@cache
def pair(name: str) -> tuple[dict[str, object], dict[str, object]]:
    original = Image.fromarray(skimage.data.coffee())
    return row_of(original), row_of(ALL[name](original, np.random.default_rng(2)))


copy_row = CopyRow.of


@pytest.mark.parametrize(("name", "harm"), SHOWN.items())
def test_the_difference_tells_which_copy_was_altered_and_how(name: str, harm: str) -> None:
    original, altered = (copy_row(row) for row in pair(name))
    verdict = judge(original, altered, turned=True)
    assert verdict is not None
    assert harm in verdict.second
    assert verdict.better == 1
    swapped = judge(altered, original, turned=True)
    assert swapped is not None
    assert (swapped.first, swapped.second) == (verdict.second, verdict.first)
    assert swapped.better == -1


def picture(name: str) -> Image.Image:
    if name.isdigit():
        return scenes.photograph(int(name), 320, 240)
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    image.thumbnail((480, 480))
    return image


SAVED_AGAIN = [
    *(("JPEG", quality, tints) for quality in (95, 88, 75, 50, 20) for tints in ("4:4:4", "4:2:0")),
    *(("WEBP", quality, "4:2:0") for quality in (90, 80, 60, 40)),
    *(("AVIF", quality, "4:2:0") for quality in (75, 60, 40)),
]
QUICK = ("1", "4", "astronaut", "moon")
PICTURES = [
    *("3", "10", "40", "41", "42", "chelsea", "coffee", "rocket", "coins", "camera", "page", "retina"),
    *("hubble_deep_field", "immunohistochemistry", "colorwheel", "brick", "grass", "gravel", "cell"),
]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(one, marks=pytest.mark.full) for one in PICTURES)])
def test_what_compression_changes_is_never_charged_to_the_copy_that_is_compressed_less(name: str) -> None:
    image = picture(name)
    original = copy_row(row_of(image))
    for form, quality, tints in SAVED_AGAIN:
        subsampling = {"subsampling": {"4:4:4": 0, "4:2:0": 2}[tints]} if form == "JPEG" else {}
        again = copy_row(row_of(image, form, quality=quality, **subsampling))
        verdict = judge(original, again, turned=True)
        assert verdict is not None
        least = 0 if quality >= {"JPEG": 88, "WEBP": 90, "AVIF": 75}[form] else 1
        assert verdict.better >= least, (form, quality, tints, verdict)
        swapped = judge(again, original, turned=True)
        assert swapped is not None
        assert swapped.better == -verdict.better


@pytest.mark.parametrize("how", ["pixelated", "blurred", "covered"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_copy_with_a_hidden_part_is_seldom_the_original(how: str, form: str) -> None:
    rng = np.random.default_rng(5)
    verdicts = []
    for name in ("chelsea", "coffee", "rocket", "retina", "astronaut"):
        image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        image.thumbnail((900, 900))
        original = copy_row(row_of(image, form, quality=95))
        for _ in range(4):
            altered = copy_row(row_of(hidden(how, 0.3)(image, rng), form, quality=95))
            verdict, swapped = judge(original, altered, turned=False), judge(altered, original, turned=False)
            assert verdict is not None
            assert swapped is not None
            assert swapped.better == -verdict.better
            verdicts.append(verdict.better)
    assert verdicts.count(1) >= 16, verdicts


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "astronaut"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_hazy_copy_is_not_the_original(name: str, form: str) -> None:
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    haze = ALL["haze"](image, np.random.default_rng(0))
    verdict = judge(copy_row(row_of(image, form, quality=95)), copy_row(row_of(haze, form, quality=95)), turned=False)
    assert verdict is not None
    assert "sharpened" not in verdict.first
    assert verdict.better == 1


@pytest.mark.parametrize("factor", [2, 4, 8, 9, 12, 20])
def test_a_much_smaller_copy_is_not_the_original_however_well_it_is_saved(factor: int) -> None:
    image = Image.fromarray(skimage.data.retina())
    rows = row_of(image, "JPEG", quality=85), row_of(image.reduce(factor), "PNG")
    for (first, second), better in ((rows, 1), (rows[::-1], -1)):
        verdict = judge(copy_row(first), copy_row(second), turned=False)
        assert verdict is not None
        assert verdict.better == better, verdict


FAINT = {
    "as it is": lambda image: image,
    "a faint mark": lambda image: Image.blend(image, ALL["signature"](image, np.random.default_rng(0)), 0.3),
    "tiled marks": lambda image: ALL["small tiled mark 30 %"](image, np.random.default_rng(0)),
    "a date stamp": lambda image: ALL["date stamp"](image, np.random.default_rng(0)),
}


@pytest.mark.parametrize(
    ("name", "quality", "form", "faint"),
    list(product(("1", "4", "astronaut", "coffee"), (80, 90, 95), ("PNG", "JPEG 99", "WEBP lossless"), FAINT)),
)
def test_what_shows_the_compression_of_another_file_was_saved_from_it(
    name: str, quality: int, form: str, faint: str
) -> None:
    buffer = io.BytesIO()
    picture(name).save(buffer, "JPEG", quality=quality)
    decoded = Image.open(buffer).convert("RGB")
    original = copy_row(row_of(picture(name), "JPEG", quality=quality))
    saving = {"PNG": {}, "JPEG 99": {"quality": 99, "subsampling": 0}, "WEBP lossless": {"lossless": True}}[form]
    verdict = judge(original, copy_row(row_of(FAINT[faint](decoded), form.split()[0], **saving)), turned=True)
    assert verdict is not None
    assert verdict.second["resaved"] > 0
    assert "resaved" not in verdict.first
    assert verdict.better == 1


TABLES = {
    "flat": [3] * 64,
    "steep": [4 + (index // 8 + index % 8) ** 2 // 2 for index in range(64)],
    "half of the standard, for faint colours": [max(1, (index // 8 + 1) * (index % 8 + 1) // 3) for index in range(64)],
}


@pytest.mark.parametrize("quality", [70, 75, 80, 85, 90, 95, 97])
@pytest.mark.parametrize("table", TABLES)
def test_a_jpeg_with_a_table_of_its_own_was_not_saved_from_its_copies(table: str, quality: int) -> None:
    buffer = io.BytesIO()
    picture("coffee").save(buffer, "JPEG", qtables=[TABLES[table]] * 2)
    original = copy_row(row_of(picture("coffee"), "JPEG", qtables=[TABLES[table]] * 2))
    verdict = judge(original, copy_row(row_of(Image.open(buffer), "JPEG", quality=quality)), turned=True)
    assert verdict is not None
    assert "resaved" not in verdict.first


@pytest.mark.parametrize(("form", "saving"), [("JPEG", {"quality": 95}), ("JPEG", {"quality": 80}), ("PNG", {})])
def test_neither_of_two_copies_of_what_was_never_compressed_was_saved_from_the_other(
    form: str, saving: dict[str, int]
) -> None:
    image = picture("4")
    verdict = judge(copy_row(row_of(image)), copy_row(row_of(image, form, **saving)), turned=True)
    assert verdict is None or not {"resaved"} & {*verdict.first, *verdict.second}


def test_a_row_without_a_view_is_compared_with_none() -> None:
    original, altered = pair("logo")
    assert judge(copy_row(original), copy_row({**altered, "view": None}), turned=True) is None
    assert judge(copy_row(original), copy_row(original), turned=True) is None


def test_the_standing_is_what_is_won_minus_what_is_lost_and_workers_do_not_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, logo = pair("logo")
    rows = [logo, original, pair("noise 25")[1], {**original, "view": None}]
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    table = pa.Table.from_pylist(rows)
    copies = Copies(pairs, np.arange(4), table)
    rank, groups = np.arange(4), np.array([0, 0, 0, 3])

    def standing(search: HashPairSearch, order: list[int]) -> list[float]:
        chosen = Copies(pairs[order], copies.rows, table)
        batches = lambda names: iter([table.select([*names])])  # noqa: E731
        return standings(chosen, rank, groups, batches, turned=True, search=search).tolist()

    found = standing(HashPairSearch(), [0, 1, 2])
    assert found[1] == 1
    assert found[3] == 0
    assert sorted([found[0], found[2]]) == pytest.approx([-1, 0])
    monkeypatch.setattr("million_ird.dedup.preference._PAIRS_PER_TASK", 1)
    shuffled = HashPairSearch(run=lambda function, tasks: [function(task) for task in reversed(list(tasks))])
    assert standing(shuffled, [2, 0, 1]) == found
