"""Conversion of checkpoints of the released code to our weights file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.errors import WeightsError
from dynet.model.checkpoint import check_is_checkpoint, read_network
from dynet.model.output_file import check_weights_output
from dynet.model.weights import Architecture, check_tensors_fit

if TYPE_CHECKING:
    from torch import Tensor

# Three 1x1 convolutions that the released network creates and never calls.
UNUSED_PARAMETERS = tuple(f"reduce_noise_channel_{level}.weight" for level in (1, 2, 3))

_MARKER = "patch_embed.proj.weight"
"""The parameter that every released network has."""
_MAX_TENSORS = 4096
"""The released network has 200."""
_BLOCK_PARTS = {
    "norm1.body.": "norm_attention.",
    "norm2.body.": "norm_feed_forward.",
    "attn.temperature": "attention.temperature",
    "attn.qkv.": "attention.to_qkv.",
    "attn.qkv_dwconv.": "attention.mix_qkv.",
    "attn.project_out.": "attention.to_out.",
    "ffn.project_in.": "feed_forward.to_hidden.",
    "ffn.dwconv.": "feed_forward.mix_hidden.",
    "ffn.project_out.": "feed_forward.to_out.",
}
_NETWORK_PARTS = {
    "patch_embed.proj.": "embed.",
    "encoder_level1.": "encoder1.",
    "encoder_level2.": "encoder2.",
    "encoder_level3.": "encoder3.",
    "down1_2.body.0.": "down1.conv.",
    "down2_3.body.0.": "down2.conv.",
    "down3_4.body.0.": "down3.conv.",
    "up4_3.body.0.": "up3.conv.",
    "up3_2.body.0.": "up2.conv.",
    "up2_1.body.0.": "up1.conv.",
    "reduce_chan_level3.": "reduce3.",
    "reduce_chan_level2.": "reduce2.",
    "decoder_level1.": "decoder1.",
    "decoder_level2.": "decoder2.",
    "decoder_level3.": "decoder3.",
}
# prompt1 and noise_level1 are on the skip of level 2, and so on: released names count prompts, ours count levels.
for _number, _module in ((1, "prompt_skip2."), (2, "prompt_skip3."), (3, "prompt_latent.")):
    _NETWORK_PARTS |= {
        f"prompt{_number}.prompt_param": f"{_module}prompts",
        f"prompt{_number}.linear_layer.": f"{_module}choose.",
        f"prompt{_number}.conv3x3.": f"{_module}smooth.",
        f"noise_level{_number}.": f"{_module}block.",
        f"reduce_noise_level{_number}.": f"{_module}reduce.",
    }


def converted_name(released: str) -> str:
    """Return our name of a released parameter: its module in the network, then its part of the block."""
    for old, new in _NETWORK_PARTS.items():
        if released.startswith(old):
            released = new + released.removeprefix(old)
            break
    for old, new in _BLOCK_PARTS.items():
        head, separator, tail = released.partition(f".{old}")
        if separator:
            return f"{head}.{new}{tail}"
    return released


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How the tensors of a checkpoint were converted."""

    taken: str
    """The keys that lead to the network in the checkpoint; empty for a bare state dict."""
    not_taken: tuple[str, ...]
    """The keys of other networks in it, such as `params` where `params_ema` was taken."""
    left_out: tuple[str, ...]
    """The parameters of the network that it never uses."""


def convert(released: Path, out: Path, *, overwrite: bool = False) -> Conversion:
    """Convert a released checkpoint, wrapped as `dynet.model.checkpoint` says, to the weights file `out`.

    Raises:
        UsageError: `out` exists and `overwrite` is false, or its folder cannot be written to.
        WeightsError: The checkpoint is not one of the released network, one of its tensors is not of finite
            floating-point numbers, or the name of `out` is wrong.
        WriteError: `out` cannot be written.
    """
    check_weights_output(out, overwrite=overwrite)
    check_is_checkpoint(released)
    import torch  # after what needs no torch

    from dynet.model.network import DyNet

    network = read_network(released, _MARKER)
    state = dict(network.tensors)
    left_out = tuple(name for name in UNUSED_PARAMETERS if state.pop(name, None) is not None)
    _check_tensors(released, state)
    architecture = _architecture(state, released)
    tensors = {converted_name(name): tensor for name, tensor in state.items()}
    for name in [name for name in tensors if name.endswith(".prompts")]:
        if tensors[name].ndim == 5:
            tensors[name] = tensors[name].squeeze(0)  # (1, prompts, C, S, S): the first axis is always 1
    with torch.device("meta"):  # the shapes alone: a wrong one must not allocate a network that is as large
        expected = DyNet.from_architecture(architecture).state_dict()
    check_tensors_fit(released, expected, tensors)
    model = DyNet.from_architecture(architecture)
    model.load_state_dict(_finite(released, state, tensors))
    model.save(out, notes={"converted_from": released.name})
    return Conversion(taken=network.wrapper, not_taken=network.others, left_out=left_out)


def _check_tensors(path: Path, state: "Mapping[str, Tensor]") -> None:
    """Check that tensors are of floating-point numbers and that each number is stored: a stride of 0 repeats one."""
    import torch

    if len(state) > _MAX_TENSORS:
        raise WeightsError(f"{path} is not a released DyNet: it has {len(state)} tensors")
    for name, tensor in state.items():
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise WeightsError(f"{path}: tensor {name} is of {tensor.dtype}, not plain floating-point numbers")
        if tensor.is_meta or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: tensor {name} has a shape of more numbers than are stored")


def _finite(path: Path, state: "Mapping[str, Tensor]", tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return the tensors in float32; the messages name them as the checkpoint does."""
    converted = {name: tensor.float() for name, tensor in tensors.items()}
    for released in state:
        if not converted[converted_name(released)].isfinite().all():
            raise WeightsError(f"{path}: tensor {released} has values that are infinite or not a number")
    return converted


def _architecture(state: "dict[str, Tensor]", path: Path) -> Architecture:
    """Return the shape of the network, derived from its tensors."""
    try:
        prompts = [state[f"prompt{number}.prompt_param"].shape for number in (1, 2, 3)]
        levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
        heads = [state[f"{level}.attn.temperature"].shape[0] for level in levels]
        return Architecture(
            dim=state["patch_embed.proj.weight"].shape[0],
            heads=(heads[0], heads[1], heads[2], heads[3]),
            prompts=prompts[0][-4],
            prompt_channels=(prompts[0][-3], prompts[1][-3], prompts[2][-3]),
            prompt_sizes=(prompts[0][-1], prompts[1][-1], prompts[2][-1]),
            refinement_blocks=len({name.split(".")[1] for name in state if name.startswith("refinement.")}),
        )
    except KeyError as error:
        raise WeightsError(f"{path} is not a released DyNet: it has no parameter {error}") from error
    except (IndexError, ValueError) as error:
        raise WeightsError(f"{path} is not a released DyNet: {error}") from error
