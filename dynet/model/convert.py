"""Conversion of checkpoints of the released code to our weights file."""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynet.errors import WeightsError
from dynet.model.weights import Architecture, check_tensors_fit

if TYPE_CHECKING:
    from torch import Tensor

# Three 1x1 convolutions that the released network creates and never calls.
UNUSED_PARAMETERS = tuple(f"reduce_noise_channel_{level}.weight" for level in (1, 2, 3))

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


def convert(released: Path, out: Path) -> list[str]:
    """Convert a released checkpoint, a bare state dict or a Lightning one, to the weights file `out`.

    Returns:
        The unused parameters that were left out.

    Raises:
        WeightsError: The checkpoint is not one of the released network, or the name of `out` is wrong.
        WriteError: `out` cannot be written.
    """
    from dynet.model.network import DyNet

    state = _state_dict(released)
    left_out = [name for name in UNUSED_PARAMETERS if state.pop(name, None) is not None]
    architecture = _architecture(state, released)
    tensors = {converted_name(name): tensor for name, tensor in state.items()}
    for name in [name for name in tensors if name.endswith(".prompts")]:
        if tensors[name].ndim == 5:
            tensors[name] = tensors[name].squeeze(0)  # (1, prompts, C, S, S): the first axis is always 1
    model = DyNet.from_architecture(architecture)
    check_tensors_fit(released, model.state_dict(), tensors)
    model.load_state_dict(tensors)
    model.float()
    if out.suffix != ".safetensors":
        raise WeightsError(f"{out}: the weights file's name must end in .safetensors")
    model.save(out, notes={"converted_from": released.name})
    return left_out


def _state_dict(path: Path) -> "dict[str, Tensor]":
    """Return the tensors of the network from a bare state dict or a Lightning checkpoint."""
    import torch

    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} is not a checkpoint of tensors that torch reads safely: {reason}") from error
    for key in ("state_dict", "params"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(f"{path} holds no state dict")
    if any(name.startswith("net.") for name in loaded):  # Lightning; other entries are not weights of the network
        loaded = {name.removeprefix("net."): value for name, value in loaded.items() if name.startswith("net.")}
    return dict(loaded)


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
