"""ONNX files, for onnxruntime and most other runtimes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dynet.exporting.one_variant import trace
from dynet.model.network import DyNet
from dynet.model.variants import Variant

# The lowest that torch writes, and the IR version that came with it: old programs refuse files with later ones. From 20
# on Gelu is one operator; here it is five, which `_order_gelus` makes recognisable.
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
    _order_gelus(proto.graph)
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


def _order_gelus(graph: Any) -> None:
    """Turn x * (0.5 * (1 + erf(…))) into (x * (1 + erf(…))) * 0.5, the order in which onnxruntime knows it as GELU.

    It then runs one operator instead of five. The results are the same bits, since a product with 0.5 is exact.
    """
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        chain = [node]
        while len(chain) < 4 and len(following := readers.get(chain[-1].output[0], [])) == 1:
            chain += following
        if [one.op_type for one in chain] == ["Erf", "Add", "Mul", "Mul"]:
            inner, outer = chain[2:]
            half, x = _other_input(inner, chain[1]), _other_input(outer, inner)
            inner.input[half], outer.input[x] = outer.input[x], inner.input[half]


def _other_input(product: Any, factor: Any) -> int:
    """Return which input of a product of two is not the output of `factor`."""
    return 1 if product.input[0] == factor.output[0] else 0


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file as a function of (B, 3, H, W) float32, run by onnxruntime on the CPU."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])

    return run
