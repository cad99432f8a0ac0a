"""Why a copy was not kept is said in words, also when only the ledger is left."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from benchmarks.harms import HARMS
from million_ird.maintenance.clean import clean
from million_ird.maintenance.explain import explain
from million_ird.workflow import decide_again
from tests.million_ird.scenes import ledger_rows, make


def test_the_original_is_kept_and_explain_tells_what_its_copy_has(tmp_path: Path) -> None:
    original = Image.fromarray(skimage.data.coffee())
    (tmp_path / "in").mkdir()
    original.save(tmp_path / "in" / "b.png")
    marked = HARMS["meme"](original, np.random.default_rng(0)).resize((900, 600), Image.Resampling.BICUBIC)
    marked.save(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    make(tmp_path / "in", out)
    rows = ledger_rows(out)
    assert (rows["a.png"]["reason"], rows["b.png"]["verdict"]) == ("duplicate_near", "kept")
    assert "has something laid over it" in str(explain(str(out), "a.png"))
    clean(str(out))
    decide_again(str(out))
    assert ledger_rows(out) == rows


@pytest.mark.parametrize(("colours", "told"), [(None, False), (32, True)])
def test_the_levels_that_webp_leaves_out_are_no_gaps_in_its_tones(
    colours: int | None, told: bool, tmp_path: Path
) -> None:
    original = Image.fromarray(skimage.data.astronaut())
    (tmp_path / "in").mkdir()
    original.save(tmp_path / "in" / "b.png")
    copy = original if colours is None else original.quantize(colours).convert("RGB")
    copy.resize((400, 400)).save(tmp_path / "in" / "a.webp", quality=90)
    make(tmp_path / "in", tmp_path / "out")
    explanation = str(explain(str(tmp_path / "out"), "a.webp"))
    assert "dropped: duplicate_near of in/b.png" in explanation
    assert ("has gaps in its tones" in explanation) == told
