"""The runs of the studies: recipes in terms of the few values that studies change, and the scales."""

from dataclasses import dataclass
from typing import Any

S, L = [2, 3, 3, 4], [4, 6, 6, 8]
BOTH = {"S": {"schedule": S, "probability": 0.5}, "L": {"schedule": L, "probability": 0.5}}
TRAINING_SETS = ("bsds=300", "photos=31")
"""Datasets that all studies fine-tune on, with weights that are about their numbers of images."""


@dataclass(frozen=True)
class Scale:
    """The size of the runs; the field names are keys of the file of raw numbers."""

    network: dict[str, Any]
    crop: int
    batch: int
    pretrain_steps: int
    finetune_steps: int
    learning_rate: float
    precision: str
    jobs: int
    """Runs at the same time; they share the threads of the machine."""
    pictures: int | None = None
    """Number of images of each test set; None for all."""


REDUCED = {"dim": 8, "prompt_channels": [8, 16, 48], "prompt_sizes": [32, 16, 8], "refinement_blocks": 2}
SCALES = {
    "cpu": Scale(REDUCED, 48, 4, 600, 300, 2e-3, "fp32", 2, 12),
    "gpu": Scale({"dim": 48}, 128, 32, 20_000, 10_000, 2e-4, "bf16", 1),
    "smoke": Scale(
        REDUCED | {"dim": 4, "heads": [1, 1, 2, 2], "prompt_channels": [4, 8, 16], "refinement_blocks": 1},
        16, 2, 2, 2, 2e-3, "fp32", 2, 1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training run: its name in tables, and the keys of its recipe that it changes."""

    name: str
    stage: str
    changes: dict[str, Any]
    sets: tuple[str, ...] = TRAINING_SETS
    init: "Run | None" = None
    measured: bool = True
    """Whether it is evaluated; a pre-training that other runs start from is not."""
    tests: tuple[str, ...] = ("CBSD68", "Rain100L")
    """The test sets of `sets.py` that it is evaluated on."""
    sigmas: tuple[int, ...] = (25,)
    """Of the noise that is added to clean test images, in levels of 255."""


def pretraining(name: str, steps: int, variants: dict[str, Any] = BOTH, **more: Any) -> Run:
    """Return a dynamic pre-training as in the paper; `mask=0` has no black cells."""
    sets = more.pop("sets", TRAINING_SETS)
    mask = more.pop("mask", 0.3)
    changes = {
        "variants": variants,
        "steps": steps,
        "optimizer": "adam",
        "corruption": {
            "share": 0.5,
            "cell": 8,
            "degradations": [
                {"kind": "gaussian_noise", "sigma": [5, 50]},
                {"kind": "random_noise", "amplitude": [10, 90]},
                {"kind": "jpeg", "quality": [10, 60]},
            ],
        },
        "mask": {"share": mask, "cell": 8},
        **more,
    }
    return Run(name, "pretrain", changes, sets=sets, measured=False)


def finetuning(name: str, steps: int, variants: dict[str, Any] = BOTH, init: Run | None = None, **more: Any) -> Run:
    """Return a fine-tuning on noise and rain."""
    sets = more.pop("sets", TRAINING_SETS)
    changes = {
        "variants": variants,
        "steps": steps,
        "warmup_steps": max(steps // 40, 1) if steps > 1 else 0,
        "weight_decay": 1e-4,
        "tasks": {
            "denoise": {"weight": 2, "degradations": [{"kind": "gaussian_noise", "sigma": [15, 50]}]},
            "derain": {"weight": 1, "degradations": [{"kind": "rain"}]},
        },
        **more,
    }
    return Run(name, "finetune", changes, sets=sets, init=init)
