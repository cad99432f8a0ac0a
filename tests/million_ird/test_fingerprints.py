"""Evaluation sets: fingerprinted, found in candidates, and kept out of builds."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image

from benchmarks.alterations import cropped
from million_ird.candidate import Sample
from million_ird.config.recipe import Recipe
from million_ird.decide.leaks import find_leaks
from million_ird.errors import SourceError, UsageError
from million_ird.fingerprints import Benchmark, benchmarks_of, fingerprints, load, save_file
from million_ird.ledger import load as load_ledger
from million_ird.measures.signature import POINT, signature
from million_ird.runtime.executor import Engine
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from tests.million_ird import scenes

COLUMNS = ("id", "pixels_id", "phash", "frame", "points", "width", "height")


def row(encoded: bytes) -> dict[str, object]:
    sample = Sample(encoded)
    with single_threaded():
        marks = signature(sample)
    size = {"width": sample.header.width, "height": sample.header.height}
    return {"id": sample.sha256, **marks, **size}


def jpeg(picture: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def leaks_of(rows: list[dict[str, object]], benchmark: pa.Table) -> dict[int, str]:
    table = pa.Table.from_pylist(rows)
    found = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(rows), bool), {"B": benchmark})
    return {leak.row: leak.name for leak in found}


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures and a list of them."""
    folder = tmp_path_factory.mktemp("test sets") / "bench märk"
    (folder / "sub").mkdir(parents=True)
    for name in ("coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")
    Image.fromarray(skimage.data.astronaut()).save(folder / "sub" / "astronaut.png")
    (folder / "list.txt").write_text("coffee.png\n")
    return folder


@pytest.fixture(scope="module")
def benchmark(test_set: Path) -> pa.Table:
    with Engine(0) as engine:
        return fingerprints(Benchmark("B", str(test_set)), engine)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_a_crop_of_a_benchmark_picture_is_a_leak(benchmark: pa.Table, share: float) -> None:
    random = np.random.default_rng(int(share * 10))
    pictures = {name: Image.fromarray(getattr(skimage.data, name)()) for name in ("coffee", "chelsea", "astronaut")}
    rows = [row(jpeg(cropped(share)(picture, random))) for picture in pictures.values()]
    assert leaks_of(rows, benchmark) == {0: "B/coffee.png", 1: "B/chelsea.png", 2: "B/sub/astronaut.png"}


def test_a_picture_that_holds_a_benchmark_picture_as_a_crop_is_a_leak(tmp_path: Path) -> None:
    whole = Image.fromarray(skimage.data.coffee())
    cropped(0.5)(whole, np.random.default_rng(0)).save(tmp_path / "crop.png")
    with Engine(0) as engine:
        table = fingerprints(Benchmark("B", str(tmp_path)), engine)
    assert leaks_of([row(jpeg(whole)), row(jpeg(Image.fromarray(skimage.data.chelsea())))], table) == {0: "B/crop.png"}


def test_mirrored_turned_grey_and_small_copies_are_leaks(benchmark: pa.Table) -> None:
    coffee = Image.fromarray(skimage.data.coffee())
    altered = [
        coffee.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        coffee.transpose(Image.Transpose.ROTATE_90),
        coffee.convert("L").convert("RGB").resize((150, 100)),
    ]
    assert set(leaks_of([row(jpeg(picture, 40)) for picture in altered], benchmark).values()) == {"B/coffee.png"}
    assert len(leaks_of([row(jpeg(picture, 40)) for picture in altered], benchmark)) == 3


def test_the_same_bytes_or_pixels_are_a_leak_though_nothing_is_to_be_seen(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), (9, 9, 9)).save(tmp_path / "plain.png")
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (9, 9, 9)).save(buffer, "BMP")
    with Engine(0) as engine:
        table = fingerprints(Benchmark("B", str(tmp_path)), engine)
    rows = [row((tmp_path / "plain.png").read_bytes()), row(buffer.getvalue())]
    assert leaks_of(rows, table) == {0: "B/plain.png", 1: "B/plain.png"}


def test_other_pictures_are_no_leaks(benchmark: pa.Table) -> None:
    others = [Image.fromarray(skimage.data.rocket()), Image.fromarray(skimage.data.retina()).resize((400, 400))]
    others += [scenes.photograph(seed, 300, 200) for seed in range(4)]
    assert leaks_of([row(jpeg(picture)) for picture in others], benchmark) == {}


def test_a_fingerprint_file_holds_no_pixels_and_does_what_the_pictures_do(
    benchmark: pa.Table, test_set: Path, tmp_path: Path
) -> None:
    assert benchmark["file"].to_pylist() == ["chelsea.png", "coffee.png", "sub/astronaut.png"]
    path = tmp_path / "prints.parquet"
    save_file(str(path), benchmark)
    with Engine(0) as engine:
        again = fingerprints(Benchmark("B", str(path)), engine)
    assert again.equals(benchmark)
    size = POINT.itemsize * 1000
    assert max(len(points) for points in again["points"].to_pylist()) <= size
    assert path.stat().st_size < 3 * (size + 2000)


def test_a_build_can_be_held_against_a_build(
    finished: Path, pictures: Path, tmp_path: Path, program: Callable[..., object]
) -> None:
    source = tmp_path / "batch"
    source.mkdir()
    scenes.photograph(3).save(source / "again.jpg", quality=90)
    scenes.photograph(77).save(source / "new.png")
    result = scenes.make(source, tmp_path / "out", benchmarks=(Benchmark("before", str(finished)),))
    assert (result.funnel.kept, result.funnel.dropped) == (1, {"benchmark_leak": 1})
    (leak,) = [name for name in load_ledger(Folder(str(tmp_path / "out")))["leak_of"].to_pylist() if name]
    assert leak.startswith("before/")
    assert leak.endswith("/p003.png")


def test_excluded_benchmarks_are_told_everywhere_and_hold_for_later_decisions(
    test_set: Path, tmp_path: Path, program: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    Image.fromarray(skimage.data.coffee()).resize((300, 200)).save(source / "cup.jpg")
    scenes.photograph(5, 200, 150).save(source / "other.png")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"name": "r", "patches": {"size": 64}}))
    named = ("--exclude-benchmark", f"B={test_set}")
    done = program("build", "--sources", source, "--out", out, "--recipe", recipe, "--workers", 0, "--json", *named)
    counted = json.loads(done.out.splitlines()[-1])
    assert (counted["kept"], counted["dropped"]) == (1, {"benchmark_leak": 1})
    assert "B/coffee.png" in (out / "report" / "index.html").read_text()
    assert "shows B/coffee.png" in program("explain", out, "cup.jpg").out
    assert program("verify", out).code == 0
    assert json.loads(program("decide", out, "--json").out)["dropped"] == {"benchmark_leak": 1}
    again = program("build", "--sources", source, "--out", out, "--recipe", recipe, "--workers", 0, "--json")
    assert json.loads(again.out.splitlines()[-1])["kept"] == 2
    assert "B, excluded by an earlier run, is not named any more" in caplog.text
    later = program("decide", out, "--json", *named)
    assert json.loads(later.out)["dropped"] == {"benchmark_leak": 1}
    assert str(test_set.parent) not in (out / "recipe.yaml").read_text()


@pytest.mark.parametrize("text", ["CBSD68", "=x", "a=", "a/b=x", ".hidden=x"])
def test_a_benchmark_that_is_not_named_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--exclude-benchmark"):
        Benchmark.parse(text)
    with pytest.raises(UsageError, match="recipe: benchmarks:"):
        benchmarks_of(Recipe(benchmarks=(text,)))


def test_what_is_no_benchmark_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cut.png").write_bytes(jpeg(scenes.photograph(0))[:500])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with Engine(0) as engine:
        for name, said in (
            ("empty", "holds no pictures"),
            ("missing", "no such file"),
            ("broken", "cut.png"),
            ("other.parquet", "revision none"),
            ("missing.parquet", "no such file"),
        ):
            with pytest.raises(SourceError, match=said):
                fingerprints(Benchmark("B", str(tmp_path / name)), engine)
    with pytest.raises(UsageError, match="parquet"):
        save_file(str(tmp_path / "x.txt"), pa.table({}))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(SourceError, match="damaged"):
        load(Folder(str(tmp_path)), "text.parquet")


def test_bsds500_val_loses_its_68_pictures_of_cbsd68_and_no_other(shared_data: Path) -> None:
    """The 68 are 68 of its 100; none of the other 32 shows the same scene."""
    with Engine() as engine:
        table = fingerprints(Benchmark("CBSD68", str(shared_data / "benchmarks" / "CBSD68")), engine)
    files = sorted((shared_data / "train" / "BSDS500" / "val").glob("*.jpg"))
    named = {i: path.name for i, path in enumerate(files)}
    found = leaks_of([row(path.read_bytes()) for path in files], table)
    assert {named[i] for i in found} == set(table["file"].to_pylist())
    assert all(name == f"B/{named[i]}" for i, name in found.items())
