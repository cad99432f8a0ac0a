"""The folder for ComfyUI, loaded as ComfyUI loads custom nodes and upscale models."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from dynet import DyNet
from dynet.exporting.comfyui_folder import MODEL_FOLDER, NODE_FOLDER
from dynet.spandrel.architecture import ARCHITECTURE_ID

spandrel = pytest.importorskip("spandrel")

Command = Callable[..., tuple[int, str, str]]
TILE, OVERLAP = 512, 32


@pytest.fixture(autouse=True)
def _registry_as_spandrel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = spandrel.MAIN_REGISTRY
    for name in ("_architectures", "_ordered", "_by_id"):
        monkeypatch.setattr(registry, name, getattr(registry, name))


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """The folders of an installation of ComfyUI that matter here."""
    for name in ("custom_nodes", "models"):
        (tmp_path / "ComfyUI" / name).mkdir(parents=True)
    return tmp_path / "ComfyUI"


def import_custom_node(folder: Path) -> Any:
    """Import a folder of custom_nodes under a name of its path, as `nodes.load_custom_node` does."""
    spec = importlib.util.spec_from_file_location(str(folder).replace(".", "_x_"), folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def load_upscale_model(file: Path) -> Any:
    """Load a file as the node UpscaleModelLoader does: its tensors alone, one by one, on the CPU."""
    with safe_open(file, framework="pt", device="cpu") as tensors:
        state_dict = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    if "module.layers.0.residual_group.blocks.0.norm1.weight" in state_dict:
        state_dict = {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}
    model = spandrel.ModelLoader().load_from_state_dict(state_dict).eval()
    assert isinstance(model, spandrel.ImageModelDescriptor)
    return model


def upscale(model: Any, image: Tensor) -> Tensor:
    """Restore (1, H, W, 3) in tiles, blended in straight lines, as the node ImageUpscaleWithModel does."""
    model.to(torch.device("cpu"))
    x = image.movedim(-1, -3)
    total, weights = torch.zeros_like(x), torch.zeros(1, 1, *x.shape[-2:])
    for top in starts(x.shape[-2]):
        for left in starts(x.shape[-1]):
            tile = x[..., top : top + TILE, left : left + TILE]
            weight = torch.outer(*(ramp(side) for side in tile.shape[-2:]))
            total[..., top : top + TILE, left : left + TILE] += model(tile) * weight
            weights[..., top : top + TILE, left : left + TILE] += weight
    model.to("cpu")
    return (total / weights).movedim(-3, -1).clamp(0, 1)


def starts(length: int) -> list[int]:
    return list(range(0, length - OVERLAP, TILE - OVERLAP)) if length > TILE else [0]


def ramp(length: int) -> Tensor:
    rising = (torch.arange(length) + 1).clamp(max=OVERLAP) / OVERLAP
    return rising * rising.flip(0)


def test_the_folders_make_comfyui_load_and_run_both_variants(
    comfyui: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    options = ["--weights", tiny_weights, "--variants", "S,L", "--format", "comfyui", "--out", comfyui]
    code, out, error = dynet_command("export", *options)
    assert code == 0, error
    assert out.splitlines()[-1] == str(comfyui / NODE_FOLDER)
    node = import_custom_node(comfyui / NODE_FOLDER)
    assert node.NODE_CLASS_MAPPINGS == {}
    network = DyNet.from_pretrained(tiny_weights)
    image = torch.rand(1, 40, 530, 3)
    for variant in network.variants:
        model = load_upscale_model(comfyui / MODEL_FOLDER / f"dynet-{variant.name}.safetensors")
        assert model.architecture.id == ARCHITECTURE_ID
        restored = upscale(model, image)
        assert restored.shape == image.shape
        with torch.inference_mode():  # the first tile, before the overlap
            expected = network(image[:, :, :TILE].movedim(-1, -3), variant).movedim(-3, -1).clamp(0, 1)
        assert torch.allclose(restored[:, :, : TILE - OVERLAP], expected[:, :, : TILE - OVERLAP], atol=1e-6)


def test_without_the_node_comfyui_does_not_know_the_file(
    comfyui: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    dynet_command("export", "--weights", tiny_weights, "--variants", "S", "--format", "comfyui", "--out", comfyui)
    with pytest.raises(spandrel.UnsupportedModelError):
        load_upscale_model(comfyui / MODEL_FOLDER / "dynet-S.safetensors")


def test_the_folder_has_what_its_readme_says(comfyui: Path, tiny_weights: Path, dynet_command: Command) -> None:
    options = ["--weights", tiny_weights, "--variants", "S", "--format", "comfyui", "--out", comfyui]
    assert dynet_command("export", *options)[0] == 0
    names = {path.name for path in (comfyui / NODE_FOLDER).iterdir()}
    assert names == {"__init__.py", "README.md", "requirements.txt"}
    readme = (comfyui / NODE_FOLDER / "README.md").read_text()
    assert "pip install -r requirements.txt" in readme
    assert (comfyui / NODE_FOLDER / "requirements.txt").read_text() == "million-ird[spandrel]\n"
    code, _, error = dynet_command("export", *options)
    assert (code, error.count("\n")) == (2, 1)
    assert "--overwrite replaces it" in error


def test_a_file_in_place_of_the_node_is_refused_before_anything_is_written(
    comfyui: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    (comfyui / NODE_FOLDER).write_text("")
    code, _, error = dynet_command("export", "--weights", tiny_weights, "--format", "comfyui", "--out", comfyui)
    assert (code, error.count("\n")) == (2, 1)
    assert f"cannot write files to {comfyui / NODE_FOLDER}" in error
    assert not (comfyui / MODEL_FOLDER).exists()


def test_a_folder_that_is_not_comfyui_stays_as_it_was(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    options = ["--weights", tiny_weights, "--format", "comfyui", "--out", tmp_path]
    code, _, error = dynet_command("export", *options)
    assert (code, error.count("\n")) == (2, 1)
    assert "must be the folder of ComfyUI" in error
    assert not list(tmp_path.iterdir())


def test_the_command_writes_one_file_for_spandrel_and_says_that_nothing_differs(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    file = tmp_path / "S.safetensors"
    options = ["--weights", tiny_weights, "--variants", "S", "--format", "spandrel", "--local-statistics", "64"]
    code, out, error = dynet_command("export", *options, "--out", file)
    assert code == 0, error
    *differences, last = out.splitlines()
    assert last == str(file)
    assert len(differences) > 4
    assert all("at most 0.0e+00 from torch" in line for line in differences)
    with safe_open(file, framework="pt") as tensors:
        assert tensors.get_tensor("dynet_local_statistics").item() == 64
        assert tensors.get_tensor("reuse_schedule").tolist() == [2, 3, 3, 4]


def test_local_statistics_are_refused_where_a_file_has_none(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    options = ["--weights", tiny_weights, "--format", "torch-export", "--local-statistics", "96"]
    code, _, error = dynet_command("export", *options, "--out", tmp_path / "S.pt2")
    assert (code, error.count("\n")) == (2, 1)
    assert "--local-statistics: not with --format torch-export" in error
