"""Wrong paths, names and flags: one line and exit code 2 at once, whatever the command, before a slow library loads."""

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from PIL import Image

from tests.million_ird import scenes
from tests.mistakes import Refusal, refusals

SLOW = frozenset({"accelerate", "cv2", "dask", "datasets", "numba", "pyiqa", "scipy", "torch"})
TRAIN = "train --data photos --stage pretrain --recipe demo_pretrain --out o"
EVALUATE = "evaluate --weights laptop --benchmark a=photos --protocol strict"
DYNET: Mapping[str, str] = MappingProxyType(
    {
        "restore nope.jpg --out o": "nope.jpg: no such file or folder",
        "restore empty --out o": "empty: the folder contains no images",
        "restore 'nope*.jpg' --out o": "no file matches this pattern",
        "restore photo.png --out .": "would be replaced by its own result",
        "restore photo.png --out notes.txt": "--out notes.txt: is not a folder",
        "restore photo.png --out notes.txt/o": "--out notes.txt/o: ",
        "restore photo.png --out o --weights labtop": "did you mean 'laptop'",
        "restore photo.png --out o --weights nope": "shipped weights laptop",
        "restore photo.png --out o --weights run": "run holds no weights.safetensors",
        "restore photo.png --out o --weights damaged.safetensors": "damaged.safetensors is not a safetensors file",
        "restore photo.png --out o --variants X": "no variant 'X', but S",
        "restore photo.png --out o --variants S,a/b": "'a/b' cannot be the name of a variant",
        "restore photo.png --out o --variants S,S": "a variant is named twice",
        "restore photo.png --out o --format gif": "must be one of png",
        "restore photo.png --out o --format png --quality 90": "png is lossless",
        "restore photo.png --out o --precision fp8": "'fp8' is not one of 'auto'",
        f"{EVALUATE} --variants X": "no variant 'X', but S",
        f"{EVALUATE} --benchmark a=photos": "two have the name a",
        f"{EVALUATE} --benchmark b=nope": "--benchmark b=nope: no such folder",
        f"{EVALUATE} --sigma x": "--sigma x: must be numbers",
        f"{EVALUATE} --out notes.txt": "--out notes.txt: is not a folder",
        "evaluate --weights labtop --benchmark a=photos --protocol harm": "did you mean 'laptop'",
        "evaluate --weights laptop --benchmark a=photos --protocol harm --sigma 25": "--sigma: protocol harm",
        "export --weights labtop --out a.pt2 --format torch-export": "did you mean 'laptop'",
        "export --weights laptop --out a.txt --format torch-export": "must be a file that ends in .pt2",
        "export --weights laptop --out a.pt2 --format torch-export --variants X": "no variant 'X', but S",
        "export --weights laptop --out notes.txt/a.pt2 --format torch-export": "cannot write files to",
        "export --weights laptop --out a.pt2 --format torch-export --local-statistics 96": "--local-statistics:",
        f"{TRAIN} --data nope": "--data nope: no such folder",
        f"{TRAIN} --data empty": "--data empty: the folder is empty",
        f"{TRAIN} --init labtop": "did you mean 'laptop'",
        f"{TRAIN} --init laptop": "is of another network",
        f"{TRAIN} --recipe demo_pretrian": "did you mean 'demo_pretrain'",
        f"{TRAIN} --out notes.txt/o": "notes.txt is a file, not a folder",
        f"{TRAIN} --out run": "holds something else",
        "convert nope.ckpt w.safetensors": "nope.ckpt: no such file",
        "convert notes.txt w.safetensors": "notes.txt is not a checkpoint of tensors",
        "convert notes.txt damaged.safetensors": "damaged.safetensors exists already; --overwrite replaces it",
        "split labtop --out o": "did you mean 'laptop'",
        "split laptop --out notes.txt": "--out notes.txt: is not a folder",
        "join laptop w.txt": "must end in .safetensors",
        "join laptop notes.txt/w.safetensors": "notes.txt is a file, not a folder",
        "publish nope --licence mit --repo-id user/m": "nope: no such file or folder",
        "publish run --licence mitt --repo-id user/m": "similar: mit",
        "publish run --licence mit --repo-id user/m": "run contains no weights.safetensors",
        "publish run --licence mit --repo-id model": "it has the form user/name",
        "variants --weights labtop": "did you mean 'laptop'",
        "demo --weights labtop": "did you mean 'laptop'",
        "demo --max-megapixels inf": "--max-megapixels inf: must be a number up to",
    }
)
MILLION_IRD: Mapping[str, str] = MappingProxyType(
    {
        "build nope --out o --recipe demo": "nope: no such file or folder",
        "build empty --out o --recipe demo": "empty: holds no files",
        "build 'nope*.jpg' --out o --recipe demo": "matches no files",
        "build '' --out o --recipe demo": "source: '' is not a path",
        "build photos --out o --recipe demo --exclude-benchmark a=nope": "--exclude-benchmark a=nope: no such file",
        "build --out o --recipe demo": "no sources: name at least one",
        "build photos --out photos --recipe demo": "photos: contains something else",
        "build photos --out notes.txt --recipe demo": "notes.txt: is a file, not a folder",
        "build photos --out notes.txt/o --recipe demo": "notes.txt/o: ",
        "build photos --out o --recipe dmeo": "did you mean 'demo'",
        "build photos --out o --recipe empty": "empty",
        "build photos --out o --recipe demo --models nope": "--models nope: no such folder",
        "build photos --out o --recipe demo --exclude-benchmark cbsd6": "cbsd6",
        "plan nope --out o --recipe demo": "nope: no such file or folder",
        "scan nope": "nope: no build is here",
        "decide empty": "empty: no build is here",
        "decide set --recipe dmeo": "did you mean 'demo'",
        "write nope": "nope: no build is here",
        "report nope": "nope: no build is here",
        "status nope": "nope: no such folder",
        "status empty": "empty: the folder is empty",
        "explain nope x": "nope: no build is here",
        "explain set chess": "chess",
        "verify nope": "nope: no build is here",
        "publish nope --repo-id u/m": "nope: no build is here",
        "export nope --format folder": "nope: no such folder",
        "export set --format fodler": "did you mean 'folder'",
        "export set --format folder --config patchs": "did you mean 'patches'",
        "export set --format folder --out notes.txt": "notes.txt: is a file",
        "export set --format folder --out run": "run: contains other files",
        "remove nope --ids notes.txt": "nope: no build is here",
        "clean nope": "nope: no build is here",
        "releases nope": "nope: no build is here",
        "score nope.jpg --metrics niqe": "nope.jpg: no such file",
        "score photo.png --metrics niqqe": "did you mean 'niqe'",
        "score photo.png --metrics niqe --models nope": "--models nope: no such folder",
        "calibrate --good nope --bad photos": "nope: no such file or folder",
        "calibrate --good photos --bad empty": "empty: holds no files",
        "calibrate --good photos --bad photos --out run": "run: contains other files",
        "calibrate --good photos --bad photos --scores niqqe": "--scores niqqe: unknown (did you mean 'niqe'?)",
        "fit-niqe nope --out x.npz": "nope: no such file or folder",
        "fit-niqe photos --out x.txt": "must end in .npz",
        "calibrate --good table:notes.txt --bad photos": "table:notes.txt: is a table, which only a build reads",
        "calibrate --good photos --bad notes.txt": "notes.txt: is a table, which only a build reads",
        "calibrate --good photos --bad site:https://x.org": "site:https://x.org: is a website",
        "fit-niqe dataset:photos --out x.npz": "dataset:photos: is a dataset",
        "fingerprint archive:photos --out x.parquet": "archive:photos: is an archive",
        "fingerprint table:x.parquet --out x.parquet": "table:x.parquet: is a table",
        "score photo.png table:notes.txt --metrics mean_luma": "table:notes.txt: is a table",
        "build photos --out o --recipe demo --exclude-benchmark a=table:x.parquet": "table:x.parquet: is a table",
        "build photos --out o --recipe demo --exclude-benchmark a=notes.txt": "notes.txt: is a table",
        "plan photos --out o --recipe demo --exclude-benchmark a=warc:photos": "warc:photos: is a web archive",
        "fingerprint nope --out x.parquet": "nope: no such file or folder",
        "fingerprint photos --out x.txt": "must end in .parquet",
    }
)
CASES = {"dynet": DYNET, "million-ird": MILLION_IRD}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, an empty folder, files of other kinds, and a finished build, `set`."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name in ("photos", "empty", "run"):
        (folder / name).mkdir()
    for number in range(2):
        scenes.photograph(number).save(folder / "photos" / f"p{number}.png")
    scenes.photograph(5).save(folder / "photo.png")
    for name in ("notes.txt", "text.png", "run/readme.txt"):
        (folder / name).write_text("hello\n")
    (folder / "zero.png").touch()
    (folder / "damaged.safetensors").write_bytes(b"\x10" * 100)
    scenes.make(folder / "photos", folder / "set")
    return folder


@pytest.fixture(scope="module")
def refused(world: Path) -> dict[str, dict[str, Refusal]]:
    """How each command line ended; all of a program in one process, since each start of Python costs half a second."""
    before = sorted(world.rglob("*"))
    found = {
        program: dict(zip(cases, refusals(program, [*map(shlex.split, cases)], world), strict=True))
        for program, cases in CASES.items()
    }
    assert sorted(world.rglob("*")) == before
    return found


@pytest.mark.parametrize(
    ("program", "command"), [(program, command) for program in CASES for command in CASES[program]]
)
def test_a_mistake_is_told_in_one_line_at_once(
    program: str, command: str, refused: dict[str, dict[str, Refusal]]
) -> None:
    ended = refused[program][command]
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert ended.err.startswith(f"{program}: ")
    assert CASES[program][command] in ended.err
    assert not SLOW & ended.modules


def test_files_of_which_none_can_be_read_do_not_wait_for_torch_either(world: Path) -> None:
    commands = (["text.png"], ["zero.png", "text.png"], ["zero.png", "--json"])
    for words, ended in zip(
        commands, refusals("dynet", [["restore", *c, "--out", "o"] for c in commands], world), strict=True
    ):
        files = [word for word in words if word.endswith(".png")]
        assert (ended.code, ended.err.count("\n")) == (1, len(files))
        assert all(f"dynet: {file}: " in ended.err for file in files)
        assert ended.out.count('"error"') == words.count("--json")
        assert not SLOW & ended.modules
    assert not (world / "o").exists()


def test_files_that_all_have_a_result_do_not_wait_for_torch_either(world: Path, tmp_path: Path) -> None:
    for name in ("photos", "out"):
        shutil.copytree(world / "photos", tmp_path / name)
    existing = [f"dynet: {Path('out', f'p{number}.png')} already exists; --overwrite replaces it" for number in (0, 1)]
    once, as_json, beside_text = refusals(
        "dynet",
        [
            ["restore", "photos", "--out", "out"],
            ["restore", "photos", "--out", "out", "--json"],
            ["restore", "photos", str(world / "text.png"), "--out", "out"],
        ],
        tmp_path,
    )
    assert (once.code, once.out, once.err.splitlines()) == (1, "", existing)
    assert (as_json.code, as_json.err.splitlines()) == (1, existing)
    assert [json.loads(line)["input"] for line in as_json.out.splitlines()] == ["photos/p0.png", "photos/p1.png"]
    assert (beside_text.code, beside_text.err.splitlines()[:2]) == (1, existing)
    assert "text.png: not an image" in beside_text.err
    for ended in (once, as_json, beside_text):
        assert not SLOW & ended.modules


def test_slow_libraries_are_seen_where_they_are_loaded(world: Path, tmp_path: Path) -> None:
    """The test above would pass with a list of modules that is always empty."""
    Image.new("RGB", (8, 8)).save(tmp_path / "grey.png")
    (ended,) = refusals("million-ird", [["score", str(tmp_path / "grey.png"), "--metrics", "mean_luma"]], world)
    assert ended.modules & SLOW
