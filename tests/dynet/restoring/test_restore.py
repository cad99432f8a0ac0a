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
    code, stdout, err = dynet_command(*given, "--variants", "S,L", "--compare", "--json")
    assert code == 0, err
    assert _files(out) == [
        "a.L.png", "a.S.png", "a.compare.png", "below/b.L.jpg", "below/b.S.jpg", "below/b.compare.png",
    ]  # fmt: skip
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [(Path(line["output"]).name, line["variant"]) for line in lines] == [
        ("a.S.png", "S"), ("a.L.png", "L"), ("b.S.jpg", "S"), ("b.L.jpg", "L"),
    ]  # fmt: skip
    assert all(line["seconds"] > 0 and line["width"] == Image.open(line["output"]).width for line in lines)
    # As many bytes as the picture's network gives: the same as asking the network itself.
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
        (["IN/a.png", "--weights", "no/such/place"], "no/such/place: no such file"),
        (["IN/a.png", "--wieghts", "x"], "--wieghts"),
        (["IN/a.png", "SAME/a.png"], "under one name"),
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
