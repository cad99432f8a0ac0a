"""Weights in parts: as large as asked at most, loaded as they lie, joined to the same numbers, never mixed."""

import shutil
from pathlib import Path

import pytest
import torch

from dynet import DyNet
from dynet.cli.app import main
from dynet.errors import UsageError, WeightsError
from dynet.hub.release import gather_release
from dynet.model import weight_parts
from dynet.model.weight_parts import join, sha256_of, split
from dynet.model.weights import read_header, read_tensors

SHAPE = {"dim": 24, "heads": (1, 2, 4, 8), "prompt_channels": (32, 64, 96), "prompt_sizes": (16, 8, 4)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of about 14 MB."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    DyNet(**SHAPE).save(path, notes={"stage": "finetune"})  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("most", [2, 5, 100])
def test_parts_are_small_enough_and_have_every_tensor_once(weights: Path, most: int, tmp_path: Path) -> None:
    parts = split(str(weights), tmp_path / "parts", most, "same")
    assert all(part.stat().st_size <= most * 10**6 for part in parts)
    assert len(parts) == 1 if most == 100 else len(parts) <= weights.stat().st_size / (most * 10**6) * 1.5 + 1
    whole, found = read_tensors(weights), read_tensors(parts[0])
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    header = read_header(parts[-1])
    assert header.notes == {
        "stage": "finetune",
        "split_from": sha256_of(weights),
        "parts": str(len(parts)),
    }
    assert header.architecture == read_header(weights).architecture


def test_parts_load_like_one_file_and_join_to_the_same_file(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "the parts"
    split(str(weights), folder, 3, "same")
    image = torch.rand(1, 3, 20, 20)
    whole = DyNet.from_pretrained(weights)
    assert torch.equal(DyNet.from_pretrained(folder)(image), whole(image))
    join(str(folder), tmp_path / "joined.safetensors", overwrite=False)
    assert (tmp_path / "joined.safetensors").read_bytes() == weights.read_bytes()
    with pytest.raises(UsageError, match=r"joined\.safetensors exists already; --overwrite replaces it"):
        join(str(folder), tmp_path / "joined.safetensors", overwrite=False)
    join(str(folder), tmp_path / "joined.safetensors", overwrite=True)


def test_bf16_halves_the_size(weights: Path, tmp_path: Path) -> None:
    halves = split(str(weights), tmp_path / "bf16", 15, "bf16")
    assert sum(part.stat().st_size for part in halves) < 0.51 * weights.stat().st_size
    loaded = DyNet.from_pretrained(tmp_path / "bf16").state_dict()
    for name, tensor in DyNet.from_pretrained(weights).state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.bfloat16().float())


def test_a_part_that_is_missing_or_of_other_weights_is_named(weights: Path, tmp_path: Path) -> None:
    first, second, *_ = split(str(weights), tmp_path / "a", 3, "same")
    torch.manual_seed(1)
    DyNet(**SHAPE).save(tmp_path / "other.safetensors", notes={"stage": "finetune"})  # type: ignore[arg-type]
    _, other, *_ = split(str(tmp_path / "other.safetensors"), tmp_path / "b", 3, "same")
    shutil.copy(second, tmp_path / "kept")
    shutil.copy(other, second)
    with pytest.raises(WeightsError, match=f"{second.name} and {first.name} are not parts of the same weights"):
        DyNet.from_pretrained(tmp_path / "a")
    second.unlink()
    with pytest.raises(WeightsError, match=rf"{second.name} is missing: the weights beside it are in \d parts"):
        DyNet.from_pretrained(tmp_path / "a")
    shutil.copy(tmp_path / "kept", second)
    DyNet.from_pretrained(tmp_path / "a")


def test_parts_of_another_type_or_number_are_not_mixed(weights: Path, tmp_path: Path) -> None:
    (first, *_), (_, other, *_) = (split(str(weights), tmp_path / kind, 6, kind) for kind in ("same", "fp32"))
    shutil.copy(other, tmp_path / "same")
    with pytest.raises(WeightsError, match="are not parts of the same weights"):
        DyNet.from_pretrained(tmp_path / "same")
    split(str(weights), tmp_path / "fewer", 100, "same")
    shutil.copy(first, tmp_path / "fewer")
    shutil.copy(weights, tmp_path / "fp32")
    for folder in ("fewer", "fp32"):
        with pytest.raises(WeightsError, match=rf"{folder} holds several weights: weights"):
            DyNet.from_pretrained(tmp_path / folder)


def test_a_killed_split_is_continued_and_a_failed_one_leaves_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split(str(weights), tmp_path / "parts", 3, "bf16")
    whole = [part.read_bytes() for part in parts]
    parts[-1].unlink()
    assert split(str(weights), tmp_path / "parts", 3, "bf16") == parts
    assert [part.read_bytes() for part in parts] == whole
    written = []

    def interrupted(path: Path, *about: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"part")

    monkeypatch.setattr(weight_parts, "write_weights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split(str(weights), tmp_path / "new", 3, "bf16")
    assert len(written) == 2
    assert list((tmp_path / "new").iterdir()) == []
    written.clear()
    with pytest.raises(KeyboardInterrupt):  # the parts of a split that was complete stay
        split(str(weights), tmp_path / "parts", 3, "bf16")
    assert all(part.is_file() for part in parts)


def test_weights_with_notes_of_their_own_are_joined(tiny: DyNet, tmp_path: Path) -> None:
    tiny.save(tmp_path / "noted.safetensors", notes={"parts": "3"})
    join(str(tmp_path / "noted.safetensors"), tmp_path / "joined.safetensors", overwrite=False)
    assert read_header(tmp_path / "joined.safetensors").variants == tiny.variants


def test_a_single_part_cannot_be_published(weights: Path, tmp_path: Path) -> None:
    parts = split(str(weights), tmp_path / "parts", 6, "same")
    for source in (parts[0], tmp_path / "parts"):
        with pytest.raises(WeightsError, match=r"`dynet join` turns (them|parts) into one file"):
            gather_release(source, "user/name", "mit", ())


def test_a_folder_with_weights_and_too_small_parts_are_errors(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds other weights already: weights\.safetensors"):
        split(str(weights), weights.parent, 3, "same")
    huge = tmp_path / "huge.safetensors"
    DyNet(dim=64, prompts=3, prompt_channels=(4, 4, 8), prompt_sizes=(8, 4, 2)).save(huge)
    with pytest.raises(UsageError, match=r"--max-mb: tensor \S+ alone is \d\.\d MB"):
        split(str(huge), tmp_path / "parts", 1, "same")
    assert not (tmp_path / "parts").exists()


def test_split_and_join_as_commands(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return int(ended.value.code or 0)

    assert run("split", weights, "--out", tmp_path / "parts", "--max-mb", 4, "--dtype", "bf16") == 0
    printed = capsys.readouterr().out.split()
    assert printed == sorted(str(path) for path in (tmp_path / "parts").iterdir())
    assert run("split", weights, "--out", tmp_path / "parts") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run("join", tmp_path / "parts", tmp_path / "one.safetensors") == 0
    assert run("join", tmp_path / "parts", tmp_path / "one.pt") == 2
    notes = read_header(tmp_path / "one.safetensors").notes
    assert notes == {"stage": "finetune", "split_from": sha256_of(weights), "type": "bf16"}
