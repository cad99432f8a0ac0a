"""A build from the outside: the command line, real files, real processes, killed and started again."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Image as ImageFeature
from datasets import load_dataset
from PIL import Image

from million_ird.ledger import load
from million_ird.runtime.storage import Folder

PROGRAM = str(Path(sys.executable).parent / "million-ird")
RECIPE = {
    "name": "test",
    "gates": [
        {"field": "short_side", "min": 100, "reason": "small"},
        {"field": "laplacian_variance", "min": 20, "reason": "blurred"},
    ],
    "patches": {"size": 64},
    "limits": {"failed_share": 1.0},
}


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def build(*arguments: object, code: int = 0) -> dict[str, object]:
    result: dict[str, object] = json.loads(run("build", *arguments, "--json", code=code).stdout.splitlines()[-1])
    return result


def photograph(generator: np.random.Generator) -> Image.Image:
    """Smooth colours under noise."""
    coarse = generator.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((224, 192), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(np.clip(smooth + generator.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen photograph-like pictures, two copies, small ones, a blurred one, and three that are no pictures."""
    folder = tmp_path_factory.mktemp("sources") / "my pictures ünï"
    (folder / "deep").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(14):
        where = folder / ("deep" if number % 3 == 0 else "") / f"picture [{number}] #1%.jpg"
        photograph(generator).save(where, quality=95)
    original = Image.open(folder / "picture [1] #1%.jpg")
    shutil.copyfile(folder / "picture [1] #1%.jpg", folder / "zz copy.jpg")
    original.save(folder / "zz saved again.jpg", quality=60)
    original.resize((40, 40)).save(folder / "zz small.png")
    original.resize((8, 8)).resize((224, 192), Image.Resampling.BICUBIC).save(folder / "zz blurred.png")
    turned = Image.open(folder / "picture [2] #1%.jpg").copy()
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.rotate(90, expand=True).save(folder / "zz turned.jpg", exif=exif, quality=97)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("<svg></svg>")
    encoded = (folder / "picture [4] #1%.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(encoded[: len(encoded) // 2])
    (folder / "notes.txt").write_text("a side-car is no candidate")
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, pictures: Path, recipe: Path) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    build("--sources", pictures, "--out", out, "--recipe", recipe, "--workers", 0)
    return out


def digest(out: Path) -> dict[str, str]:
    """Everything of a build that is promised to be the same, by name."""
    names = ("README.md", "LICENSE.md", "recipe.yaml", "card/", "data/", "patches/", "ledger/")
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and str(path.relative_to(out)).startswith(names)
    }


def copied(built: Path, folder: Path) -> Path:
    return Path(shutil.copytree(built, folder / "copy"))


def test_every_candidate_has_one_row_with_the_right_reason(built: Path) -> None:
    rows = {row["uri"]: row for row in load(Folder(str(built))).to_pylist()}
    assert len(rows) == 14 + 5 + 3
    assert rows["zz copy.jpg"]["reason"] == "duplicate_exact"
    assert rows["zz copy.jpg"]["duplicate_of"] == rows["picture [1] #1%.jpg"]["key"]
    assert rows["zz saved again.jpg"]["reason"] == "duplicate_near"
    assert (rows["zz small.png"]["reason"], rows["zz small.png"]["measured"], rows["zz small.png"]["limit"]) == (
        "small", 40, 100,
    )  # fmt: skip
    assert rows["zz blurred.png"]["reason"] == "blurred"
    failures = {uri: row["failure_class"] for uri, row in rows.items() if row["verdict"] == "failed"}
    assert failures == {"cut.jpg": "truncated", "empty.jpg": "empty", "text.jpg": "not_an_image"}


def test_the_three_configurations_load_with_the_right_types(built: Path) -> None:
    images = load_dataset(str(built), split="train")
    assert isinstance(images.features["image"], ImageFeature)
    kept = {row["id"]: row for row in load(Folder(str(built))).to_pylist() if row["verdict"] == "kept"}
    assert set(images["id"]) == set(kept)
    for row in images:
        assert row["image"].size == (row["width"], row["height"])
    patches = load_dataset(str(built), "patches", split="train", streaming=True)
    sizes = {patch["image"].size for patch in patches}
    assert sizes == {(64, 64)}
    ledger = load_dataset(str(built), "ledger", split="train")
    assert ledger.num_rows == 22
    assert ledger.features["short_side"].dtype == "float64"
    card = (built / "README.md").read_text()
    assert f"| `images` | {images.num_rows} |" in card


def test_stored_bytes_are_the_source_s_bytes(built: Path, pictures: Path) -> None:
    stored = pq.read_table(built / "data").to_pylist()
    for row in stored:
        assert row["image"]["bytes"] == (pictures / row["uri"]).read_bytes()


def test_a_second_run_does_no_work_and_says_so(built: Path, pictures: Path, recipe: Path, tmp_path: Path) -> None:
    out = copied(built, tmp_path)
    before = {path: path.stat().st_mtime_ns for part in ("data", "patches") for path in (out / part).iterdir()}
    done = run("build", "--sources", pictures, "--out", out, "--recipe", recipe, "--workers", 0)
    assert "Nothing to do" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for part in ("data", "patches") for path in (out / part).iterdir()}


def test_two_workers_write_the_bytes_that_none_writes(
    built: Path, pictures: Path, recipe: Path, tmp_path: Path
) -> None:
    build("--sources", pictures, "--out", tmp_path / "out", "--recipe", recipe, "--workers", 2)
    assert digest(tmp_path / "out") == digest(built)


def killed_and_resumed(pictures: Path, recipe: Path, out: Path, how: int, after: float) -> int:
    command = [PROGRAM, "build", "--sources", pictures, "--out", out, "--recipe", recipe, "--workers", "0"]
    # A test run in the background ignores SIGINT, and its children would inherit that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (out / ".work").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert b"Traceback" not in said, said.decode()
    build("--sources", pictures, "--out", out, "--recipe", recipe, "--workers", 0)
    return process.returncode


@pytest.mark.full
def test_a_build_that_is_killed_ends_in_the_bytes_of_one_that_was_not(
    built: Path, pictures: Path, recipe: Path, tmp_path: Path
) -> None:
    moments = random.Random(1)
    for attempt in range(3):
        out = tmp_path / str(attempt)
        killed_and_resumed(pictures, recipe, out, signal.SIGKILL, moments.uniform(0.0, 1.5))
        assert digest(out) == digest(built)
        assert not [path for path in out.rglob(".tmp-*") if ".work" not in path.parts]


@pytest.mark.full
def test_thirty_kills_change_nothing(built: Path, pictures: Path, recipe: Path, tmp_path: Path) -> None:
    moments = random.Random(2)
    for attempt in range(30):
        out = tmp_path / str(attempt)
        killed_and_resumed(pictures, recipe, out, signal.SIGKILL, moments.uniform(0.0, 2.5))
        assert digest(out) == digest(built)


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_an_interrupt_ends_with_130_and_is_resumable(
    built: Path, pictures: Path, recipe: Path, tmp_path: Path, how: int
) -> None:
    code = killed_and_resumed(pictures, recipe, tmp_path / "out", how, 0.2)
    assert code == 130
    assert digest(tmp_path / "out") == digest(built)


def test_a_tighter_gate_decides_again_without_reading_a_picture(built: Path, tmp_path: Path) -> None:
    out = copied(built, tmp_path)
    (out / ".work" / "sources.json").unlink()  # nobody can read the sources now
    values = sorted(row["entropy"] for row in load(Folder(str(out))).to_pylist() if row["verdict"] == "kept")
    tight = {**RECIPE, "gates": [*RECIPE["gates"], {"field": "entropy", "min": values[3], "reason": "dull"}]}
    (tmp_path / "tight.yaml").write_text(yaml.safe_dump(tight))
    counted = json.loads(run("decide", out, "--recipe", tmp_path / "tight.yaml", "--json").stdout)
    assert counted["kept"] == len(values) - 3


@pytest.mark.full
def test_deciding_works_from_the_ledger_alone(built: Path, tmp_path: Path) -> None:
    out = copied(built, tmp_path)
    before = digest(out)
    shutil.rmtree(out / ".work")
    run("decide", out)
    assert digest(out) == before
    run("verify", out)


@pytest.mark.full
def test_a_looser_gate_measures_just_what_was_never_measured(
    built: Path, pictures: Path, recipe: Path, tmp_path: Path
) -> None:
    out = copied(built, tmp_path)
    loose = {**RECIPE, "gates": [{**RECIPE["gates"][0], "min": 30}, RECIPE["gates"][1]]}
    (tmp_path / "loose.yaml").write_text(yaml.safe_dump(loose))
    counted = json.loads(run("decide", out, "--recipe", tmp_path / "loose.yaml", "--json").stdout)
    assert counted["dropped"]["not_measured"] == 1
    again = build("--sources", pictures, "--out", out, "--recipe", tmp_path / "loose.yaml", "--workers", 0)
    assert again["measured"] == 1
    assert "not_measured" not in again["dropped"]


@pytest.mark.full
def test_new_files_are_added_vanished_ones_are_told_and_leave_the_set(
    pictures: Path, recipe: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(pictures, tmp_path / "source"))
    arguments = ("--sources", source, "--out", tmp_path / "out", "--recipe", recipe, "--workers", 0)
    first = build(*arguments)
    gone, changed = source / "picture [5] #1%.jpg", source / "picture [7] #1%.jpg"
    gone.unlink()
    Image.open(changed).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(changed, quality=95)
    photograph(np.random.default_rng(99)).save(source / "a new one.jpg", quality=95)
    second = build(*arguments)
    assert (second["measured"], second["vanished"]) == (2, 1)
    assert second["candidates"] == int(str(first["candidates"])) + 1
    assert second["dropped"]["vanished"] == 1
    assert second["images"] == first["images"]
    run("verify", tmp_path / "out")


@pytest.mark.full
def test_limit_is_a_first_taste(built: Path, pictures: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--sources", pictures, "--out", out, "--recipe", recipe, "--workers", 0)
    assert build(*arguments, "--limit", 5)["candidates"] == 5
    build(*arguments)
    assert digest(out) == digest(built)


def tampered(out: Path, part: str, change: object) -> None:
    path = next((out / part).glob("*.parquet"))
    table = pq.read_table(path)
    assert callable(change)
    pq.write_table(change(table), path)


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("data", lambda t: t.slice(1), "but not in the data"),
        ("data", lambda t: t.take([0, *range(t.num_rows)]), "appears twice"),
        ("patches", lambda t: t.set_column(t.column_names.index("x"), "x", [[1] * t.num_rows]), "not the pixels"),
        ("ledger", lambda t: t.slice(1), "ledger"),
    ],
)
def test_verify_finds_what_was_tampered_with(built: Path, tmp_path: Path, part: str, change: object, told: str) -> None:
    out = copied(built, tmp_path)
    tampered(out, part, change)
    assert told in run("verify", out, code=1).stdout


def test_verify_finds_a_flipped_byte(built: Path, tmp_path: Path) -> None:
    out = copied(built, tmp_path)
    path = next((out / "data").glob("*.parquet"))
    content = bytearray(path.read_bytes())
    picture = pq.read_table(path)["image"][0].as_py()["bytes"]
    content[bytes(content).index(picture) + len(picture) // 2] ^= 1
    path.write_bytes(content)
    assert "another sha256" in run("verify", out, code=1).stdout


@pytest.mark.full
def test_a_build_that_keeps_nothing_is_a_data_set_all_the_same(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text(yaml.safe_dump({**RECIPE, "gates": [{"field": "short_side", "min": 9999}]}))
    result = build("--sources", pictures, "--out", tmp_path / "out", "--recipe", tmp_path / "none.yaml", "--workers", 0)
    assert (result["kept"], result["images"], result["patches"]) == (0, 0, 0)
    run("verify", tmp_path / "out")
    assert load_dataset(str(tmp_path / "out"), "ledger", split="train").num_rows == 22
    # `datasets` refuses to materialise a split without rows, and streams it.
    assert list(load_dataset(str(tmp_path / "out"), split="train", streaming=True)) == []
    assert list(load_dataset(str(tmp_path / "out"), "patches", split="train", streaming=True)) == []


@pytest.mark.full
def test_explain_and_status_tell_the_story(built: Path) -> None:
    story = run("explain", built, "zz small.png").stdout
    assert "dropped: small, measured 40, limit 100" in story
    assert "breaks small: at least 100 (tier header)" in story
    assert "Everything is up to date." in run("status", built).stdout
    assert "no candidate has" in run("explain", built, "nobody.jpg", code=2).stderr


def bad_uses(folder: Path, pictures: Path) -> dict[str, tuple[list[object], str]]:
    (folder / "empty").mkdir()
    (folder / "busy").mkdir()
    (folder / "busy" / "thesis.tex").touch()
    (folder / "wrong.yaml").write_text("gatez: []")
    (folder / "list.yaml").write_text("- a")
    (folder / "field.yaml").write_text("gates: [{field: laplacian_varianze, min: 1}]")
    (folder / "nested.yaml").write_text("patches: {sise: 3}")
    out = folder / "out"
    good = ["--sources", pictures, "--out", out]
    return {
        "missing folder": (["build", "--sources", folder / "nope", "--out", out], "nope"),
        "empty folder": (["build", "--sources", folder / "empty", "--out", out], "empty"),
        "unknown key": (["build", *good, "--recipe", folder / "wrong.yaml"], "'gatez' (did you mean 'gates'?)"),
        "nested key": (["build", *good, "--recipe", folder / "nested.yaml"], "'patches.sise' (did you mean 'size'?)"),
        "unknown field": (["build", *good, "--recipe", folder / "field.yaml"], "did you mean 'laplacian_variance'?"),
        "not a mapping": (["build", *good, "--recipe", folder / "list.yaml"], "list.yaml"),
        "missing recipe": (["build", *good, "--recipe", "demo.yml"], "did you mean 'demo'?"),
        "unknown flag": (["build", *good, "--resipe", "x"], "--resipe"),
        "flag value": (["build", *good, "--workers", "two"], "--workers"),
        "something else": (["build", "--sources", pictures, "--out", folder / "busy"], "something else"),
        "out is a file": (["build", "--sources", pictures, "--out", folder / "wrong.yaml"], "is a file"),
        "no build": (["verify", folder / "busy"], "no build is here"),
        "twice": (["build", *good, "--sources", pictures], "twice"),
    }


@pytest.mark.full
def test_bad_use_is_one_line_exit_2_and_nothing_written(tmp_path: Path, pictures: Path) -> None:
    uses = bad_uses(tmp_path, pictures)
    before = sorted(tmp_path.rglob("*"))
    for name, (arguments, told) in uses.items():
        said = run(*arguments, code=2).stderr.strip()
        assert told in said, name
        assert len(said.splitlines()) == 1, name
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.full
def test_two_builds_on_one_folder_the_second_refuses_and_names_the_owner(
    pictures: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [PROGRAM, "build", "--sources", pictures, "--out", out, "--recipe", recipe, "--workers", "0"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (out / ".work" / "scan").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGSTOP)
        refused = run("build", "--sources", pictures, "--out", out, "--recipe", recipe, code=2).stderr
        assert f"pid {first.pid} on " in refused
    finally:
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(60) == 0
