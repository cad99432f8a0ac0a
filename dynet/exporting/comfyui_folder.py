"""`dynet export --format comfyui`: files for ComfyUI's upscale-model nodes, and the folder that makes it know DyNet."""

from importlib.resources import files as package_files
from pathlib import Path

from dynet.errors import UsageError
from dynet.exporting.files import check_files
from dynet.model.variants import Variant
from dynet.runtime.atomic_files import create_output_folder, write_atomically

NODE_FOLDER = Path("custom_nodes", "dynet-spandrel")
MODEL_FOLDER = Path("models", "upscale_models")
_NODE = '''"""DyNet in ComfyUI: makes its node "Load Upscale Model" open files of `dynet export`."""

from dynet.spandrel import register

register()

NODE_CLASS_MAPPINGS = {}
'''
_REQUIREMENTS = "million-ird[spandrel]\n"


def plan_comfyui_files(folder: Path, variants: tuple[Variant, ...], *, overwrite: bool) -> dict[Variant, Path]:
    """Return the file for each variant in an installation of ComfyUI.

    Raises:
        UsageError: The folder is no installation of ComfyUI, or a file cannot be written there.
    """
    if not all((folder / part.parts[0]).is_dir() for part in (NODE_FOLDER, MODEL_FOLDER)):
        raise UsageError(f"--out {folder}: must be the folder of ComfyUI, with custom_nodes and models in it")
    planned = {variant: folder / MODEL_FOLDER / f"dynet-{variant.name}.safetensors" for variant in variants}
    check_files(folder, planned.values(), overwrite=overwrite)
    check_files(folder, [folder / NODE_FOLDER / name for name in _node_files()], overwrite=True)
    return planned


def write_node(folder: Path) -> Path:
    """Write the folder of custom_nodes, or write it again: it is the same for all weights.

    Returns:
        The folder.

    Raises:
        UsageError: The folder cannot be written to.
    """
    node = folder / NODE_FOLDER
    create_output_folder(node)
    for name, text in _node_files().items():
        write_atomically(node / name, text)
    return node


def _node_files() -> dict[str, str]:
    """Return the texts of the folder by the names of their files."""
    readme = package_files("dynet.exporting").joinpath("comfyui.md").read_text(encoding="utf-8")
    return {"__init__.py": _NODE, "requirements.txt": _REQUIREMENTS, "README.md": readme}
