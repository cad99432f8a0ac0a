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
def images(tmp_path: Path, photographs: list[np.ndarray]) -> Path:
    """Make a folder with an image of odd size, one in a subfolder, and a file that is not an image."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.fromarray(photographs[0][:33, :47]).save(tmp_path / "in" / "a.png")
    Image.fromarray(photographs[1][:40, :40]).save(tmp_path / "in" / "below" / "b.jpg")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    return tmp_path / "in"


@pytest.fixture
def identity(tiny: DyNet, tmp_path: Path) -> Path:
    """Weights of a network that changes nothing."""
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "identity.safetensors")
    return tmp_path / "identity.safetensors"


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_with_both_variants_and_sheets(
    images: Path, tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    out = tmp_path / "out"
    command = ("restore", images, "--out", out, "--weights", tiny_weights.parent, "--device", "cpu")
    code, stdout, err = dynet_command(*command, "--variants", "S,L", "--compare", "--json", "--precision", "fp32")
    assert code == 0, err
    assert _files(out) == [
        "a.L.png", "a.S.png", "a.compare.png", "below/b.L.jpg", "below/b.S.jpg", "below/b.compare.png",
    ]  # fmt: skip
    first, second = (json.loads(line) for line in stdout.splitlines())
    assert (first["input"], first["width"], first["height"]) == (str(images / "a.png"), 47, 33)
    assert first["compare"] == str(out / "a.compare.png")
    assert {name: output["path"] for name, output in second["outputs"].items()} == {
        "S": str(out / "below" / "b.S.jpg"), "L": str(out / "below" / "b.L.jpg"),
    }  # fmt: skip
    for output in (*first["outputs"].values(), *second["outputs"].values()):
        assert output["seconds"] > 0
        assert output["peak_mb"] > 50
        assert output["tile"] is None
    # The same as the output of the network itself.
    image = np.array(Image.open(images / "a.png"))
    with torch.no_grad():
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        model = DyNet.from_pretrained(tiny_weights)
        expected = (model(x, model.variants[0]).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy()
    assert np.abs(np.array(Image.open(out / "a.S.png")).astype(int) - expected).max() <= 1


def test_the_identity_network_returns_the_users_image(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command
) -> None:
    for number, tile in enumerate(([], ["--tile", 32])):
        out = tmp_path / f"out{number}"
        code, _, err = dynet_command("restore", images / "a.png", "--out", out, "--weights", identity, *tile)
        assert code == 0, err
        assert np.array_equal(np.array(Image.open(out / "a.png")), np.array(Image.open(images / "a.png")))


def test_nothing_is_overwritten_without_overwrite(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("precious")
    command = ("restore", images / "a.png", images / "below" / "b.jpg", "--out", out, "--weights", identity)
    code, _, err = dynet_command(*command)
    assert code == 1
    assert "a.png already exists; --overwrite replaces it" in err
    assert (out / "a.png").read_text() == "precious"
    assert (out / "b.jpg").exists()
    (out / "b.jpg").unlink()
    code, stdout, _ = dynet_command(*command, "--json")
    assert code == 1
    assert ["error" in json.loads(line) for line in stdout.splitlines()] == [True, False]  # in the order of the inputs
    assert dynet_command(*command, "--overwrite")[0] == 0
    assert Image.open(out / "a.png").size == (47, 33)


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_restored(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command
) -> None:
    (images / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    out = tmp_path / "out"
    code, stdout, err = dynet_command("restore", images, "--out", out, "--weights", identity, "--json")
    assert code == 1
    assert "bad.png" in err
    assert _files(out) == ["a.png", "below/b.jpg"]
    assert [bool(json.loads(line).get("error")) for line in stdout.splitlines()] == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["IN/missing.png"], "missing.png: no such file or folder"),
        (["EMPTY"], "contains no images"),
        (["IN/a.png", "--variants", "M"], "no variant 'M', but S, L"),
        (["IN/a.png", "--variants", "S,S"], "named twice"),
        (["IN/a.png", "--tile", "8"], "--tile"),
        (["IN/a.png", "--device", "tpu"], "--device"),
        (["IN/a.png", "--weights", "IN/notes.txt"], "notes.txt"),
        (["IN/a.png", "--weights", "no/such/place"], "no such file or folder"),
        (["IN/a.png", "--wieghts", "x"], "--wieghts"),
        (["IN/a.png", "SAME/a.png"], "the same result"),
        (["IN/*.gif"], "no file matches this pattern"),
        (["IN/a.png", "--format", "gif"], "--format gif"),
        (["IN/a.png", "--quality", "101"], "--quality 101"),
        (["IN/a.png", "--precision", "fp64"], "--precision"),
        (["IN/a.png", "--local-statistics", "8"], "--local-statistics"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_and_exit_code_2_with_nothing_written(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "a.png").write_bytes((images / "a.png").read_bytes())
    folders = {"IN": str(images), "EMPTY": str(tmp_path / "empty"), "SAME": str(tmp_path / "same")}
    for name, folder in folders.items():
        arguments = [argument.replace(name, folder) for argument in arguments]
    weights = [] if "--weights" in arguments else ["--weights", identity]
    code, stdout, err = dynet_command("restore", *arguments, "--out", tmp_path / "out", *weights)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert not (tmp_path / "out").exists()


def test_results_inside_the_input_folder_are_not_restored_again(
    images: Path, identity: Path, dynet_command: Command
) -> None:
    command = ("restore", images, "--out", images / "restored", "--weights", identity, "--overwrite")
    assert dynet_command(*command)[0] == 0
    assert dynet_command(*command)[0] == 0
    assert _files(images / "restored") == ["a.png", "below/b.jpg"]


def test_format_and_quality_are_applied(images: Path, tmp_path: Path, identity: Path, dynet_command: Command) -> None:
    sizes = []
    for quality in (95, 30):
        out = tmp_path / f"out{quality}"
        command = ("restore", images, "--out", out, "--weights", identity, "--format", "jpg", "--quality", quality)
        code, _, err = dynet_command(*command)
        assert code == 0, err
        assert _files(out) == ["a.jpg", "below/b.jpg"]
        sizes.append((out / "a.jpg").stat().st_size)
    assert sizes[1] < 0.7 * sizes[0]


def test_patterns_are_expanded_and_keep_their_relative_paths(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command
) -> None:
    code, stdout, err = dynet_command("restore", f"{images}/**/*.jpg", "--out", tmp_path / "out", "--weights", identity)
    assert code == 0, err
    assert _files(tmp_path / "out") == ["below/b.jpg"]
    assert stdout.startswith(str(tmp_path / "out" / "below" / "b.jpg"))


def test_the_output_tells_tiles_from_whole_images(
    images: Path, tmp_path: Path, identity: Path, dynet_command: Command
) -> None:
    command = ("restore", images / "a.png", "--out", tmp_path, "--weights", identity, "--overwrite")
    assert dynet_command(*command)[1].rstrip().endswith("s  whole")
    assert dynet_command(*command, "--tile", 32)[1].rstrip().endswith("s  in tiles of 32")
    assert dynet_command(*command, "--tile", 64)[1].rstrip().endswith("s  whole")
    assert json.loads(dynet_command(*command, "--tile", 32, "--json")[1])["outputs"]["L"]["tile"] == 32


def test_local_statistics_and_precision_change_what_is_written(
    images: Path, tmp_path: Path, tiny_weights: Path, photographs: list[np.ndarray], dynet_command: Command
) -> None:
    Image.fromarray(photographs[0][:160, :160]).save(tmp_path / "c.png")
    results = {}
    for name, options in {
        "fp32": ["--precision", "fp32"],
        "bf16": ["--precision", "bf16"],
        "local": ["--precision", "fp32", "--local-statistics", 64],
        "large": ["--precision", "fp32", "--local-statistics", 160],
    }.items():
        command = (
            "restore",
            tmp_path / "c.png",
            "--out",
            tmp_path / name,
            "--weights",
            tiny_weights,
            "--variants",
            "S",
        )
        assert dynet_command(*command, *options)[0] == 0
        results[name] = np.array(Image.open(tmp_path / name / "c.png")).astype(int)
    assert np.abs(results["large"] - results["fp32"]).max() <= 1  # a window that contains the whole image
    for name in ("bf16", "local"):
        assert np.abs(results[name] - results["fp32"]).mean() > 0, name


def test_values_that_are_not_finite_are_an_error_and_nothing_is_written(
    images: Path, tmp_path: Path, tiny: DyNet, dynet_command: Command
) -> None:
    torch.nn.init.constant_(tiny.output.weight, 3e38)
    tiny.save(tmp_path / "huge.safetensors")
    command = ("restore", images / "a.png", "--out", tmp_path / "out", "--weights", tmp_path / "huge.safetensors")
    code, stdout, err = dynet_command(*command)
    assert (code, stdout) == (1, "")
    assert "a.png: the output of variant L contains values that are not finite" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_warning_of_a_module_is_a_line_on_stderr(tmp_path: Path, identity: Path, dynet_command: Command) -> None:
    Image.fromarray(np.full((24, 24), 40000, np.uint16)).save(tmp_path / "deep.png")
    command = ("restore", tmp_path / "deep.png", "--out", tmp_path / "out", "--weights", identity, "--format", "jpeg")
    code, _, err = dynet_command(*command)
    assert code == 0, err
    warning = next(line for line in err.splitlines() if "16 bits are rounded to 8" in line)
    assert warning.startswith("dynet: ")


def test_a_file_whose_content_changes_its_suffix_replaces_no_other_image(
    tmp_path: Path, photographs: list[np.ndarray], tiny_weights: Path, dynet_command: Command
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(photographs[0][:40, :50]).save(folder / "w.jpg", format="PNG")
    Image.fromarray(photographs[1][:40, :50]).save(folder / "w.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    command = ("restore", folder, "--weights", tiny_weights, "--overwrite", "--out")
    code, out, err = dynet_command(*command, tmp_path / "out")
    assert code == 1
    assert out.count("w.png") == 1
    assert "w.jpg and" in err
    assert f"lead to the same result, {tmp_path / 'out' / 'w.png'}, because of their content" in err
    code, _, err = dynet_command("restore", folder / "w.jpg", "--weights", tiny_weights, "--overwrite", "--out", folder)
    assert code == 1
    assert f"{folder / 'w.png'} would be replaced, since the content has another format" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    code, out, err = dynet_command(*command, folder)
    assert code == 1
    assert (
        f"{folder / 'w.png'} would be replaced by the result of {folder / 'w.jpg'}, whose content has another format"
        in err
    )
    assert (folder / "w.jpg").read_bytes() == before["w.jpg"]
    assert out.count("w.png") == 1  # its own result


def test_an_out_without_permission_to_write_is_refused_before_anything_is_restored(
    images: Path, tmp_path: Path, tiny_weights: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    code, out, err = dynet_command("restore", images, "--weights", tiny_weights, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == f"dynet: --out {tmp_path / 'out'}: cannot be written to: Permission denied\n"
