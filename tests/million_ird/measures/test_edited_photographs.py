"""Good photographs stay good for the default recipe where people edited them as they commonly do."""

import importlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from million_ird.config.gates import first_drop
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image

ROOT = Path(__file__).parents[3]
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "motorcycle_left.png")

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / "benchmarks")
    EDITS = importlib.import_module("ordinary_edits").EDITED["edited"]
    gates_of = importlib.import_module("labelled_table").gates_of
GATES = gates_of(ROOT / "pipelines" / "million_ird.yaml", [field for one in MEASURES.values() for field in one.fields])


def reason(image: EncodedImage) -> str | None:
    fields = {gate.field for gate in GATES}
    numbers: dict[str, float | None] = {}
    for measure in MEASURES.values():
        if not fields.isdisjoint(measure.fields):
            numbers.update(measure.measure(image))
    drop = first_drop(GATES, numbers)
    return None if drop is None else f"{drop.reason} {drop.measured}"


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_photographs_are_kept_as_they_are(name: str) -> None:
    assert reason(bundled_image(name)) is None


@pytest.mark.parametrize(("name", "edit"), list(product(PHOTOGRAPHS, EDITS)))
def test_edited_photographs_are_kept(name: str, edit: str) -> None:
    photograph = Image.fromarray(bundled_image(name).pixels)
    edited = EDITS[edit](photograph, np.random.default_rng(list(EDITS).index(edit)))
    for encoder, options in ENCODERS.items():
        assert reason(encoded_image(edited, **options)) is None, encoder
