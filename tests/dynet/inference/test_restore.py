"""Restoring from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pictures(tmp_path: Path, photographs: list[np.ndarray]) -> Path:
    """A folder with a photograph of odd size, one in a folder below, and a file that is none."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.fromarray(photographs[0][:33, :47]).save(tmp_path / "in" / "a.png")
    Image.fromarray(photographs[1][:40, :40]).save(tmp_path / "in" / "below" / "b.jpg")
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    return tmp_path / "in"


@pytest.fixture
def unchanging(tiny: DyNet, tmp_path: Path) -> Path:
    """Weights that correct nothing."""
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "unchanging.safetensors")
    return tmp_path / "unchanging.safetensors"


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_with_both_variants_and_sheets(
    pictures: Path, tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    out = tmp_path / "out"
    given = ("restore", pictures, "--out", out, "--weights", tiny_weights.parent, "--device", "cpu")
    code, stdout, err = dynet_command(*given, "--variants", "S,L", "--compare", "--json", "--precision", "fp32")
    assert code == 0, err
    assert _files(out) == [
        "a.L.png", "a.S.png", "a.compare.png", "below/b.L.jpg", "below/b.S.jpg", "below/b.compare.png",
    ]  # fmt: skip
    first, second = (json.loads(line) for line in stdout.splitlines())
    assert (first["input"], first["width"], first["height"]) == (str(pictures / "a.png"), 47, 33)
    assert first["compare"] == str(out / "a.compare.png")
    assert {name: output["path"] for name, output in second["outputs"].items()} == {
        "S": str(out / "below" / "b.S.jpg"), "L": str(out / "below" / "b.L.jpg"),
    }  # fmt: skip
    for output in (*first["outputs"].values(), *second["outputs"].values()):
        assert output["seconds"] > 0
        assert output["peak_mb"] > 50
        assert output["tile"] is None
    # As the network gives: the same as asking the network itself.
    picture = np.array(Image.open(pictures / "a.png"))
    with torch.no_grad():
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        model = DyNet.from_pretrained(tiny_weights)
        expected = (model(x, model.variants[0]).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy()
    assert np.abs(np.array(Image.open(out / "a.S.png")).astype(int) - expected).max() <= 1


def test_the_users_picture_comes_back_whole(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    for number, tile in enumerate(([], ["--tile", 32])):
        out = tmp_path / f"out{number}"
        code, _, err = dynet_command("restore", pictures / "a.png", "--out", out, "--weights", unchanging, *tile)
        assert code == 0, err
        assert np.array_equal(np.array(Image.open(out / "a.png")), np.array(Image.open(pictures / "a.png")))


def test_nothing_is_overwritten_unless_asked(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("precious")
    given = ("restore", pictures / "a.png", pictures / "below" / "b.jpg", "--out", out, "--weights", unchanging)
    code, _, err = dynet_command(*given)
    assert code == 1
    assert "a.png exists already; --overwrite replaces it" in err
    assert (out / "a.png").read_text() == "precious"
    assert (out / "b.jpg").exists()
    assert dynet_command(*given, "--overwrite")[0] == 0
    assert Image.open(out / "a.png").size == (47, 33)


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_done(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    out = tmp_path / "out"
    code, stdout, err = dynet_command("restore", pictures, "--out", out, "--weights", unchanging, "--json")
    assert code == 1
    assert "bad.png" in err
    assert _files(out) == ["a.png", "below/b.jpg"]
    assert [bool(json.loads(line).get("error")) for line in stdout.splitlines()] == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["IN/missing.png"], "missing.png: no such file or folder"),
        (["EMPTY"], "holds no pictures"),
        (["IN/a.png", "--variants", "M"], "no variant 'M', but S, L"),
        (["IN/a.png", "--variants", "S,S"], "named twice"),
        (["IN/a.png", "--tile", "8"], "--tile"),
        (["IN/a.png", "--device", "tpu"], "--device"),
        (["IN/a.png", "--weights", "IN/notes.txt"], "notes.txt"),
        (["IN/a.png", "--weights", "no/such/place"], "no such file or folder"),
        (["IN/a.png", "--wieghts", "x"], "--wieghts"),
        (["IN/a.png", "SAME/a.png"], "under one name"),
        (["IN/*.gif"], "no file has a name like this"),
        (["IN/a.png", "--format", "gif"], "--format gif"),
        (["IN/a.png", "--quality", "101"], "--quality 101"),
        (["IN/a.png", "--precision", "fp64"], "--precision"),
        (["IN/a.png", "--local-statistics", "8"], "--local-statistics"),
    ],
    ids=str,
)
def test_bad_use_is_one_line_and_exit_2_with_nothing_written(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "a.png").write_bytes((pictures / "a.png").read_bytes())
    places = {"IN": str(pictures), "EMPTY": str(tmp_path / "empty"), "SAME": str(tmp_path / "same")}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    weights = [] if "--weights" in arguments else ["--weights", unchanging]
    code, stdout, err = dynet_command("restore", *arguments, "--out", tmp_path / "out", *weights)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert not (tmp_path / "out").exists()


def test_results_inside_the_input_folder_are_not_restored_again(
    pictures: Path, unchanging: Path, dynet_command: Command
) -> None:
    given = ("restore", pictures, "--out", pictures / "restored", "--weights", unchanging, "--overwrite")
    assert dynet_command(*given)[0] == 0
    assert dynet_command(*given)[0] == 0
    assert _files(pictures / "restored") == ["a.png", "below/b.jpg"]


def test_format_and_quality_are_as_asked(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    sizes = []
    for quality in (95, 30):
        out = tmp_path / f"out{quality}"
        given = ("restore", pictures, "--out", out, "--weights", unchanging, "--format", "jpg", "--quality", quality)
        code, _, err = dynet_command(*given)
        assert code == 0, err
        assert _files(out) == ["a.jpg", "below/b.jpg"]
        sizes.append((out / "a.jpg").stat().st_size)
    assert sizes[1] < 0.7 * sizes[0]


def test_patterns_are_taken_and_keep_their_place(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    code, stdout, err = dynet_command(
        "restore", f"{pictures}/**/*.jpg", "--out", tmp_path / "out", "--weights", unchanging
    )
    assert code == 0, err
    assert _files(tmp_path / "out") == ["below/b.jpg"]
    assert stdout.startswith(str(tmp_path / "out" / "below" / "b.jpg"))


def test_tiles_and_whole_pictures_are_told_from_each_other(
    pictures: Path, tmp_path: Path, unchanging: Path, dynet_command: Command
) -> None:
    given = ("restore", pictures / "a.png", "--out", tmp_path, "--weights", unchanging, "--overwrite")
    assert dynet_command(*given)[1].rstrip().endswith("s  whole")
    assert dynet_command(*given, "--tile", 32)[1].rstrip().endswith("s  in tiles of 32")
    assert dynet_command(*given, "--tile", 64)[1].rstrip().endswith("s  whole")
    assert json.loads(dynet_command(*given, "--tile", 32, "--json")[1])["outputs"]["L"]["tile"] == 32


def test_local_statistics_and_precision_change_what_is_written(
    pictures: Path, tmp_path: Path, tiny_weights: Path, photographs: list[np.ndarray], dynet_command: Command
) -> None:
    Image.fromarray(photographs[0][:160, :160]).save(tmp_path / "c.png")
    results = {}
    for name, options in {
        "fp32": ["--precision", "fp32"],
        "bf16": ["--precision", "bf16"],
        "local": ["--precision", "fp32", "--local-statistics", 64],
        "large": ["--precision", "fp32", "--local-statistics", 160],
    }.items():
        given = ("restore", tmp_path / "c.png", "--out", tmp_path / name, "--weights", tiny_weights, "--variants", "S")
        assert dynet_command(*given, *options)[0] == 0
        results[name] = np.array(Image.open(tmp_path / name / "c.png")).astype(int)
    assert np.abs(results["large"] - results["fp32"]).max() <= 1  # a window that holds the picture
    for name in ("bf16", "local"):
        assert np.abs(results[name] - results["fp32"]).mean() > 0, name


def test_weights_that_give_no_numbers_are_told_and_nothing_is_written(
    pictures: Path, tmp_path: Path, tiny: DyNet, dynet_command: Command
) -> None:
    torch.nn.init.constant_(tiny.output.weight, 3e38)
    tiny.save(tmp_path / "huge.safetensors")
    given = ("restore", pictures / "a.png", "--out", tmp_path / "out", "--weights", tmp_path / "huge.safetensors")
    code, stdout, err = dynet_command(*given)
    assert (code, stdout) == (1, "")
    assert "a.png: variant L gives values that are not finite numbers" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_warning_of_a_module_is_a_line_on_stderr(tmp_path: Path, unchanging: Path, dynet_command: Command) -> None:
    Image.fromarray(np.full((24, 24), 40000, np.uint16)).save(tmp_path / "deep.png")
    given = ("restore", tmp_path / "deep.png", "--out", tmp_path / "out", "--weights", unchanging, "--format", "jpeg")
    code, _, err = dynet_command(*given)
    assert code == 0, err
    told = next(line for line in err.splitlines() if "16 bits are rounded to 8" in line)
    assert told.startswith("dynet: ")


def test_what_a_content_tells_of_a_name_costs_no_other_picture(
    tmp_path: Path, photographs: list[np.ndarray], tiny_weights: Path, dynet_command: Command
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(photographs[0][:40, :50]).save(folder / "w.jpg", format="PNG")
    Image.fromarray(photographs[1][:40, :50]).save(folder / "w.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    given = ("restore", folder, "--weights", tiny_weights, "--overwrite", "--out")
    code, out, err = dynet_command(*given, tmp_path / "out")
    assert code == 1
    assert out.count("w.png") == 1
    assert "w.jpg and" in err
    assert f"would be written under one name, {tmp_path / 'out' / 'w.png'}: its content tells" in err
    code, _, err = dynet_command("restore", folder / "w.jpg", "--weights", tiny_weights, "--overwrite", "--out", folder)
    assert code == 1
    assert f"{folder / 'w.png'} beside it would be replaced" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    code, out, err = dynet_command(*given, folder)
    assert code == 1
    assert f"{folder / 'w.png'} would be replaced by what becomes of {folder / 'w.jpg'}" in err
    assert (folder / "w.jpg").read_bytes() == before["w.jpg"]
    assert out.count("w.png") == 1  # of itself


def test_an_out_that_cannot_be_written_to_is_told_before_anything_is_restored(
    pictures: Path, tmp_path: Path, tiny_weights: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *given: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    code, out, err = dynet_command("restore", pictures, "--weights", tiny_weights, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == f"dynet: --out {tmp_path / 'out'}: cannot be written to: Permission denied\n"
