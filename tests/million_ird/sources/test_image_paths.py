"""Commands that read images themselves, not sources, refuse every other kind of source by name, and agree on that."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from million_ird.calibrate import calibrate, fit_niqe_file
from million_ird.config.source_spec import SOURCE_KINDS
from million_ird.errors import SourceError
from million_ird.fingerprints import get_fingerprints
from million_ird.reference_sets import ReferenceSet
from million_ird.runtime.executor import Executor
from million_ird.scoring import score_files
from tests.million_ird import scenes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, name in enumerate(("photos", "others")):
        (tmp_path / name).mkdir()
        scenes.photograph(seed, 200, 200).save(tmp_path / name / "a.png")
    for name in ("list.csv", "list.parquet", "list.txt.gz", "all.zip", "all.tar", "all.warc.gz"):
        (tmp_path / name).write_text("path\nphotos/a.png\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fingerprinted(path: str) -> int:
    with Executor(0) as executor:
        return int(get_fingerprints(ReferenceSet("x", path), executor).num_rows)


READERS: dict[str, Callable[[str], object]] = {
    "calibrate, good": lambda path: calibrate([path], ["others"], workers=0),
    "calibrate, bad": lambda path: calibrate(["others"], [path], workers=0),
    "fit-niqe": lambda path: fit_niqe_file([path], "x.npz"),
    "fingerprint": fingerprinted,
    "score": lambda path: list(score_files([path], ["mean_luma"])),
}
OTHERS = [f"{kind}:{path}" for kind in SOURCE_KINDS if kind != "files" for path in ("photos", "list.csv", "nope")]
BY_NAME = ["list.csv", "list.txt.gz", "all.zip", "all.tar", "all.warc.gz", "*.csv"]


@pytest.mark.parametrize("reader", READERS)
def test_another_kind_of_source_is_refused_by_name(home: Path, reader: str) -> None:
    for named in (*OTHERS, *(BY_NAME if reader != "score" else [])):
        with pytest.raises(SourceError) as raised:
            READERS[reader](named)
        (line,) = str(raised.value).splitlines()
        assert line.startswith(f"{named}: is a")
        assert line.endswith("which only a build reads; name images, or a folder of them")


@pytest.mark.parametrize("reader", [name for name in READERS if name != "score"])
def test_what_is_missing_is_said_to_be_missing(home: Path, reader: str) -> None:
    for named in ("nope", "nope.csv", "nope.zip", "files:nope.csv"):
        with pytest.raises(SourceError, match="no such file"):
            READERS[reader](named)


def test_images_may_be_named_as_a_build_names_them(home: Path) -> None:
    assert fingerprinted("files:photos") == fingerprinted("photos") == 1
    (plain, named) = score_files(["photos/a.png", "files:photos/a.png"], ["mean_luma"])
    assert (named.path, named.numbers) == ("files:photos/a.png", plain.numbers)
    found = [calibrate([path], ["others"], workers=0) for path in ("photos", "files:photos", "photos/*.png")]
    for one in found:
        assert one.unreadable == 0
        np.testing.assert_equal(one.good, found[0].good)


def test_a_file_of_another_kind_among_images_to_score_fails_alone(home: Path) -> None:
    scenes.photograph(7).save(home / "photos" / "b.png")
    bad, several, good = score_files(["list.csv", "photos/*.png", "photos/a.png"], ["mean_luma"])
    assert bad.failure is not None
    assert several.failure == "is a pattern of 2 files; name them"
    assert good.failure is None
