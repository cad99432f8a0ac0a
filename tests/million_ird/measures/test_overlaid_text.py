"""Text over images is read, whatever it is; photographs without text have none."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from benchmarks.harms import HARMS
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.errors import MissingExtra
from million_ird.measures import scores
from million_ird.measures.overlaid_text import OverlaidText
from million_ird.measures.scores import prepare_scores
from million_ird.schema import DROPPED, KEPT
from tests.million_ird.scenes import ledger_rows, make

pytest.importorskip("rapidocr")
WRITTEN = ("meme", "caption bar over, dark", "caption bar below, light", "date stamp", "tiled mark 45 %", "page, half")


def photograph() -> Image.Image:
    return Image.fromarray(skimage.data.chelsea())


def count(*images: Image.Image) -> list[float | None]:
    return OverlaidText().measure_batch([np.asarray(image.convert("RGB")) for image in images])


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_over_a_photograph_is_read(name: str) -> None:
    larger = photograph().resize((902, 600), Image.Resampling.BICUBIC)
    found = count(HARMS[name](larger, np.random.default_rng(0)))[0]
    assert found is not None
    assert found >= 4


def test_photographs_without_text_have_none() -> None:
    images = (photograph(), *map(Image.fromarray, (skimage.data.coffee(), skimage.data.immunohistochemistry())))
    assert count(*images) == [0.0, 0.0, 0.0]


def test_the_number_is_that_of_the_letters_and_digits() -> None:
    image = Image.new("RGB", (900, 300), (40, 60, 90))
    ImageDraw.Draw(image).text((60, 100), "Sample 2026!", fill="white", font=ImageFont.load_default(90))
    assert count(image) == [10.0]


def test_one_tilted_line_is_taken_for_a_sign_and_several_for_a_repeated_mark() -> None:
    line = Image.new("RGBA", (420, 90))
    ImageDraw.Draw(line).text((10, 5), "stock photo", fill="white", font=ImageFont.load_default(64))
    line = line.rotate(20, Image.Resampling.BICUBIC, expand=True)
    one = Image.new("RGB", (960, 960), (40, 60, 90))
    several = one.copy()
    one.paste(line, (200, 300), line)
    for top in range(0, 900, 240):
        several.paste(line, (100 + top // 3, top), line)
    alone, repeated = count(one, several)
    assert alone == 0
    assert repeated is not None
    assert repeated >= 20


@pytest.mark.parametrize("size", [(1, 1), (31, 400), (5000, 40)])
def test_an_image_of_any_size_has_a_number_or_none(size: tuple[int, int]) -> None:
    assert count(Image.new("RGB", size, "grey")) == [None if min(size) < 32 else 0.0]


@pytest.mark.full
def test_a_gate_drops_by_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photograph().save(tmp_path / "in" / "plain.png")
    HARMS["meme"](Image.fromarray(skimage.data.coffee()), np.random.default_rng(0)).save(tmp_path / "in" / "meme.png")
    gate = {"field": "overlaid_characters", "max": 3, "reason": "text"}
    recipe: Recipe = parse({"scores": ["overlaid_characters"], "gates": [gate]}, origin="test")
    make(tmp_path / "in", tmp_path / "out", recipe)
    rows = ledger_rows(tmp_path / "out")
    assert {uri: (row["verdict"], row["reason"]) for uri, row in rows.items()} == {
        "plain.png": (KEPT, None),
        "meme.png": (DROPPED, "text"),
    }
    assert json.dumps(rows["meme.png"]["measured"]) == "33.0"


def test_without_its_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    monkeypatch.setattr("million_ird.extras.find_spec", lambda name: None if name == "rapidocr" else True)
    assert scores.missing_parameters(["overlaid_characters"], None) == []
    with pytest.raises(MissingExtra, match=r"pip install 'million-ird\[text\]'"):
        prepare_scores(["overlaid_characters"], None)
