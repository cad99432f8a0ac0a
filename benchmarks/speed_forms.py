"""The forms of the network that `train_speed.py` compares, from the published one to ours, one change at a time."""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace

import torch
from published_form import Published, _Attention, _Block, _FeedForward, _Norm, published_form
from torch import nn

from dynet import DyNet
from dynet.model.blocks import ChannelAttention, ChannelNorm, GatedFeedForward
from dynet.training.compiling import compile_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The changes that are switched on; each form of a ladder has one more than the form before it."""

    adds: str
    channels_last: bool = False
    norm: bool = False  # our norm in the published network; the others likewise
    attention: bool = False
    feed_forward: bool = False
    keep_memory: bool = False
    bf16: bool = False
    compile: bool = False
    fused: bool = False
    checkpointing: bool = False

    @property
    def ours(self) -> bool:
        """Whether all parts are ours, so that `dynet.DyNet` itself runs."""
        return self.channels_last and self.norm and self.attention and self.feed_forward

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context of forward passes."""
        return torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def as_dict(self) -> dict[str, object]:
        """Return the fields, for the command line of the process that measures the form."""
        return asdict(self)


def ladder(device: torch.device, *, training: bool, compiled: bool) -> list[Form]:
    """Return the forms in order; the last one saves memory at the cost of time."""
    form = Form(adds="published: eager, float32")
    forms = [form]

    def then(adds: str, **switched: bool) -> None:
        nonlocal form
        form = replace(form, adds=adds, **switched)
        forms.append(form)

    then("channels last", channels_last=True)
    then("norm in one kernel", norm=True)
    then("attention divided by lengths", attention=True)
    then("hidden channels filled up: DyNet", feed_forward=True)
    if device.type == "cpu":
        then("freed memory kept", keep_memory=True)
    if training:
        then("optimiser in one kernel", fused=True)
    if compiled:
        then("compiled blocks", compile=True)
    then("bfloat16", bf16=True)
    if training:
        then("gradient checkpointing", checkpointing=True)
    return forms


def build(form: Form, model: DyNet, device: torch.device) -> nn.Module:
    """Return the network in this form, with copies of its weights, on the device."""
    if form.ours:
        ours = copy.deepcopy(model)
        ours.gradient_checkpointing = form.checkpointing
        if form.compile:
            compile_blocks(ours)
        return ours.to(device)
    published = published_form(model)
    for block in published.modules():
        if isinstance(block, _Block):
            _replace_parts(block, form)
    if form.channels_last:
        _to_channels_last(published)
    return published.to(device)


def _replace_parts(block: _Block, form: Form) -> None:
    if form.norm:
        block.norm1, block.norm2 = _norm(block.norm1), _norm(block.norm2)
    if form.attention:
        block.attn = _attention(block.attn)
    if form.feed_forward:
        block.ffn = _feed_forward(block.ffn)


def _norm(theirs: _Norm) -> ChannelNorm:
    ours = ChannelNorm(theirs.body.weight.numel())
    ours.load_state_dict(theirs.body.state_dict())
    return ours


def _attention(theirs: _Attention) -> ChannelAttention:
    ours = ChannelAttention(theirs.project_out.out_channels, theirs.heads)
    names = {"temperature": "temperature", "qkv.weight": "to_qkv.weight", "qkv_dwconv.weight": "mix_qkv.weight"}
    names["project_out.weight"] = "to_out.weight"
    ours.load_state_dict({names[name]: tensor for name, tensor in theirs.state_dict().items()})
    return ours


def _feed_forward(theirs: _FeedForward) -> GatedFeedForward:
    ours = GatedFeedForward(theirs.project_out.out_channels)
    names = {"project_in": "to_hidden", "dwconv": "mix_hidden", "project_out": "to_out"}
    ours.load_state_dict(
        {f"{names[name.removesuffix('.weight')]}.weight": tensor for name, tensor in theirs.state_dict().items()}
    )
    return ours


def _to_channels_last(published: Published) -> None:
    """Convert weights of four dimensions; torch cannot convert the whole network, whose prompts have five."""
    for parameter in published.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
