from pathlib import Path

import pytest
import torch

from dynet import DyNet, ReuseSchedule, Variant
from dynet.errors import WeightsError
from dynet.weights import read_header


def test_saved_weights_come_back_bitwise_with_their_configuration(tiny: DyNet, tmp_path: Path) -> None:
    tiny.variants = (Variant("M", ReuseSchedule(1, 2, 3, 4)),)
    tiny.to(memory_format=torch.channels_last)
    tiny.save(tmp_path / "w.safetensors", notes={"stage": "pretrain"})
    tiny.save_pretrained(tmp_path / "folder")
    for source in (tmp_path / "w.safetensors", tmp_path / "folder", str(tmp_path / "folder")):
        model = DyNet.from_pretrained(source)
        assert model.architecture == tiny.architecture
        assert model.variants == tiny.variants
        for name, tensor in tiny.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(x), tiny(x), atol=1e-5, rtol=0)
    assert read_header(tmp_path / "w.safetensors").notes == {"stage": "pretrain"}
    assert not list(tmp_path.glob(".*"))


def test_the_same_weights_are_the_same_bytes(tiny: DyNet, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tiny.save(tmp_path / name, notes={"b": "1", "a": "2", "c": "3"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_no_weights_file_is_refused_in_one_line(tmp_path: Path, tiny_weights: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    (tmp_path / "cut.safetensors").write_bytes(tiny_weights.read_bytes()[:-100])
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("missing", "empty", "noise.safetensors", "cut.safetensors", "other.safetensors"):
        with pytest.raises(WeightsError) as caught:
            DyNet.from_pretrained(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tensors_that_do_not_fit_the_configuration_inside_are_refused(tiny: DyNet, tmp_path: Path) -> None:
    tiny.output = torch.nn.Conv2d(8, 3, 1, bias=False)
    tiny.save(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"output\.weight") as caught:
        DyNet.from_pretrained(tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
