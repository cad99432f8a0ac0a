"""What the tests of dynet share: tiny networks, and a data set on disk as million_ird writes one."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from dynet import DyNet
from dynet.cli.app import main

TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
TINY_YAML = {name: list(value) if isinstance(value, tuple) else value for name, value in TINY.items()}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> DyNet:
    """A network of a few thousand weights, the same at every call."""
    torch.manual_seed(0)
    return DyNet(**TINY, refinement_blocks=1).eval()


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of such a network."""
    torch.manual_seed(0)
    model = DyNet(**TINY, refinement_blocks=1)
    folder = tmp_path_factory.mktemp("weights")
    model.save_pretrained(folder)
    return folder / "weights.safetensors"


@pytest.fixture(scope="session")
def photographs() -> list[np.ndarray]:
    """Photographs that scikit-image carries in its wheel, 8-bit RGB."""
    data = pytest.importorskip("skimage.data")
    return [data.astronaut(), data.coffee(), data.cat(), data.rocket()]


def _write_patches(folder: Path, patches: list[np.ndarray]) -> None:
    """A folder in the layout that million_ird leaves: README with configs, parquet shards of images."""
    (folder / "patches").mkdir(parents=True)
    rows = []
    for patch in patches:
        buffer = io.BytesIO()
        Image.fromarray(patch).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    ids = [f"patch-{number}" for number in range(len(rows))]
    features = {"id": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"id": ids, "image": pa.array(rows, image)}).replace_schema_metadata(metadata)
    pq.write_table(table, folder / "patches" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: patches\n  data_files:\n"
        "  - split: train\n    path: patches/train-*.parquet\n---\n# A test set\n"
    )


@pytest.fixture(scope="session")
def write_patches() -> Callable[[Path, list[np.ndarray]], None]:
    """Writes a data set of these patches to a folder."""
    return _write_patches


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory, photographs: list[np.ndarray]) -> Path:
    """Twelve 128x128 patches of the photographs."""
    folder = tmp_path_factory.mktemp("set")
    patches = [photo[y : y + 128, 100:228] for photo in photographs for y in (0, 80, 160)]
    _write_patches(folder, patches)
    return folder


@pytest.fixture(scope="session")
def released_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the released network's parameters."""
    file = Path(__file__).with_name("released_state_dict.tsv")
    with file.open() as lines:
        return {name: tuple(map(int, shape.split("x"))) for name, shape in csv.reader(lines, delimiter="\t")}


@pytest.fixture
def random_state(released_shapes: dict[str, tuple[int, ...]]) -> Callable[[int], dict[str, torch.Tensor]]:
    """Makes a random released state dict, small enough in scale to keep the activations tame."""

    def make(seed: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        state = {}
        for name, shape in released_shapes.items():
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
            scale = fan_in**-0.5 if name.endswith("weight") and len(shape) > 1 else 0.5
            state[name] = torch.randn(shape, generator=generator) * scale
        return state

    return make


def _recipe_text(of_stage: str, **changes: object) -> str:
    """A recipe small enough to train in a second, with some keys changed."""
    recipe: dict[str, object] = {
        "stage": of_stage,
        "network": {**TINY_YAML, "refinement_blocks": 1},
        "variants": {
            "S": {"schedule": [1, 1, 1, 1], "probability": 0.5},
            "L": {"schedule": [1, 2, 2, 2], "probability": 0.5},
        },
        "crop": 16,
        "batch": 2,
        "steps": 8,
        "learning_rate": 1e-3,
        "log_every": 1,
        "preview_every": 4,
        "checkpoint_every": 2,
    }
    noise = {"kind": "gaussian_noise", "sigma": 25}
    if of_stage == "pretrain":
        recipe["corruption"] = {"share": 0.5, "cell": 4, "degradations": [noise]}
        recipe["mask"] = {"share": 0.3, "cell": 4}
    else:
        recipe |= {"warmup_steps": 2, "tasks": {"denoise": {"degradations": [noise]}}}
    return yaml.safe_dump(recipe | changes, sort_keys=False)


@pytest.fixture(scope="session")
def recipe_text() -> Callable[..., str]:
    """Makes the text of a small recipe: recipe_text("pretrain", steps=3)."""
    return _recipe_text


@pytest.fixture(scope="session", autouse=True)
def _memory_is_freed() -> Iterator[None]:
    """A program keeps its memory to its end; here many run in one process, and others measure theirs after them."""
    with pytest.MonkeyPatch.context() as patch:  # of the session, so that it holds for fixtures of modules too
        patch.setattr("dynet.runtime.memory.keep_freed_memory", lambda: False)
        yield


@pytest.fixture
def dynet_command(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(str(ended.value.code)), out, err

    return run


def tiny_network(**changes: object) -> DyNet:
    """Return a narrow network with random weights, also in its untied repeats, which start at zero."""
    torch.manual_seed(0)
    model = DyNet(**{**TINY, "refinement_blocks": 1, **changes}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "repeat_" in name:
                parameter.normal_(0, 0.2)
    return model
