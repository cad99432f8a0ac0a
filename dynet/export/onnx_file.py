"""ONNX files, for onnxruntime and most other runtimes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dynet.export.one_variant import trace
from dynet.model.network import DyNet
from dynet.model.variants import Variant

# The lowest that torch writes, and the IR version that came with it: old programs refuse files with later ones. From 20
# on Gelu is one operator; here it is five, which onnxruntime joins again when it loads the file.
OPSET, IR_VERSION = 18, 8
INPUT, OUTPUT = "image", "restored"
AXES = ("batch", "", "height", "width")


def serialise(model: DyNet, variant: Variant, about: Mapping[str, str]) -> bytes:
    """Return the variant as an ONNX model that onnx's checker accepts, with `about` as metadata.

    Its input is `image`, (batch, 3, height, width) float32 in [0, 1], and its output `restored` of the same shape, not
    clamped. It has no minimum size; the limits that torch reports during tracing concern torch's own kernels.
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
    proto.ir_version = IR_VERSION
    _remove_trace_notes(proto)
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES, strict=True):
            if name:
                axis.dim_param = name
    proto.producer_name, proto.producer_version = "dynet", about["dynet"]
    proto.graph.name = f"dynet_{variant.name}"
    onnx.helper.set_model_props(proto, dict(about))
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _remove_trace_notes(proto: Any) -> None:
    """Remove torch's notes on each node, which contain source lines and paths, and are half of a small file."""
    graph = proto.graph
    holders: Iterable[Any] = (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
    for holder in holders:
        del holder.metadata_props[:]
        holder.doc_string = ""
    del graph.value_info[:]  # inner sizes in terms of torch's symbols


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file as a function of (B, 3, H, W) float32, run by onnxruntime on the CPU."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])

    return run
