"""Exports as other programs read them, and after a kill, a rebuild or a takedown."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from million_ird.cli import releasing
from million_ird.errors import BuildError, DamagedFile, OutputError, UsageError
from million_ird.export import folder
from million_ird.export import lmdb as databases
from million_ird.export import webdataset as tars
from million_ird.export.export import FORMATS, ExportResult, export
from million_ird.images.decode import decode
from million_ird.images.header import read_header
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes
from tests.million_ird.images.test_colour import ADOBE_RGB

lmdb = pytest.importorskip("lmdb")
webdataset = pytest.importorskip("webdataset")

SMALL = {"patches": {"size": 32, "scales": [1.0, 0.5]}, "shards": {"bytes": 12_000}}
FORM = pytest.mark.parametrize("form", sorted(FORMATS))
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create twelve images."""
    where = tmp_path_factory.mktemp("photographs")
    for number in range(12):
        scenes.photograph(number).save(where / f"p{number:03d}.png")
    return where


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """A dataset of them in several shards, the last one for validation; tests do not change it."""
    return _built(photographs, tmp_path_factory.mktemp("first") / "out")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """The same dataset built again, after two images were removed and one was added."""
    where = tmp_path_factory.mktemp("second")
    shutil.copytree(photographs, where / "photographs")
    for gone in ("p001.png", "p006.png"):
        (where / "photographs" / gone).unlink()
    scenes.photograph(50).save(where / "photographs" / "p050.png")
    return _built(where / "photographs", where / "out")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of images of all kinds."""
    where = tmp_path_factory.mktemp("originals")
    (where / "in").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    scenes.photograph(0).save(where / "in" / "plain.png")
    scenes.photograph(1).save(where / "in" / "plain.JPG", quality=98)
    scenes.photograph(2, 90, 64).save(where / "in" / "turned.jpg", quality=98, exif=turned)
    scenes.photograph(3, 90, 64).save(where / "in" / "turned.png", exif=turned)
    scenes.photograph(4).save(where / "in" / "modern.avif", quality=99)
    scenes.photograph(5).convert("CMYK").save(where / "in" / "print.jpg", quality=98)
    scenes.photograph(6).save(where / "in" / "wide.jpg", quality=98, icc_profile=ADOBE_RGB)
    scenes.photograph(7).save(where / "in" / "named wrongly.gif.com", "WEBP", lossless=True)
    scenes.photograph(8).save(where / "in" / "scan.tif")
    glass = scenes.photograph(9)
    glass.putalpha(scenes.photograph(10).convert("L"))
    glass.save(where / "in" / "glass.png")
    scenes.make(where / "in", where / "out", scenes.recipe(gates=[scenes.RECIPE["gates"][0]]))
    assert _table(where / "out", "images").num_rows == 10
    return where / "out"


def _built(source: Path, out: Path) -> Path:
    scenes.make(source, out, scenes.recipe(**SMALL))
    for kind in ("data", "patches"):
        shards = sorted((out / kind).iterdir())
        assert len(shards) >= 4
        shards[-1].rename(out / kind / "validation-00000-of-00001.parquet")
    return out


def _table(out: Path, config: str = "patches", split: str = "*") -> pa.Table:
    files = sorted((out / {"patches": "patches", "images": "data"}[config]).glob(f"{split}-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


def _rows(out: Path, config: str = "patches", split: str = "*") -> dict[str, dict[str, object]]:
    return {row["id"].replace(".", "_"): row for row in _table(out, config, split).to_pylist()}


def _files(where: Path) -> dict[str, bytes]:
    """Return all files except locks and LMDB's own, by name; for a database its keys and values."""
    found = {}
    for path in sorted(where.rglob("*")):
        if path.name == "data.mdb":
            found |= {f"{path.parent.relative_to(where)}/{key}": value for key, value in _database(path.parent).items()}
        elif path.is_file() and path.name not in {"lock", "lock.mdb"}:
            found[str(path.relative_to(where))] = path.read_bytes()
    return found


def _database(path: Path) -> dict[str, bytes]:
    with lmdb.open(str(path), readonly=True, lock=False, readahead=False) as env, env.begin() as reading:
        return {key.decode("ascii"): value for key, value in reading.cursor()}


def _as_basicsr(encoded: bytes) -> Pixels:
    """Decode a value as BasicSR does, to RGB."""
    read = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def _pixels(encoded: bytes) -> Pixels:
    return decode(encoded, read_header(encoded))


def _encoded(row: dict[str, object]) -> bytes:
    image = row["image"]
    assert isinstance(image, dict)
    return bytes(image["bytes"])


def _meta_info(path: Path) -> list[tuple[str, ...]]:
    """Return the fields of each line, split as BasicSR splits them."""
    return [tuple(line.rstrip("\n").split(" ")) for line in path.read_text().splitlines(keepends=True)]


def _to(out: Path, form: str, to: Path, **options: str) -> ExportResult:
    return export(str(out), form, to=str(to), **options)


# What other programs read


@FORM
def test_every_split_is_exported_completely(first: Path, tmp_path: Path, form: str) -> None:
    done = _to(first, form, tmp_path / "to")
    splits = {split: _table(first, split=split).num_rows for split in ("train", "validation")}
    assert done.splits == splits
    assert done.images == done.written == sum(splits.values()) > 40
    assert done.bytes == sum(len(_encoded(row)) for row in _rows(first).values())
    assert done.reencoded == 0
    assert {path.name for path in (tmp_path / "to").iterdir()} == {".export", "train", "validation"}


def test_a_folder_has_the_bytes_and_all_columns(first: Path, tmp_path: Path) -> None:
    _to(first, "folder", tmp_path / "to")
    for split in ("train", "validation"):
        where, rows = tmp_path / "to" / split, _rows(first, split=split)
        lines = _meta_info(where / "meta_info.txt")
        assert [name for name, _ in lines] == [f"{name}.webp" for name in rows]
        assert {shape for _, shape in lines} == {"(32,32,3)"}
        for (name, _), row in zip(lines, rows.values(), strict=True):
            assert (where / name).read_bytes() == _encoded(row)
        metadata = pq.read_table(where / "metadata.parquet").to_pylist()
        assert metadata == [
            {"file_name": name} | {k: v for k, v in row.items() if k != "image"}
            for (name, _), row in zip(lines, rows.values(), strict=True)
        ]
        assert {path.name for path in where.iterdir()} == {name for name, _ in lines} | {
            "meta_info.txt",
            "metadata.parquet",
        }


def test_names_have_no_dot_except_before_the_suffix(first: Path, tmp_path: Path) -> None:
    assert any("." in row["id"] for row in _table(first).select(["id"]).to_pylist())
    _to(first, "folder", tmp_path / "to")
    names = [path.name for path in (tmp_path / "to").rglob("*.webp")]
    assert len(names) == _table(first).num_rows
    assert all(name.count(".") == 1 for name in names)


def test_a_large_folder_is_divided(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _to(first, "folder", tmp_path / "to")
    flat = {path.name: path.read_bytes() for path in (tmp_path / "to").rglob("*.webp")}
    monkeypatch.setattr(folder, "FLAT", 30)
    _to(first, "folder", tmp_path / "to")
    train = tmp_path / "to" / "train"
    assert not list(train.glob("*.webp"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "to").rglob("*.webp")} == flat
    names = [name for name, _ in _meta_info(train / "meta_info.txt")]
    assert all((train / name).is_file() and name[2] == "/" and name[:2] == name[3:5] for name in names)
    monkeypatch.undo()
    _to(first, "folder", tmp_path / "to")
    assert [path for path in train.iterdir() if path.is_dir()] == []


def test_imagefolder_reads_a_folder(first: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    _to(first, "folder", tmp_path / "to")
    rows = _rows(first, split="train")
    data = load_dataset("imagefolder", data_dir=str(tmp_path / "to" / "train"), split="train", cache_dir=str(tmp_path))
    assert sorted(data["id"]) == sorted(str(row["id"]) for row in rows.values())
    for sample in data:
        row = rows[sample["id"].replace(".", "_")]
        np.testing.assert_array_equal(np.asarray(sample["image"].convert("RGB")), _pixels(_encoded(row)))
        assert sample["licence"] == row["licence"]


def test_basicsr_reads_a_database(first: Path, tmp_path: Path) -> None:
    _to(first, "lmdb", tmp_path / "to")
    for split in ("train", "validation"):
        where, rows = tmp_path / "to" / split / f"{split}.lmdb", _rows(first, split=split)
        assert {path.name for path in where.iterdir()} == {"data.mdb", "lock.mdb", "meta_info.txt"}
        lines = _meta_info(where / "meta_info.txt")
        assert {line[1:] for line in lines} == {("(32,32,3)", "1")}
        keys = [name.split(".")[0] for name, *_ in lines]
        assert keys == list(rows)
        values = _database(where)
        assert values.keys() == rows.keys()
        for key in keys:
            np.testing.assert_array_equal(_as_basicsr(values[key]), _pixels(_encoded(rows[key])))
        assert pq.read_table(where.parent / "metadata.parquet")["id"].to_pylist() == [r["id"] for r in rows.values()]


def test_basicsr_decodes_every_original_as_this_package_does(originals: Path, tmp_path: Path) -> None:
    done = _to(originals, "lmdb", tmp_path / "to", config="images")
    where, rows = tmp_path / "to" / "train" / "train.lmdb", _rows(originals, "images")
    values = _database(where)
    kept = set()
    for name, shape, _ in _meta_info(where / "meta_info.txt"):
        row, value = rows[name.split(".")[0]], values[name.split(".")[0]]
        wanted, read = _pixels(_encoded(row)), _as_basicsr(value)
        assert shape == "({},{},{})".format(*read.shape)
        assert np.abs(read.astype(int) - wanted).mean() < 0.5
        if value == _encoded(row):
            kept.add(row["uri"])
        else:
            assert name.endswith(".png")
            assert read_header(value).orientation == 1
            np.testing.assert_array_equal(read, wanted)
    assert kept == {"plain.png", "plain.JPG", "turned.jpg", "named wrongly.gif.com"}
    assert done.reencoded == len(rows) - len(kept)


def test_originals_in_a_folder_are_unchanged_and_named_by_their_format(originals: Path, tmp_path: Path) -> None:
    _to(originals, "folder", tmp_path / "to", config="images")
    names = {"plain.png": "png", "plain.JPG": "jpg", "turned.jpg": "jpg", "turned.png": "png", "modern.avif": "avif"}
    names |= {"print.jpg": "jpg", "wide.jpg": "jpg", "named wrongly.gif.com": "webp", "scan.tif": "tiff"}
    names |= {"glass.png": "png"}
    shapes = dict(_meta_info(tmp_path / "to" / "train" / "meta_info.txt"))
    for name, row in _rows(originals, "images").items():
        file = f"{name}.{names[str(row['uri'])]}"
        assert (tmp_path / "to" / "train" / file).read_bytes() == _encoded(row)
        assert shapes[file] == "({},{},{})".format(*_pixels(_encoded(row)).shape)


def test_webdataset_reads_the_tars(originals: Path, first: Path, tmp_path: Path) -> None:
    for out, config in ((first, "patches"), (originals, "images")):
        where = tmp_path / config
        _to(out, "webdataset", where, config=config)
        rows = _rows(out, config, "train")
        files = sorted(map(str, (where / "train").glob("train-*.tar")))
        assert [Path(file).name for file in files] == [f"train-{i:06d}.tar" for i in range(len(files))]
        samples = list(webdataset.WebDataset(files, shardshuffle=False, empty_check=False))
        assert [sample["__key__"] for sample in samples] == list(rows)
        for sample in samples:
            row = rows[sample["__key__"]]
            (suffix,) = {key for key in sample if not key.startswith("__")} - {"json"}
            assert sample[suffix] == _encoded(row)
            assert json.loads(sample["json"]) == {k: v for k, v in row.items() if k != "image"}
        decoded = webdataset.WebDataset(files, shardshuffle=False).decode("rgb8", handler=webdataset.warn_and_continue)
        pictures = list(decoded.to_tuple("webp;png;jpg;tiff", "json", handler=webdataset.ignore_and_continue))
        assert len(pictures) == (len(rows) if config == "patches" else len(rows) - 1)  # its table lacks AVIF


@pytest.mark.parametrize("config", ["patches", "images"])
def test_datasets_reads_the_tars(originals: Path, first: Path, tmp_path: Path, config: str) -> None:
    from datasets import Features, load_dataset

    out = {"patches": first, "images": originals}[config]
    _to(out, "webdataset", tmp_path / "to", config=config)
    where, rows = tmp_path / "to" / "train", _rows(out, config, "train")
    features = Features.from_dict(json.loads((where / "features.json").read_text()))
    files = str(where / "*.tar")
    for options in ({"streaming": True}, {"cache_dir": str(tmp_path)}):
        data = load_dataset("webdataset", data_files=files, split="train", features=features, **options)
        samples = list(data)
        assert [sample["json"]["id"] for sample in samples] == [row["id"] for row in rows.values()]
        for sample, row in zip(samples, rows.values(), strict=True):
            (picture,) = [value for key, value in sample.items() if key in features and hasattr(value, "convert")]
            assert picture.size == _pixels(_encoded(row)).shape[1::-1]
            assert sample["json"] == {k: v for k, v in row.items() if k != "image"}


def test_datasets_reads_the_tars_of_patches_without_features(first: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    _to(first, "webdataset", tmp_path / "to")
    data = load_dataset(
        "webdataset",
        data_files={s: str(tmp_path / "to" / s / "*.tar") for s in ("train", "validation")},
        streaming=True,
    )
    for split in ("train", "validation"):
        rows = _rows(first, split=split)
        for sample, row in zip(data[split], rows.values(), strict=True):
            np.testing.assert_array_equal(np.asarray(sample["webp"].convert("RGB")), _pixels(_encoded(row)))


def test_tars_have_about_equal_size(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = tmp_path / "set"
    (big / "patches").mkdir(parents=True)
    table = _table(first)
    pq.write_table(table, big / "patches" / "train-00000-of-00001.parquet", row_group_size=2, write_statistics=False)
    monkeypatch.setattr(tars, "TAR_BYTES", 20_000)
    _to(big, "webdataset", tmp_path / "to")
    files = sorted((tmp_path / "to" / "train").glob("*.tar"))
    whole = sum(len(_encoded(row)) for row in _rows(first).values())
    assert len(files) == round(whole / 20_000) > 2
    samples = [list(webdataset.WebDataset(str(file), shardshuffle=False)) for file in files]
    sizes = [sum(len(sample["webp"]) for sample in part) for part in samples]
    assert max(sizes) - min(sizes) < 12_000
    assert [sample["__key__"] for part in samples for sample in part] == list(_rows(first))


@FORM
def test_a_dataset_without_images_gives_an_export_without_images(tmp_path: Path, first: Path, form: str) -> None:
    (tmp_path / "set" / "patches").mkdir(parents=True)
    pq.write_table(_table(first).slice(0, 0), tmp_path / "set" / "patches" / "train-00000-of-00001.parquet")
    assert _to(tmp_path / "set", form, tmp_path / "to").splits == {"train": 0}
    assert (tmp_path / "to" / "train").is_dir()


# What may be written where


def test_the_default_destination_is_in_the_dataset(first: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    before = _files(out)
    done = export(str(out), "folder")
    assert done.folder == str(out / "export" / "folder" / "patches")
    after = _files(out)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"export"}
    moved = out.rename(tmp_path / "elsewhere")
    assert export(str(moved), "folder").written == 0


@FORM
def test_a_second_export_writes_nothing(first: Path, tmp_path: Path, form: str) -> None:
    _to(first, form, tmp_path / "to")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").rglob("*") if path.is_file()}
    again = _to(first, form, tmp_path / "to")
    assert again.written == 0
    assert again.images == _table(first).num_rows
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"lock", "export.json", "lock.mdb"}
    assert after.keys() == before.keys()


def _refused(first: Path, tmp_path: Path, **changes: object) -> str:
    chosen = {"out": str(first), "format": "folder", "to": str(tmp_path / "to"), **changes}
    with pytest.raises(UsageError) as refused:
        export(**chosen)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_unusable_arguments_are_refused_in_one_line(first: Path, tmp_path: Path) -> None:
    assert (
        _refused(first, tmp_path, format="zip") == "zip: unknown export format; choose one of folder, webdataset, lmdb"
    )
    assert _refused(first, tmp_path, config="ledger") == "ledger: unknown config; choose one of patches, images"
    assert "there are no patches" in _refused(first, tmp_path, out=str(tmp_path))
    assert "LMDB needs a local disk" in _refused(first, tmp_path, format="lmdb", to="memory://to")
    assert not (tmp_path / "to").exists()


def test_a_folder_with_other_files_is_refused_and_unchanged(first: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "thesis.tex").write_text("mine")
    assert "contains other files (thesis.tex, …)" in _refused(first, tmp_path)
    assert "is a file" in _refused(first, tmp_path, to=str(tmp_path / "to" / "thesis.tex"))
    assert [path.name for path in (tmp_path / "to").rglob("*")] == ["thesis.tex"]


@pytest.mark.parametrize("inside", ["", "patches", "patches/new", "new"])
def test_a_destination_among_the_files_of_the_dataset_is_refused(first: Path, tmp_path: Path, inside: str) -> None:
    assert "is inside the dataset" in _refused(first, tmp_path, to=str(first / inside))
    assert not (first / "new").exists()


def test_another_export_is_refused_and_unchanged(first: Path, second: Path, tmp_path: Path) -> None:
    _to(first, "folder", tmp_path / "to")
    before = _files(tmp_path / "to")
    for changes in ({"format": "webdataset"}, {"config": "images"}, {"out": str(second)}):
        assert "contains another export (patches folder" in _refused(first, tmp_path, **changes)
    assert _files(tmp_path / "to") == before


def test_two_at_a_time_are_refused(first: Path, tmp_path: Path) -> None:
    with locked(Folder(str(tmp_path / "to")), ".export/lock"), pytest.raises(OutputError, match="held by pid"):
        _to(first, "folder", tmp_path / "to")
    out = Path(shutil.copytree(first, tmp_path / "set"))
    with locked(Folder(str(out)), ".work/lock"), pytest.raises(OutputError, match="is being built"):
        _to(out, "folder", tmp_path / "to")


def test_without_lmdb_the_extra_is_named(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert "pip install 'million-ird[lmdb]'" in _refused(first, tmp_path, format="lmdb")
    assert _to(first, "folder", tmp_path / "to").images > 0


def test_lmdb_is_imported_only_where_it_is_used() -> None:
    code = "import sys, million_ird.export.export; sys.exit('lmdb' in sys.modules or 'webdataset' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_shard_is_named(first: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    shard = sorted((out / "patches").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DamagedFile, match=shard.name):
        _to(out, "folder", tmp_path / "to")


@pytest.mark.parametrize("bad", ["../../escape", "a b", "", ".hidden"])
def test_an_invalid_id_is_never_used_as_a_path(first: Path, tmp_path: Path, bad: str) -> None:
    table = _table(first)
    (tmp_path / "set" / "patches").mkdir(parents=True)
    named = table.set_column(table.column_names.index("id"), "id", pa.array([bad] * table.num_rows))
    pq.write_table(named, tmp_path / "set" / "patches" / "train-00000-of-00001.parquet")
    with pytest.raises(DamagedFile, match="is not a valid image"):
        _to(tmp_path / "set", "folder", tmp_path / "to")
    assert not (tmp_path / "escape.webp").exists()


# Changed sets


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, second: Path) -> Callable[[str], dict[str, bytes]]:
    """Return the content of an export of the second dataset into a new folder."""
    made: dict[str, dict[str, bytes]] = {}

    def of(form: str) -> dict[str, bytes]:
        if form not in made:
            where = tmp_path_factory.mktemp(f"fresh-{form}") / "to"
            _to(second, form, where)
            made[form] = _visible(where)
        return made[form]

    return of


def _visible(where: Path) -> dict[str, bytes]:
    """Return all files except the one that names the dataset."""
    return {name: content for name, content in _files(where).items() if name != ".export/export.json"}


def _replace(out: Path, by: Path) -> None:
    shutil.rmtree(out)
    shutil.copytree(by, out)


def _bytes_on_disk(where: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(where.rglob("*")) if path.is_file())


@FORM
def test_a_removed_image_is_gone_from_the_export(
    first: Path, second: Path, tmp_path: Path, form: str, fresh: Callable[[str], dict[str, bytes]]
) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    _to(out, form, tmp_path / "to")
    gone = [row for name, row in _rows(first).items() if name not in _rows(second)]
    assert len(gone) >= 8
    before = _bytes_on_disk(tmp_path / "to")
    assert all(_encoded(row)[100:400] in before for row in gone)
    _replace(out, second)
    _to(out, form, tmp_path / "to")
    after = _bytes_on_disk(tmp_path / "to")
    for row in gone:
        assert _encoded(row)[100:400] not in after
        assert str(row["id"]).encode() not in after
    assert _visible(tmp_path / "to") == fresh(form)


@FORM
def test_only_what_changed_is_written_again(first: Path, tmp_path: Path, form: str) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    _to(out, form, tmp_path / "to")
    shards = sorted((out / "patches").glob("train-*"))
    table = pq.read_table(shards[-1])
    pq.write_table(table.slice(0, table.num_rows - 1), shards[-1])
    inodes = {path: path.stat().st_ino for path in (tmp_path / "to" / "train").rglob("*.[wt][ea][br]*")}
    assert _to(out, form, tmp_path / "to").written == table.num_rows - 1
    same = [path for path, inode in inodes.items() if path.exists() and path.stat().st_ino == inode]
    assert len(same) >= len(shards) - 1 or form == "lmdb"
    (gone,) = table.slice(table.num_rows - 1).to_pylist()
    assert _encoded(gone)[100:400] not in _bytes_on_disk(tmp_path / "to")


@FORM
def test_a_split_that_the_dataset_lost_is_removed(first: Path, tmp_path: Path, form: str) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    _to(out, form, tmp_path / "to")
    (out / "patches" / "validation-00000-of-00001.parquet").unlink()
    assert set(_to(out, form, tmp_path / "to").splits) == {"train"}
    assert {path.name for path in (tmp_path / "to").iterdir()} == {".export", "train"}
    assert not (tmp_path / "to" / ".export" / "validation").exists()


def test_other_files_in_the_destination_stay(first: Path, second: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))
    _to(out, "folder", tmp_path / "to")
    (tmp_path / "to" / "train" / "my list.txt").write_text("mine")
    _replace(out, second)
    _to(out, "folder", tmp_path / "to")
    assert (tmp_path / "to" / "train" / "my list.txt").read_text() == "mine"


@FORM
def test_removed_files_are_written_again(first: Path, tmp_path: Path, form: str) -> None:
    _to(first, form, tmp_path / "to")
    before = _files(tmp_path / "to")
    train = tmp_path / "to" / "train"
    victim = sorted(train.glob({"folder": "*.webp", "webdataset": "*.tar", "lmdb": "*.lmdb"}[form]))[0]
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    for index in (*train.glob("meta*"), *train.glob("features.json")):
        index.unlink()
    assert _to(first, form, tmp_path / "to").written > 0
    assert _files(tmp_path / "to") == before


def test_a_dataset_that_changes_meanwhile_is_an_error_and_leaves_no_old_files(
    first: Path, second: Path, tmp_path: Path, fresh: Callable[[str], dict[str, bytes]]
) -> None:
    out = Path(shutil.copytree(first, tmp_path / "set"))

    class Rebuilding:
        done = False

        def stage(self, name: str, total: int, unit: str) -> None: ...

        def more(self, things: int) -> None: ...

        def advance(self, done: int) -> None:
            if not self.done:
                self.done = True
                _replace(out, second)

    with pytest.raises(BuildError, match=r"changed while it was exported|cannot be read"):
        export(str(out), "folder", to=str(tmp_path / "to"), listener=Rebuilding())
    _to(out, "folder", tmp_path / "to")
    assert _visible(tmp_path / "to") == fresh("folder")


def test_a_folder_on_an_object_store(first: Path) -> None:
    for form in ("folder", "webdataset"):
        done = export(str(first), form, to=f"memory://{form}")
        assert done.written == done.images
        assert export(str(first), form, to=f"memory://{form}").written == 0
    store = Folder("memory://folder")
    row = next(iter(_rows(first, split="train").items()))
    assert store.read(f"train/{row[0]}.webp") == _encoded(row[1])
    store.remove("")


def test_the_command_reports_the_result(first: Path, tmp_path: Path) -> None:
    arguments = ["export", str(first), "--format", "lmdb", "--to", str(tmp_path / "to")]
    ran = CliRunner().invoke(releasing.app, [*arguments, "--json"])
    assert ran.exit_code == 0
    told = json.loads(ran.stdout.splitlines()[-1])
    count = _table(first).num_rows
    assert told | {"bytes": 0, "splits": 0} == {
        "folder": str(tmp_path / "to"),
        "format": "lmdb",
        "config": "patches",
        "splits": 0,
        "pictures": count,
        "written": count,
        "bytes": 0,
        "reencoded": 0,
    }
    assert sum(told["splits"].values()) == count
    again = CliRunner().invoke(releasing.app, arguments)
    assert "0 written now" in again.stdout


def test_a_shard_is_read_by_row_groups(first: Path, tmp_path: Path) -> None:
    where = tmp_path / "set" / "patches"
    where.mkdir(parents=True)
    large = _table(first).slice(0, 1).to_pylist()[0]
    large["image"]["bytes"] = os.urandom(1_000_000)
    schema = _table(first).schema
    with pq.ParquetWriter(where / "train-00000-of-00001.parquet", schema, use_dictionary=False) as writer:
        for _ in range(60):
            writer.write_table(pa.Table.from_pylist([large] * 2, schema))
    code = (
        "import sys, pyarrow as pa\nfrom million_ird.runtime.storage import Folder\n"
        "from million_ird.export.shard_reader import find_shards, read_images\n"
        "folder = Folder(sys.argv[1])\n(shard,) = find_shards(folder, 'patches')\n"
        "count = sum(1 for _ in read_images(folder, shard))\n"
        "print(count, pa.default_memory_pool().max_memory())"
    )
    ran = subprocess.run([sys.executable, "-c", code, where.parent], capture_output=True, text=True, check=True)
    count, most = map(int, ran.stdout.split())
    assert count == 120
    assert most < 20_000_000


# Kills


class _Killer:
    """Counts changes of files and exported images, and dies by SIGKILL at a given count."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def note(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def stage(self, name: str, total: int, unit: str) -> None: ...

    def more(self, things: int) -> None: ...

    def advance(self, done: int) -> None:
        self.note()


def _export_and_die(out: str, form: str, to: str, at: int, counts: "multiprocessing.SimpleQueue[int]") -> None:
    killer = _Killer(at)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}:
            killer.note()

    sys.addaudithook(watch)
    export(out, form, to=to, listener=killer)
    counts.put(killer.count)


@pytest.fixture(scope="module")
def processes() -> Callable[[Path, str, Path, int], int | None]:
    """Run an export in a process that dies at a count; return None if it died, else the final count."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def run(out: Path, form: str, to: Path, at: int) -> int | None:
        counts = context.SimpleQueue()
        child = context.Process(target=_export_and_die, args=(str(out), form, str(to), at, counts))
        child.start()
        child.join(60)
        if child.exitcode == -signal.SIGKILL:
            return None
        assert child.exitcode == 0
        return int(counts.get())

    return run


@FORM
@pytest.mark.parametrize("moments", [5, pytest.param(60, marks=pytest.mark.full)])
@pytest.mark.full
def test_killed_at_any_moment_it_ends_in_the_same_files(
    first: Path,
    second: Path,
    tmp_path: Path,
    form: str,
    moments: int,
    fresh: Callable[[str], dict[str, bytes]],
    processes: Callable[[Path, str, Path, int], int | None],
) -> None:
    """Kill an export over an earlier one, so that the removal of old files is killed too."""
    out = tmp_path / "set"
    shutil.copytree(first, out)
    _to(out, form, tmp_path / "earlier")
    _replace(out, second)
    shutil.copytree(tmp_path / "earlier", tmp_path / "whole")
    steps = processes(out, form, tmp_path / "whole", 0)
    assert steps is not None
    assert steps > 60
    assert _visible(tmp_path / "whole") == fresh(form)
    for number, at in enumerate(np.linspace(1, steps, moments).astype(int).tolist()):
        where = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "earlier", where)
        assert processes(out, form, where, at) is None
        finished = {path: path.stat().st_ino for path in where.rglob("*.done.parquet")}
        pictures = {path: path.stat().st_ino for path in where.rglob("*") if path.suffix in {".webp", ".tar"}}
        processes(out, form, where, steps // 5)  # and once more, unless it ends before
        done = _to(out, form, where)
        assert _visible(where) == fresh(form)
        kept = [path for path, inode in finished.items() if path.exists() and path.stat().st_ino == inode]
        assert done.written <= done.images - sum(pq.read_metadata(path).num_rows for path in kept)
        if at > steps // 2:
            assert len(kept) > 0
            again = [path for path, inode in pictures.items() if path.exists() and path.stat().st_ino != inode]
            assert again == []


# Full disks


@FORM
def test_after_a_full_disk_the_export_continues(
    first: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "MARGIN", 1 << 15)
    where = tmp_path / "tiny"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", where], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        with pytest.raises(BuildError, match="no space left; free some and run the same command again") as told:
            _to(first, form, where / "to")
        assert "\n" not in str(told.value)
        assert scenes.temporary(where) == []
        subprocess.run(["mount", "-o", "remount,size=20m", where], check=True)
        _to(first, form, where / "to")
        _to(first, form, tmp_path / "to")
        assert _files(where / "to") == _files(tmp_path / "to")
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def test_the_memory_map_grows(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "GROWTH", 1 << 15)
    _to(first, "lmdb", tmp_path / "to")
    data = tmp_path / "to" / "train" / "train.lmdb" / "data.mdb"
    whole = sum(len(_encoded(row)) for row in _rows(first, split="train").values())
    assert whole > 1 << 15
    assert data.stat().st_size < 3 * whole
    assert len(_database(data.parent)) == len(_rows(first, split="train"))
