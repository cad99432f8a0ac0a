"""ncnn files: a text of layers (.param) and their weights (.bin), made by pnnx from a trace."""

import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dynet.errors import WriteError
from dynet.exporting.files import NCNN_WEIGHTS_SUFFIX
from dynet.exporting.ncnn_form import NcnnForm
from dynet.model.network import DyNet
from dynet.model.variants import Variant

INPUT, OUTPUT = "in0", "out0"  # as pnnx names them
EXAMPLES = ((37, 53), (66, 45))  # heights and widths for pnnx: what is equal in both is fixed, so nothing is
DESCRIBED = ("dynet", "variant", "schedule", "weights_sha256")


def serialise(model: DyNet, variant: Variant, about: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Return the variant as the contents of a .param and a .bin file, for one image with sides from SMALLEST pixels.

    ncnn has no metadata. Those of DESCRIBED are the name of the input's layer, which ncnn does not use.

    Raises:
        WriteError: pnnx fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder, "network.pt")
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of torch: that sizes become constants
            torch.jit.trace(NcnnForm(model, variant), torch.zeros(1, 3, *EXAMPLES[0]), check_trace=False).save(traced)  # type: ignore[no-untyped-call]
        _run_pnnx(traced)
        param, weights = (traced.with_suffix(f".ncnn{suffix}") for suffix in (".param", NCNN_WEIGHTS_SUFFIX))
        name = ";".join(f"{key}={about[key]}" for key in DESCRIBED if key in about)
        text = param.read_text().replace(f" {INPUT} ", f" {name} ", 1)
        return text.encode(), weights.read_bytes()


def _run_pnnx(traced: Path) -> None:
    import pnnx

    shapes = (f"[1,3,{height},{width}]" for height, width in EXAMPLES)
    options = [f"{key}={shape}" for key, shape in zip(("inputshape", "inputshape2"), shapes, strict=True)]
    command = [pnnx.EXEC_PATH, str(traced), *options, "fp16=0"]  # else it rounds the weights
    done = subprocess.run(command, cwd=traced.parent, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise WriteError(f"pnnx ended with status {done.returncode}: {' '.join(last)}")


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a .param file and the .bin file beside it as a function of (1, 3, H, W) float32, run on the CPU in float32.

    Raises:
        WriteError: ncnn does not accept the files.
    """
    import ncnn

    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(NCNN_WEIGHTS_SUFFIX))):
        raise WriteError(f"{path.name}: ncnn does not load what pnnx wrote")

    def run(image: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(image[0].numpy()).clone())
        _, restored = extractor.extract(OUTPUT)
        return torch.from_numpy(np.array(restored))[None]

    return run
