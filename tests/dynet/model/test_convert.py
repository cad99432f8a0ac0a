"""Released weights come over to the last value, and what does not fit is refused in one line."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, linear, pixel_shuffle, pixel_unshuffle, softmax

from dynet import LARGE, SMALL, DyNet, Variant
from dynet.errors import UsageError, WeightsError
from dynet.model.convert import UNUSED_PARAMETERS, convert

State = dict[str, Tensor]

# The released network, written down a second time from the paper's description, on the released names: plain functions
# over a dictionary of tensors and nothing of dynet, so that what it agrees on with the package was not copied.


def _norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).square().mean(1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w[:, None, None] + b[:, None, None]


def _depthwise(x: Tensor, w: Tensor) -> Tensor:
    return conv2d(x, w, padding=1, groups=x.shape[1])


def _block(state: State, name: str, x: Tensor) -> Tensor:
    part = {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}
    y = _norm(x, part["norm1.body.weight"], part["norm1.body.bias"])
    y = _depthwise(conv2d(y, part["attn.qkv.weight"]), part["attn.qkv_dwconv.weight"])
    batch, channels, height, width = x.shape
    heads = part["attn.temperature"].shape[0]
    out = torch.empty_like(x)
    for image in range(batch):
        q, k, v = y[image].reshape(3, heads, channels // heads, height * width)
        for head in range(heads):
            unit_q = q[head] / q[head].norm(dim=1, keepdim=True)
            unit_k = k[head] / k[head].norm(dim=1, keepdim=True)
            weights = softmax(unit_q @ unit_k.T * part["attn.temperature"][head], dim=1)
            share = channels // heads
            out[image, head * share : (head + 1) * share] = (weights @ v[head]).reshape(share, height, width)
    x = x + conv2d(out, part["attn.project_out.weight"])
    y = _norm(x, part["norm2.body.weight"], part["norm2.body.bias"])
    y = _depthwise(conv2d(y, part["ffn.project_in.weight"]), part["ffn.dwconv.weight"])
    first, second = y[:, : y.shape[1] // 2], y[:, y.shape[1] // 2 :]
    return x + conv2d(gelu(first) * second, part["ffn.project_out.weight"])


def _prompt(state: State, number: int, x: Tensor) -> Tensor:
    mean = x.mean((2, 3))
    weights = softmax(
        linear(mean, state[f"prompt{number}.linear_layer.weight"], state[f"prompt{number}.linear_layer.bias"]), 1
    )
    prompt = (weights[:, :, None, None, None] * state[f"prompt{number}.prompt_param"]).sum(1)
    prompt = interpolate(prompt, x.shape[2:], mode="bilinear", align_corners=False)
    prompt = conv2d(prompt, state[f"prompt{number}.conv3x3.weight"], padding=1)
    x = _block(state, f"noise_level{number}", torch.cat([x, prompt], 1))
    return conv2d(x, state[f"reduce_noise_level{number}.weight"])


def released_forward(state: State, image: Tensor, schedule: tuple[int, int, int, int]) -> Tensor:
    """image: (B, 3, H, W), H and W multiples of 8, to the restored image."""

    def repeat(name: str, x: Tensor, level: int) -> Tensor:
        for _ in range(schedule[level]):
            x = _block(state, name, x)
        return x

    def down(name: str, x: Tensor) -> Tensor:
        return pixel_unshuffle(conv2d(x, state[f"{name}.body.0.weight"], padding=1), 2)

    def up(name: str, x: Tensor) -> Tensor:
        return pixel_shuffle(conv2d(x, state[f"{name}.body.0.weight"], padding=1), 2)

    one = repeat("encoder_level1", conv2d(image, state["patch_embed.proj.weight"], padding=1), 0)
    two = repeat("encoder_level2", down("down1_2", one), 1)
    three = repeat("encoder_level3", down("down2_3", two), 2)
    x = repeat("latent", down("down3_4", three), 3)
    x = up("up4_3", _prompt(state, 3, x))
    x = conv2d(torch.cat([x, _prompt(state, 2, three)], 1), state["reduce_chan_level3.weight"])
    x = up("up3_2", repeat("decoder_level3", x, 2))
    x = conv2d(torch.cat([x, _prompt(state, 1, two)], 1), state["reduce_chan_level2.weight"])
    x = up("up2_1", repeat("decoder_level2", x, 1))
    x = repeat("decoder_level1", torch.cat([x, one], 1), 0)
    for number in range(4):
        x = _block(state, f"refinement.{number}", x)
    return conv2d(x, state["output.weight"], padding=1) + image


@pytest.mark.parametrize(("lightning", "variant"), [(False, SMALL), (True, LARGE)], ids=["plain-S", "lightning-L"])
def test_converted_weights_compute_the_same_as_the_released_ones(
    tmp_path: Path, random_state: Callable[[int], State], lightning: bool, variant: Variant
) -> None:
    state = random_state(7)
    saved: object = state
    if lightning:
        saved = {"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    torch.save(saved, tmp_path / "released.ckpt")
    assert convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors").left_out == UNUSED_PARAMETERS

    model = DyNet.from_pretrained(tmp_path / "w.safetensors")
    x = torch.rand(2, 3, 24, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = released_forward(state, x, astuple(variant.schedule))
        got = model(x, variant)
    assert (expected - x).abs().max() > 0.1  # the random network does something
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)


def test_unused_parameters_are_the_112_896_of_three_convolutions(released_shapes: dict[str, tuple[int, ...]]) -> None:
    assert sum(torch.Size(released_shapes[name]).numel() for name in UNUSED_PARAMETERS) == 112_896


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("output.weight"), "1 missing, first output.weight"),
        (lambda state: state.update({"extra.weight": torch.zeros(1)}), "1 unknown, first extra.weight"),
        (lambda state: state.update({"output.weight": torch.zeros(3, 96, 1, 1)}), "output.weight is"),
        (lambda state: state.clear(), "no tensors"),
        (lambda state: state.pop("patch_embed.proj.weight"), "no parameter 'patch_embed.proj.weight'"),
        (lambda state: state.update({"output.weight": 3}), "1 missing, first output.weight"),
    ],
    ids=["missing", "unknown", "shape", "empty", "no first layer", "not tensors"],
)
def test_weights_that_do_not_fit_are_a_one_line_error(
    tmp_path: Path, random_state: Callable[[int], State], spoil: Callable[[State], object], message: str
) -> None:
    state = random_state(1)
    spoil(state)
    torch.save(state, tmp_path / "released.ckpt")
    with pytest.raises(WeightsError, match=message) as caught:
        convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "w.safetensors").exists()


def test_what_exists_is_replaced_only_where_that_is_asked(tmp_path: Path, random_state: Callable[[int], State]) -> None:
    torch.save(random_state(1), tmp_path / "released.ckpt")
    (tmp_path / "w.safetensors").write_bytes(b"trained for weeks")
    with pytest.raises(UsageError, match="exists already; --overwrite replaces it"):
        convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes() == b"trained for weeks"
    convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors", overwrite=True)
    assert (tmp_path / "w.safetensors").stat().st_size > 1000


def test_a_file_that_is_no_checkpoint_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "noise.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"noise\.ckpt is not a checkpoint") as caught:
        convert(tmp_path / "noise.ckpt", tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
