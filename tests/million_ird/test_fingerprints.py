"""Fingerprints of evaluation sets: made, found in candidates, and excluded from builds."""

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
from million_ird.config.recipe import Recipe
from million_ird.decide.leaks import find_leaks
from million_ird.errors import SourceError, UsageError
from million_ird.fingerprints import (
    get_fingerprints,
    load_fingerprints,
    named_benchmarks,
    save_fingerprints,
)
from million_ird.images.encoded_image import EncodedImage
from million_ird.ledger import load as load_ledger
from million_ird.measures.signature import KEYPOINT, compute_signature
from million_ird.reference_sets import ReferenceSet, parse_references
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from tests.million_ird import scenes

COLUMNS = ("id", "pixels_id", "phash", "frame", "points", "width", "height")


def row(encoded: bytes) -> dict[str, object]:
    image = EncodedImage(encoded)
    with single_threaded():
        columns = compute_signature(image)
    size = {"width": image.header.width, "height": image.header.height}
    return {"id": image.sha256, **columns, **size}


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def leaks_of(rows: list[dict[str, object]], benchmark: pa.Table) -> dict[int, str]:
    table = pa.Table.from_pylist(rows)
    leaks = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(rows), bool), {"B": benchmark})
    return {leak.row: leak.name for leak in leaks}


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder of three images and a list of them."""
    folder = tmp_path_factory.mktemp("test sets") / "bench märk"
    (folder / "sub").mkdir(parents=True)
    for name in ("coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")
    Image.fromarray(skimage.data.astronaut()).save(folder / "sub" / "astronaut.png")
    (folder / "list.txt").write_text("coffee.png\n")
    return folder


@pytest.fixture(scope="module")
def benchmark(evaluation_set: Path) -> pa.Table:
    with Executor(0) as executor:
        return get_fingerprints(ReferenceSet("B", str(evaluation_set)), executor)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_a_crop_of_a_benchmark_image_is_a_leak(benchmark: pa.Table, share: float) -> None:
    random = np.random.default_rng(int(share * 10))
    images = {name: Image.fromarray(getattr(skimage.data, name)()) for name in ("coffee", "chelsea", "astronaut")}
    rows = [row(jpeg(cropped(share)(image, random))) for image in images.values()]
    assert leaks_of(rows, benchmark) == {0: "B/coffee.png", 1: "B/chelsea.png", 2: "B/sub/astronaut.png"}


def test_an_image_that_contains_a_benchmark_image_is_a_leak(tmp_path: Path) -> None:
    whole = Image.fromarray(skimage.data.coffee())
    cropped(0.5)(whole, np.random.default_rng(0)).save(tmp_path / "crop.png")
    with Executor(0) as executor:
        table = get_fingerprints(ReferenceSet("B", str(tmp_path)), executor)
    assert leaks_of([row(jpeg(whole)), row(jpeg(Image.fromarray(skimage.data.chelsea())))], table) == {0: "B/crop.png"}


def test_mirrored_turned_grey_and_small_copies_are_leaks(benchmark: pa.Table) -> None:
    coffee = Image.fromarray(skimage.data.coffee())
    altered = [
        coffee.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        coffee.transpose(Image.Transpose.ROTATE_90),
        coffee.convert("L").convert("RGB").resize((150, 100)),
    ]
    assert set(leaks_of([row(jpeg(image, 40)) for image in altered], benchmark).values()) == {"B/coffee.png"}
    assert len(leaks_of([row(jpeg(image, 40)) for image in altered], benchmark)) == 3


def test_the_same_bytes_or_pixels_are_a_leak_even_of_a_plain_image(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), (9, 9, 9)).save(tmp_path / "plain.png")
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (9, 9, 9)).save(buffer, "BMP")
    with Executor(0) as executor:
        table = get_fingerprints(ReferenceSet("B", str(tmp_path)), executor)
    rows = [row((tmp_path / "plain.png").read_bytes()), row(buffer.getvalue())]
    assert leaks_of(rows, table) == {0: "B/plain.png", 1: "B/plain.png"}


def test_other_images_are_not_leaks(benchmark: pa.Table) -> None:
    others = [Image.fromarray(skimage.data.rocket()), Image.fromarray(skimage.data.retina()).resize((400, 400))]
    others += [scenes.photograph(seed, 300, 200) for seed in range(4)]
    assert leaks_of([row(jpeg(image)) for image in others], benchmark) == {}


def test_a_fingerprint_file_replaces_the_images_and_contains_no_pixels(
    benchmark: pa.Table, evaluation_set: Path, tmp_path: Path
) -> None:
    assert benchmark["file"].to_pylist() == ["chelsea.png", "coffee.png", "sub/astronaut.png"]
    path = tmp_path / "prints.parquet"
    save_fingerprints(str(path), benchmark)
    with Executor(0) as executor:
        again = get_fingerprints(ReferenceSet("B", str(path)), executor)
    assert again.equals(benchmark)
    size = KEYPOINT.itemsize * 1000
    assert max(len(points) for points in again["points"].to_pylist()) <= size
    assert path.stat().st_size < 3 * (size + 2000)


@pytest.mark.full
def test_a_build_can_exclude_another_build(
    finished: Path, pictures: Path, tmp_path: Path, program: Callable[..., object]
) -> None:
    source = tmp_path / "batch"
    source.mkdir()
    scenes.photograph(3).save(source / "again.jpg", quality=90)
    scenes.photograph(77).save(source / "new.png")
    result = scenes.make(source, tmp_path / "out", benchmarks=(ReferenceSet("before", str(finished)),))
    assert (result.funnel.kept, result.funnel.dropped) == (1, {"benchmark_leak": 1})
    (leak,) = [name for name in load_ledger(Folder(str(tmp_path / "out")))["leak_of"].to_pylist() if name]
    assert leak.startswith("before/")
    assert leak.endswith("/p003.png")


@pytest.mark.full
def test_excluded_benchmarks_are_reported_and_apply_to_later_decisions(
    evaluation_set: Path, tmp_path: Path, program: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    Image.fromarray(skimage.data.coffee()).resize((300, 200)).save(source / "cup.jpg")
    scenes.photograph(5, 200, 150).save(source / "other.png")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"name": "r", "patches": {"size": 64}}))
    exclude = ("--exclude-benchmark", f"B={evaluation_set}")
    done = program("build", "--sources", source, "--out", out, "--recipe", recipe, "--workers", 0, "--json", *exclude)
    counts = json.loads(done.out.splitlines()[-1])
    assert (counts["kept"], counts["dropped"]) == (1, {"benchmark_leak": 1})
    assert "B/coffee.png" in (out / "report" / "index.html").read_text()
    assert "shows B/coffee.png" in program("explain", out, "cup.jpg").out
    assert program("verify", out).code == 0
    assert json.loads(program("decide", out, "--json").out)["dropped"] == {"benchmark_leak": 1}
    again = program("build", "--sources", source, "--out", out, "--recipe", recipe, "--workers", 0, "--json")
    assert json.loads(again.out.splitlines()[-1])["kept"] == 2
    assert "B was excluded by an earlier run but is not named any more" in caplog.text
    later = program("decide", out, "--json", *exclude)
    assert json.loads(later.out)["dropped"] == {"benchmark_leak": 1}
    assert str(evaluation_set.parent) not in (out / "recipe.yaml").read_text()


@pytest.mark.parametrize("text", ["CBSD69", "=x", "a=", "a/b=x", ".hidden=x", " .hidden=x"])
def test_a_benchmark_without_a_valid_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--exclude-benchmark"):
        ReferenceSet.parse(text)
    with pytest.raises(UsageError, match="recipe: benchmarks:"):
        named_benchmarks(Recipe(benchmarks=(text,)))


@pytest.mark.parametrize(
    ("recipe", "option"),
    [((), ("a=x", "a=y")), (("a=x",), ("a=y",)), (("a=x", "a=y"), ()), ((), ("CBSD68", "CBSD68=x"))],
)
def test_two_benchmarks_of_one_name_are_refused(recipe: tuple[str, ...], option: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"two sets have the name (a|CBSD68)"):
        named_benchmarks(Recipe(benchmarks=recipe), parse_references(option))


def test_a_benchmark_that_is_named_twice_alike_is_one() -> None:
    assert len(named_benchmarks(Recipe(benchmarks=("a=x", "a=x")), parse_references(["a=x"]))) == 1


def test_an_unusable_benchmark_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cut.png").write_bytes(jpeg(scenes.photograph(0))[:500])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with Executor(0) as executor:
        for name, message in (
            ("empty", "contains no images"),
            ("missing", "no such file"),
            ("broken", "cut.png"),
            ("other.parquet", "revision none"),
            ("missing.parquet", "no such file"),
        ):
            with pytest.raises(SourceError, match=message):
                get_fingerprints(ReferenceSet("B", str(tmp_path / name)), executor)
    with pytest.raises(UsageError, match="parquet"):
        save_fingerprints(str(tmp_path / "x.txt"), pa.table({}))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(SourceError, match="damaged"):
        load_fingerprints(Folder(str(tmp_path)), "text.parquet")


@pytest.mark.full
def test_bsds500_val_leaks_its_68_images_of_cbsd68_and_no_other(shared_data: Path) -> None:
    """CBSD68 is 68 of the 100 images; none of the other 32 shows the same scene."""
    with Executor() as executor:
        table = get_fingerprints(ReferenceSet("CBSD68", str(shared_data / "benchmarks" / "CBSD68")), executor)
    files = sorted((shared_data / "train" / "BSDS500" / "val").glob("*.jpg"))
    named = {i: path.name for i, path in enumerate(files)}
    found = leaks_of([row(path.read_bytes()) for path in files], table)
    assert {named[i] for i in found} == set(table["file"].to_pylist())
    assert all(name == f"B/{named[i]}" for i, name in found.items())
