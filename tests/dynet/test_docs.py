"""The commands of the pages on training run as they are written, in order, in a folder that has what they name.

Recipes of the same names lie there, shrunk until a processor trains them in a second: a recipe in the folder one is in
goes before the shipped one.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = ("training.md", "training_data.md", "degradations.md", "evaluation.md")
PROGRAMS = ("dynet", "torchrun", "accelerate")
SMALL = {
    "network": {
        "dim": 4,
        "heads": [1, 1, 2, 2],
        "prompts": 3,
        "prompt_channels": [4, 4, 8],
        "prompt_sizes": [8, 4, 2],
        "refinement_blocks": 1,
    },
    "crop": 16,
    "batch": 2,
    "steps": 2,
    "warmup_steps": 0,
    "precision": "fp32",
    "workers": 0,
    "validation": {"every": 1, "pictures": 1},
    "log_every": 1,
    "preview_every": 2,
    "checkpoint_every": 1,
}


def commands(page: Path) -> list[str]:
    """The commands in the page's blocks, one line each."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    blocks = [text for language, text in fenced if language in ("", "bash", "sh")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().split(" ")[0] in PROGRAMS]


def of_this_machine(command: str) -> list[str]:
    """The command for two processes of a processor where it is for eight GPUs."""
    words = ["2" if word == "8" else word for word in shlex.split(command) if word != "--multi_gpu"]
    if words[0] == "accelerate":
        words[2:2] = ["--cpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    if "train" in words:
        words += ["--device", "cpu"]
    words[0] = str(Path(sys.executable).parent / words[0])
    return words


@pytest.fixture
def place(
    tmp_path: Path, photographs: list[np.ndarray], write_patches: Callable[[Path, list[np.ndarray]], None]
) -> Path:
    """A folder with the data, the pictures and the recipes that the pages name."""
    pieces = [photograph[y : y + 64, 100:164] for photograph in photographs for y in (0, 80, 160)]
    write_patches(tmp_path / "my-set", pieces)
    save(tmp_path / "Train" / "Denoise", {f"{n}.png": piece for n, piece in enumerate(pieces)})
    for folder, names in {
        "Train/Derain": ("rainy/rain-{}.png", "gt/norain-{}.png"),
        "Train/Dehaze": ("synthetic/{}_0.8_0.2.png", "original/{}.png"),
        "Train/Deblur": ("blur/{}.png", "sharp/{}.png"),
        "Train/Enhance": ("low/{}.png", "high/{}.png"),
        "RainPairs": ("input/{}.png", "target/{}.png"),
        "benchmarks/Rain100L": ("input/{}.png", "target/{}.png"),
    }.items():
        for side in names:
            save(tmp_path / folder, {side.format(n): piece for n, piece in enumerate(pieces)})
    save(tmp_path / "benchmarks/CBSD68", {f"{n}.png": piece for n, piece in enumerate(pieces[:2])})
    for file in (ROOT / "pipelines").glob("dynet_*.yaml"):
        (tmp_path / file.name).write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | SMALL))
    return tmp_path


def save(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_runs(name: str, place: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    told = commands(ROOT / "docs" / name)
    assert told
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for file, tasks in re.findall(r"`(\w+\.yaml)`:\n\n```yaml\n(tasks:.*?)```", page, re.DOTALL):
        base = yaml.safe_load((place / "dynet_finetune_3task.yaml").read_text())
        (place / file).write_text(yaml.safe_dump(base | {"exclude": []} | yaml.safe_load(tasks)))
    for command in told:
        done = subprocess.run(
            of_this_machine(command), cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
