"""The released network, written down a second time from the paper's description, on the released names.

Plain functions over a dictionary of tensors and nothing of dynet: what it agrees on with the package was not copied.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, linear, pixel_shuffle, pixel_unshuffle, softmax

State = dict[str, Tensor]


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
    for picture in range(batch):
        q, k, v = y[picture].reshape(3, heads, channels // heads, height * width)
        for head in range(heads):
            unit_q = q[head] / q[head].norm(dim=1, keepdim=True)
            unit_k = k[head] / k[head].norm(dim=1, keepdim=True)
            weights = softmax(unit_q @ unit_k.T * part["attn.temperature"][head], dim=1)
            share = channels // heads
            out[picture, head * share : (head + 1) * share] = (weights @ v[head]).reshape(share, height, width)
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


def released_forward(state: State, picture: Tensor, schedule: tuple[int, int, int, int]) -> Tensor:
    """picture: (B, 3, H, W), H and W multiples of 8, to the restored picture."""

    def repeat(name: str, x: Tensor, level: int) -> Tensor:
        for _ in range(schedule[level]):
            x = _block(state, name, x)
        return x

    def down(name: str, x: Tensor) -> Tensor:
        return pixel_unshuffle(conv2d(x, state[f"{name}.body.0.weight"], padding=1), 2)

    def up(name: str, x: Tensor) -> Tensor:
        return pixel_shuffle(conv2d(x, state[f"{name}.body.0.weight"], padding=1), 2)

    one = repeat("encoder_level1", conv2d(picture, state["patch_embed.proj.weight"], padding=1), 0)
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
    return conv2d(x, state["output.weight"], padding=1) + picture
