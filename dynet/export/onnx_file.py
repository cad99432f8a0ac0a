"""ONNX: what onnxruntime, and most programs that are not torch, can run."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dynet.export.one_variant import trace
from dynet.model.network import DyNet
from dynet.model.variants import Variant

# The first in which Gelu is one operator; before, it is five that each write all hidden channels to memory.
OPSET = 20
INPUT, OUTPUT = "image", "restored"
AXES = ("batch", "", "height", "width")


def serialise(model: DyNet, variant: Variant, about: Mapping[str, str]) -> bytes:
    """The variant as an ONNX model that onnx's checker accepts, with `about` among its metadata.

    Input `image` (batch, 3, height, width) float32 in [0, 1], output `restored` of the same shape, not clamped. It has
    no minimum size: those that torch names while tracing are of torch's own kernels.
    """
    import onnx

    program = torch.onnx.export(
        trace(model, variant, any_batch=True),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto = program.model_proto
    _forget_the_machine(proto)
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES, strict=True):
            if name:
                axis.dim_param = name
    proto.producer_name, proto.producer_version = "dynet", about["dynet"]
    proto.graph.name = f"dynet_{variant.name}"
    onnx.helper.set_model_props(proto, dict(about))
    onnx.checker.check_model(proto, full_check=True)
    written: bytes = proto.SerializeToString(deterministic=True)
    return written


def _forget_the_machine(proto: Any) -> None:
    """Take out what torch notes of each node, among it lines of source with their folders: half of a small file."""
    graph = proto.graph
    holders: Iterable[Any] = (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
    for holder in holders:
        del holder.metadata_props[:]
        holder.doc_string = ""
    del graph.value_info[:]  # sizes within, by the names of torch's symbols


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """The file as a function of (B, 3, H, W) float32, run by onnxruntime on the CPU."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])

    return run
