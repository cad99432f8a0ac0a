"""Checkpoints convert to the same tensors however they are wrapped, and no other file is more than one line."""

import argparse
import io
import itertools
import pathlib
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dynet import DyNet
from dynet.errors import WeightsError
from dynet.model import checkpoint
from dynet.model.convert import Conversion, convert, converted_name
from dynet.model.weights import read_tensors

State = dict[str, Tensor]
Command = Callable[..., tuple[int, str, str]]
MARKER = "patch_embed.proj.weight"


@pytest.fixture
def released(tiny: DyNet, released_shapes: dict[str, tuple[int, ...]]) -> State:
    """The weights of a tiny network under the released names."""
    ours = tiny.state_dict()
    names = {name: converted_name(name) for name in released_shapes}
    return {
        name: ours[new][None] if new.endswith(".prompts") else ours[new] for name, new in names.items() if new in ours
    }


def converted(folder: Path, saved: object) -> tuple[State, Conversion]:
    torch.save(saved, folder / "net.pth")
    conversion = convert(folder / "net.pth", folder / "net.safetensors", overwrite=True)
    return read_tensors(folder / "net.safetensors"), conversion


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def prefixed(prefix: str, state: State) -> State:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def infixed(infix: str, state: State) -> State:
    """Rename as when each block was wrapped by itself."""
    return {
        name.replace(".attn.", f".attn.{infix}").replace("output.", f"output.{infix}"): state[name] for name in state
    }


WRAPPERS: dict[str, Callable[[object], object]] = {
    "none": lambda inner: inner,
    "BasicSR": lambda inner: {"params": inner},
    "BasicSR, averaged": lambda inner: {"params_ema": inner},
    "Lightning": lambda inner: {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": inner,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
        "hyper_parameters": {"lr": np.float64(1e-4), "options": argparse.Namespace(epochs=3)},
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(31.2), "folder": pathlib.Path("runs")}},
    },
    "timm": lambda inner: {"model": inner, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
    "an average": lambda inner: {"ema": inner, "step": torch.tensor(4)},
    "other": lambda inner: {"network": {"generator": inner}, "iter": 7},
}
PREFIXES = ("", "module.", "_orig_mod.", "net.", "model.", "net._orig_mod.", "module.model.", "_orig_mod.module.net_g.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_wrapper_and_prefix_gives_the_same_tensors(
    tmp_path: Path, tiny: DyNet, released: State, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrap in WRAPPERS.values():
        torch.save(wrap(prefixed(prefix, released)), tmp_path / "net.pth")
        assert equal(dict(checkpoint.read_network(tmp_path / "net.pth", MARKER).tensors), released)
    assert equal(converted(tmp_path, wrap(prefixed(prefix, released)))[0], tiny.state_dict())
    # Without the time for a file: wrappers in wrappers, and in the network.
    for outer, inner, infix in itertools.product(WRAPPERS, WRAPPERS, ("", "module.", "_orig_mod.")):
        wrapped = WRAPPERS[outer](WRAPPERS[inner](prefixed(prefix, infixed(infix, released))))
        monkeypatch.setattr(checkpoint, "_load", lambda _, wrapped=wrapped: wrapped)
        found = checkpoint.read_network(tmp_path / "net.pth", MARKER)
        assert equal(dict(found.tensors), released), (outer, inner, infix)
        assert found.wrapper.endswith(prefix.removesuffix("."))
        assert found.others == ()


def test_what_torch_itself_wraps_gives_the_same_tensors(tmp_path: Path, tiny: DyNet, released: State) -> None:
    """The names come from torch's own wrappers around a module with the released names."""

    def module() -> nn.Module:
        root = nn.Module()
        for name, tensor in released.items():
            *parts, leaf = name.split(".")
            parent = root
            for part in parts:
                if not hasattr(parent, part):
                    parent.add_module(part, nn.Module())
                parent = getattr(parent, part)
            parent.register_parameter(leaf, nn.Parameter(tensor.clone()))
        return root

    averaged = torch.optim.swa_utils.AveragedModel(module())
    assert "n_averaged" in averaged.state_dict()
    both = nn.Module()
    both.net = module()
    both.fast = torch.compile(both.net)  # the same weights under two names
    for wrapped in (torch.compile(module()), averaged, nn.DataParallel(module()), both):
        tensors, _ = converted(tmp_path, {"state_dict": wrapped.state_dict()})
        assert equal(tensors, tiny.state_dict())


@pytest.mark.parametrize(
    ("averaged", "latest"),
    [
        ("params_ema", "params"),
        ("ema", "model"),
        ("ema_state_dict", "state_dict"),
        ("state_dict_ema", "state_dict"),
        ("model_ema", "model"),
        ("state_dict", "current_model_state"),
    ],
)
def test_the_averaged_weights_are_taken_and_named(
    tmp_path: Path, tiny: DyNet, released: State, averaged: str, latest: str, dynet_command: Command
) -> None:
    other = {name: tensor + 1 for name, tensor in released.items()}
    for order in ((averaged, latest), (latest, averaged)):
        tensors, conversion = converted(tmp_path, {key: released if key == averaged else other for key in order})
        assert equal(tensors, tiny.state_dict())
        assert (conversion.taken, conversion.not_taken) == (averaged, (latest,))
    code, out, err = dynet_command("convert", tmp_path / "net.pth", tmp_path / "net.safetensors", "--overwrite")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [f"not taken: {latest}", f"taken: {averaged}"]


def test_prefixes_in_one_state_dict_are_networks_too(tmp_path: Path, tiny: DyNet, released: State) -> None:
    other = {name: tensor + 1 for name, tensor in released.items()}
    both = {**prefixed("net.", other), **prefixed("net_ema.module.", released), "loss.weight": torch.ones(3)}
    tensors, conversion = converted(tmp_path, {"state_dict": both})
    assert equal(tensors, tiny.state_dict())
    assert conversion.taken == "state_dict.net_ema.module"


def test_two_different_networks_are_refused_by_name(tmp_path: Path, released: State) -> None:
    other = {name: tensor + 1 for name, tensor in released.items()}
    with pytest.raises(WeightsError, match="several networks, and it is not clear which to take: student, teacher"):
        converted(tmp_path, {"teacher": other, "student": released})


def test_safetensors_of_accelerate_and_other_number_formats_convert(
    tmp_path: Path, tiny: DyNet, released: State
) -> None:
    save_file(
        {name: tensor.clone() for name, tensor in prefixed("module.", released).items()}, tmp_path / "model.safetensors"
    )
    convert(tmp_path / "model.safetensors", tmp_path / "net.safetensors")
    assert equal(read_tensors(tmp_path / "net.safetensors"), tiny.state_dict())
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        tensors, _ = converted(tmp_path, {name: tensor.to(dtype) for name, tensor in released.items()})
        assert equal(tensors, {name: tensor.to(dtype).float() for name, tensor in tiny.state_dict().items()})
    torch.save({"params": released}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    convert(tmp_path / "old.pth", tmp_path / "net.safetensors", overwrite=True)
    assert equal(read_tensors(tmp_path / "net.safetensors"), tiny.state_dict())


def _refused(path: Path, dynet_command: Command) -> str:
    """Return the one line that the command prints; it has no advice of torch, and no terminal codes."""
    code, out, err = dynet_command("convert", path, path.parent / "out.safetensors")
    assert (code, out) == (2, ""), err
    assert err.startswith(f"dynet: {path}")
    assert err.count("\n") == 1
    assert not any(word in err for word in ("\x1b", "torch.load", "weights_only", "PyTorch", "http"))
    assert not (path.parent / "out.safetensors").exists()
    return err


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_tensor_that_is_not_finite_is_named(
    tmp_path: Path, released: State, value: float, dynet_command: Command
) -> None:
    for name in (MARKER, "encoder_level2.attn.temperature", "prompt1.prompt_param", "refinement.0.norm1.body.bias"):
        spoilt = released[name].double()
        spoilt.view(-1)[-1] = value
        torch.save({"params": {**released, name: spoilt}}, tmp_path / "net.pth")
        assert f"tensor {name} has values that are infinite or not a number" in _refused(
            tmp_path / "net.pth", dynet_command
        )


def test_tensors_of_other_kinds_and_of_repeated_numbers_are_named(
    tmp_path: Path, released: State, dynet_command: Command
) -> None:
    huge = torch.ones(1, 3, 3, 3).expand(10**9, 3, 3, 3)  # one number a row, stored once
    kinds = {
        "whole numbers": (released[MARKER].int(), f"tensor {MARKER} is of torch.int32"),
        "complex": (released[MARKER].cfloat(), f"tensor {MARKER} is of torch.complex64"),
        "sparse": (released[MARKER].to_sparse(), f"tensor {MARKER} is of torch.float32, not plain"),
        "repeated": (huge, f"tensor {MARKER} has a shape of more numbers than are stored"),
        "meta": (released[MARKER].to("meta"), f"tensor {MARKER} has a shape of more numbers than are stored"),
    }
    for kind, (tensor, message) in kinds.items():
        torch.save({**released, MARKER: tensor}, tmp_path / "net.pth")
        assert message in _refused(tmp_path / "net.pth", dynet_command), kind


class Whole(nn.Module):
    """A module, of which pickle stores the name of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)


def test_a_whole_module_is_one_line_that_names_its_class(tmp_path: Path, dynet_command: Command) -> None:
    for number, saved in enumerate((Whole(), {"model": Whole()}, {"params": {}, "net": [Whole()]})):
        for zipped in (True, False):
            torch.save(saved, tmp_path / f"{number}.pth", _use_new_zipfile_serialization=zipped)
            err = _refused(tmp_path / f"{number}.pth", dynet_command)
            assert "holds objects of Python, such as " in err
            assert "Whole, whose code is not run; save its state_dict() instead" in err


def _bytes_of(saved: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


def _deep() -> dict[str, object]:
    inner: dict[str, object] = {}
    inner["itself"] = inner
    for _ in range(50):
        inner = {"inner": inner}
    return inner


OTHER_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"not a checkpoint",
    "web page": lambda: b"<!DOCTYPE html><html>",
    "git-lfs": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "plain pickle": lambda: pickle.dumps({"weight": np.zeros(3)}),
    "a call": lambda: pickle.dumps(defaultdict(print)),
    "cut": lambda: _bytes_of({MARKER: torch.zeros(4, 3, 3, 3)})[:300],
    "other tensors": lambda: _bytes_of({"conv.weight": torch.zeros(4, 3, 3, 3)}),
    "a list": lambda: _bytes_of([torch.zeros(4)]),
    "a number": lambda: _bytes_of(3),
    "nothing": lambda: _bytes_of({}),
    "without end": lambda: _bytes_of(_deep()),
    "large allocation": lambda: b"\x80\x02cbuiltins\nbytearray\n\x8a\x07\0\0\0\0\0\0\x7f\x85R.",
    "a zip": lambda: _zip({"readme.txt": b"text"}),
    "TorchScript": lambda: _zip({"net/constants.pkl": pickle.dumps(()), "net/data.pkl": b"", "net/version": b"3"}),
    "a header without end": lambda: struct.pack("<Q", 10**15) + b'{"a":',
    "no safetensors": lambda: struct.pack("<Q", 6) + b'{"a":1',
}


def _zip(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_any_other_file_is_one_line(tmp_path: Path, kind: str, dynet_command: Command) -> None:
    (tmp_path / "net.pth").write_bytes(OTHER_FILES[kind]())
    _refused(tmp_path / "net.pth", dynet_command)


def test_content_of_more_than_a_checkpoint_needs_is_refused_before_torch_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch has read it"))
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/0", bytes(10**6 + 1))
    (tmp_path / "large.pth").write_bytes(b"\x80" + bytes(10**6))
    assert (tmp_path / "bomb.pth").stat().st_size < 2000
    for name in ("bomb.pth", "large.pth"):
        with pytest.raises(WeightsError, match=rf"{name}: 0\.0 GB of content; a checkpoint of a DyNet has less than"):
            convert(tmp_path / name, tmp_path / "out.safetensors")
