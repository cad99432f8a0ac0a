"""Networks of other architectures, with random weights in files that spandrel's own classes wrote."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import dynet
from dynet import DyNet
from dynet.demo.restorer import Restorer
from dynet.errors import UsageError, WeightsError
from dynet.exporting.spandrel_file import serialise
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.images import read_image
from dynet.inference.restore import prepare_for_inference
from dynet.model.variants import SMALL
from dynet.spandrel import foreign_network
from dynet.spandrel.foreign_network import ForeignNetwork, load_spandrel

spandrel = pytest.importorskip("spandrel")

from spandrel.architectures.Compact import Compact  # noqa: E402
from spandrel.architectures.DnCNN import DnCNN  # noqa: E402
from spandrel.architectures.FFTformer import FFTformer  # noqa: E402
from spandrel.architectures.NAFNet import NAFNet  # noqa: E402
from spandrel.architectures.SCUNet import SCUNet  # noqa: E402

Command = Callable[..., tuple[int, str, str]]
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "NAFNet": lambda: NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
    "SCUNet": lambda: SCUNet(config=[1] * 7, dim=64),
    "FFTformer": lambda: FFTformer(dim=16, num_blocks=[1, 1, 1], num_refinement_blocks=1),
    "DnCNN": lambda: DnCNN(in_nc=3, out_nc=3, nc=8, nb=4),
    "RealESRGAN-Compact": lambda: Compact(upscale=1, num_feat=8, num_conv=2),
}


def saved(file: Path, network: nn.Module) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)
    return file


@pytest.fixture
def nafnet(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return saved(tmp_path / "nafnet.safetensors", NETWORKS["NAFNet"]())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark of two pictures of odd sizes."""
    (tmp_path / "set").mkdir()
    for number, size in enumerate(((37, 53, 3), (64, 48, 3))):
        picture = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "set" / f"{number}.png")
    return tmp_path / "set"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_what_spandrel_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(tmp_path / "w.safetensors", NETWORKS[name]())
    network = dynet.load_spandrel(file)
    assert [variant.name for variant in network.variants] == [name]
    assert not network.training
    picture = torch.rand(1, 3, 37, 53)
    with torch.inference_mode():
        restored = network(picture, network.variants[0])
        assert torch.equal(restored, spandrel.ModelLoader().load_from_file(file)(picture))
    assert restored.shape == picture.shape


def test_checkpoints_of_torch_are_read_too(tmp_path: Path) -> None:
    for suffix in (".pth", ".ckpt", ".pt"):
        torch.save({"params": NETWORKS["NAFNet"]().state_dict()}, tmp_path / f"w{suffix}")
        assert load_spandrel(tmp_path / f"w{suffix}").variants[0].name == "NAFNet"


class _Harmful:
    def __reduce__(self) -> object:
        return (exec, ("open('harmed', 'w')",))


def test_no_code_of_a_checkpoint_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"params": _Harmful()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError):
        load_spandrel(tmp_path / "w.pth")
    assert not (tmp_path / "harmed").exists()


def _not_finite() -> nn.Module:
    network = NETWORKS["NAFNet"]()
    nn.init.constant_(network.intro.weight, torch.nan)  # type: ignore[attr-defined, arg-type]
    return network


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: saved(file, Compact(upscale=4, num_feat=8, num_conv=2)), "enlarges images 4 times"),
        (lambda file: saved(file, DnCNN(in_nc=1, out_nc=1, nc=8, nb=4)), "turns 1 channels into 1"),
        (lambda file: saved(file, nn.Conv2d(3, 3, 3)), "holds no network that spandrel knows"),
        (lambda file: saved(file, _not_finite()), r"tensor .* has values that are infinite or not a number"),
        (lambda file: file.write_bytes(b"<html>"), "is not a safetensors file, or is truncated"),
        (lambda file: file.write_bytes(b""), "is not a safetensors file, or is truncated"),
        (lambda file: saved(file, nn.Module()), "holds no network that spandrel knows"),
        (lambda file: None, "no such file"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(write: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    write(file)
    with pytest.raises(WeightsError, match=words) as raised:
        load_spandrel(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_network_with_a_mask_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    saved(file, nn.Conv2d(3, 3, 3))  # LaMa itself has 51 million weights
    descriptor = spandrel.MaskedImageModelDescriptor(
        nn.Conv2d(3, 3, 3),
        nn.Conv2d(3, 3, 3).state_dict(),
        spandrel.MAIN_REGISTRY["LaMa"].architecture,
        "Inpainting",
        [],
        False,
        False,
        4,
        3,
    )
    monkeypatch.setattr(foreign_network, "_load", lambda _: descriptor)
    with pytest.raises(WeightsError, match="is of LaMa, which needs a mask"):
        load_spandrel(file)


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "w.onnx").touch()
    with pytest.raises(WeightsError, match=r"ends in \.safetensors"):
        load_spandrel(tmp_path / "w.onnx")


def test_a_file_of_dynet_for_spandrel_is_a_network_too(tiny: DyNet, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(serialise(tiny, SMALL, {}))
    network, picture = load_spandrel(tmp_path / "w.safetensors"), torch.rand(1, 3, 37, 53)
    assert network.variants[0].name == "DyNet"
    with torch.inference_mode():
        assert torch.equal(network(picture), tiny(picture, SMALL).clamp(0, 1))
    assert "DyNet" not in spandrel.MAIN_REGISTRY  # loading changes nothing for others


class _ExtraArch(spandrel.Architecture):  # type: ignore[misc, name-defined]
    """An architecture that takes every file for its own."""

    def __init__(self) -> None:
        super().__init__(id="Extra-1", detect=lambda _: True)

    def load(self, state_dict: object) -> object:
        network = nn.Conv2d(3, 3, 1)
        return spandrel.ImageModelDescriptor(
            network, network.state_dict(), self, "Restoration", [], False, False, 1, 3, 3
        )


def test_architectures_of_the_extra_package_are_known_if_it_is_installed(
    nafnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = SimpleNamespace(EXTRA_REGISTRY=[spandrel.ArchSupport.from_architecture(_ExtraArch(), ("NAFNet",))])
    monkeypatch.setattr(foreign_network, "find_spec", lambda name: name == "spandrel_extra_arches")
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", package)
    assert load_spandrel(nafnet).variants[0].name == "Extra-1"
    assert "Extra-1" not in spandrel.MAIN_REGISTRY


def test_evaluate_prints_the_same_table_for_it(
    nafnet: Path, folder: Path, tmp_path: Path, dynet_command: Command
) -> None:
    options = ["--benchmark", f"set={folder}", "--protocol", "strict", "--sigma", "25", "--out", tmp_path / "out"]
    code, out, error = dynet_command("evaluate", "--weights", nafnet, *options)
    assert code == 0, error
    assert "NAFNet" in out
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["variants"] == {"NAFNet": None}
    row = next(row for row in result["results"] if row["variant"] == "NAFNet")
    assert row["psnr"]["mean"] > 0


def test_restore_keeps_to_spandrels_padding(nafnet: Path, folder: Path, tmp_path: Path, dynet_command: Command) -> None:
    code, _, error = dynet_command("restore", folder / "0.png", "--out", tmp_path / "out", "--weights", nafnet)
    assert code == 0, error
    picture = torch.from_numpy(read_image(folder / "0.png").as_rgb()).permute(2, 0, 1)[None]
    expected = spandrel.ModelLoader().load_from_file(nafnet)(picture)[0].permute(1, 2, 0).numpy()
    (written,) = (tmp_path / "out").iterdir()
    assert np.array_equal(np.asarray(Image.open(written)), np.rint(expected * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "bf16"], "--precision bf16: only for a DyNet"),
        (["--local-statistics", "96"], "--local-statistics: only a DyNet has them"),
        (["--variants", "S"], "no variant 'S', but NAFNet"),
    ],
)
def test_what_only_a_dynet_has_is_refused(
    options: list[str], words: str, nafnet: Path, folder: Path, tmp_path: Path, dynet_command: Command
) -> None:
    code, _, error = dynet_command("restore", folder, "--out", tmp_path / "out", "--weights", nafnet, *options)
    assert (code, error.count("\n")) == (2, 1)
    assert words in error


def test_local_statistics_of_a_foreign_network_are_a_usage_error(nafnet: Path) -> None:
    with pytest.raises(UsageError):
        prepare_for_inference(load_spandrel(nafnet), torch.float32, 96)


def test_the_demo_page_restores_with_it(nafnet: Path, folder: Path) -> None:
    network: ForeignNetwork = load_spandrel(nafnet)
    restorer = Restorer(network, torch.device("cpu"))
    image: DecodedImage = read_image(folder / "0.png")
    (result,) = restorer.compare(image, None, network.variants, lambda *_: None).results
    assert (result.variant, result.tiles, result.image.colour.shape) == ("NAFNet", 1, (37, 53, 3))


def test_without_spandrel_one_line_says_what_to_install(
    nafnet: Path, folder: Path, tmp_path: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynet.extras.find_spec", lambda name: None if name == "spandrel" else True)
    code, _, error = dynet_command("restore", folder, "--out", tmp_path / "out", "--weights", nafnet)
    assert (code, error.count("\n")) == (2, 1)
    assert "`dynet convert`" in error
    assert "pip install 'million-ird[spandrel]'" in error


@pytest.mark.parametrize("command", ["restore", "evaluate"])
def test_a_network_that_fails_is_one_line(command: str, folder: Path, tmp_path: Path, dynet_command: Command) -> None:
    file = saved(tmp_path / "odd.safetensors", SCUNet(in_nc=3, config=[1] * 7, dim=16))  # half of 16 is no head of 32
    images = [str(folder)] if command == "restore" else ["--protocol", "strict", "--benchmark", f"x={folder}"]
    code, _, error = dynet_command(command, *images, "--weights", file, "--out", tmp_path / "out")
    assert code != 0
    assert "Traceback" not in error
    assert "SCUNet fails for" in error
