"""Data sets in every shape that `datasets` leaves on a disk."""

import io
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from million_ird.build import Options, build
from million_ird.errors import SourceError
from million_ird.ingest import Journey
from million_ird.ingest.hub import DatasetSource
from million_ird.ledger import load
from million_ird.recipe import parse
from million_ird.record import Candidate, Failed
from million_ird.storage import Folder


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def made(rows: int = 6) -> datasets.Dataset:
    columns = {
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(rows - 1)] + [None],
        "license": [f"CC-{n}" for n in range(rows)],
        "score": [n / 2 for n in range(rows)],
        "caption": ["a"] * rows,
    }
    features = datasets.Features(
        image=datasets.Image(), license=datasets.Value("string"), score=datasets.Value("float64"),
        caption=datasets.Value("string"),
    )  # fmt: skip
    return datasets.Dataset.from_dict(columns, features=features)


def as_parquet(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        part = made().shard(2, number, contiguous=True)
        part.to_parquet(folder / f"train-{number:05d}-of-00002.parquet")


def as_saved(folder: Path) -> None:
    made().save_to_disk(folder)


def as_dict(folder: Path) -> None:
    datasets.DatasetDict(train=made(), test=made(3)).save_to_disk(folder)


def streamed(source: DatasetSource) -> dict[str, tuple[Candidate, bytes | Failed]]:
    found: dict[str, tuple[Candidate, bytes | Failed]] = {}
    for unit in source.units():
        assert unit.remote
        assert unit.opaque
        journey = Journey(out=Folder("memory://nowhere"), concurrency=1)
        source.stream(unit, lambda _: True, lambda one, got: found.update({one.uri: (one, got)}), journey)
    return found


@pytest.mark.parametrize("lay_out", [as_parquet, as_saved])
def test_bytes_and_columns_come_through_untouched(tmp_path: Path, lay_out: Callable[[Path], None]) -> None:
    lay_out(tmp_path / "set")
    source = DatasetSource("set", str(tmp_path / "set"), 10**6, ("score",), ("caption",))
    source.check()
    found = list(streamed(source).values())
    assert [got for _, got in found[:5]] == [picture(n) for n in range(5)]
    assert isinstance(found[5][1], Failed)
    assert [(one.licence, one.extra["score"], one.extra["caption"]) for one, _ in found] == [
        (f"CC-{n}", n / 2, "a") for n in range(6)
    ]
    assert len({one.key for one, _ in found}) == 6


def test_all_splits_unless_one_is_named(tmp_path: Path) -> None:
    as_dict(tmp_path / "set")
    assert len(streamed(DatasetSource("set", str(tmp_path / "set"), 10**6))) == 6 + 3
    named = streamed(DatasetSource("set", str(tmp_path / "set"), 10**6, split="test"))
    assert list(named) == [f"test/00000/{n:06d}" for n in range(3)]


def test_an_image_folder_is_a_data_set_too(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_bytes(picture(number))
    found = streamed(DatasetSource("set", str(tmp_path / "set"), 10**6))
    assert [got for _, got in found.values()] == [picture(n) for n in range(3)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "missing"}, "has no split 'missing', only train"),
        ({"image": "photo"}, "has no column 'photo', only image, license, score, caption"),
        ({"image": "caption"}, "holds texts, not pictures"),
        ({"columns": ("stars",)}, "has no column 'stars'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, options: dict[str, object], told: str) -> None:
    as_parquet(tmp_path / "set")
    with pytest.raises(SourceError, match=told) as raised:
        DatasetSource("set", str(tmp_path / "set"), 10**6, **options).check()  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_set_without_pictures_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    made().remove_columns("image").to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(SourceError, match="no column of pictures; name one of license, score, caption"):
        DatasetSource("set", str(tmp_path / "set"), 10**6).check()
    with pytest.raises(SourceError, match="dataset:nobody/nothing: cannot be had"):
        DatasetSource("set", "nobody/nothing", 10**6).check()


def test_a_build_from_a_data_set(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    recipe = parse({"patches": {"size": 16}, "columns": ["score"], "limits": {"failed_share": 1}}, origin="test")
    specs = [f"dataset:{tmp_path / 'set'}"]
    result = build(specs, str(tmp_path / "out"), recipe, Options(workers=0))
    assert (result.funnel.kept, result.funnel.failures) == (5, {"missing": 1})
    ledger = load(Folder(str(tmp_path / "out"))).to_pylist()
    assert [row["score"] for row in ledger] == [n / 2 for n in range(6)]
    assert build(specs, str(tmp_path / "out"), recipe, Options(workers=0)).did_nothing
