"""Optional dependencies: what to install for a module that only an extra of this distribution brings."""

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from dynet.errors import MissingExtra

_DEMO, _EXPORT, _TRAIN = ("'million-ird[demo]'", "'million-ird[export]'", "'million-ird[train]'")
_NCNN, _SPANDREL = ("'million-ird[ncnn]'", "'million-ird[spandrel]'")
_FORMATS = "'million-ird[formats]'"
_SCORES = "'million-ird[scores]' (pyiqa is licensed for non-commercial use only)"
INSTALL: Mapping[str, str] = MappingProxyType(
    {
        "accelerate": _TRAIN,
        "facexlib": "--upgrade --no-deps facexlib filterpy",
        "fastapi": _DEMO,
        "gradio": _DEMO,
        "imagecodecs": _TRAIN,
        "ncnn": _NCNN,
        "onnx": _EXPORT,
        "onnxruntime": _EXPORT,
        "onnxscript": _EXPORT,
        "pnnx": _NCNN,
        "pillow_heif": _FORMATS,
        "pillow_jxl": _FORMATS,
        "pooch": _DEMO,
        "pyiqa": _SCORES,
        "safetensors": _TRAIN,
        "skimage": _DEMO,
        "spandrel": _SPANDREL,
        "starlette": _DEMO,
        "tensorboard": _TRAIN,
        "tifffile": _TRAIN,
        "torch": _TRAIN,
        "torchvision": _SCORES,
        "uvicorn": _DEMO,
        "wandb": "'million-ird[wandb]'",
    }
)
"""Top-level module: what goes after `pip install`. Any other missing module is a bug, and shows as one.

facexlib, which only pyiqa's TOPIQ needs, is in no extra: it depends on the windowed opencv-python.
"""


def require(*modules: str) -> None:
    """Check that optional modules are installed, without importing them.

    Raises:
        MissingExtra: one of them is not; the message says what to install.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(_advice(module))


def missing_extra(error: BaseException | None) -> MissingExtra | None:
    """Return what to tell the user about a failed import, or None if no extra brings the missing module."""
    while error is not None:
        module = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and module in INSTALL:
            return MissingExtra(_advice(module))
        error = error.__cause__
    return None


def _advice(module: str) -> str:
    return f"{module} is not installed: pip install {INSTALL[module]}"
