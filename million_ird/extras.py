"""Optional dependencies: what to install for a module that only an extra of this distribution brings."""

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from million_ird.errors import MissingExtra

_SCORES = "'million-ird[scores]' (pyiqa is licensed for non-commercial use only)"
INSTALL: Mapping[str, str] = MappingProxyType(
    {
        "facexlib": "--upgrade --no-deps facexlib filterpy",
        "lmdb": "'million-ird[lmdb]'",
        "pillow_heif": "'million-ird[formats]'",
        "pillow_jxl": "'million-ird[formats]'",
        "onnxruntime": "'million-ird[text]'",
        "pyiqa": _SCORES,
        "rapidocr": "'million-ird[text]'",
        "s3fs": "'million-ird[s3]'",
        "torch": _SCORES,
        "torchvision": _SCORES,
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
    """Return what to tell the user about a failed import, or None if no extra brings the missing module.

    The causes of the error are searched, too: fsspec hides a missing module behind an ImportError of its own.
    """
    while error is not None:
        module = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and module in INSTALL:
            return MissingExtra(_advice(module))
        error = error.__cause__
    return None


def _advice(module: str) -> str:
    return f"{module} is not installed: pip install {INSTALL[module]}"
