"""What helps a training of minutes to hours on two processor cores? The settings of `dynet_laptop.yaml`, one by one.

    python benchmarks/studies/laptop.py

Every run takes about as many passes over about as many pixels, on noise of any strength, JPEG and rain, and differs
from the first in one setting. The sandwich has two passes a step and half the steps; `pre-trained` has half of its
steps in each stage.
"""

from pathlib import Path
from typing import Any

from runs import Run, Scale, finetuning, pretraining
from spread import chart, difference, seconds_of_a_step, table, values, verdict
from study import main

NAME = "laptop"
BASELINE = "AdamW, 2e-3"
TASKS = {
    "denoise": {"weight": 3, "degradations": [{"kind": "gaussian_noise", "sigma": [0, 50]}]},
    "dejpeg": {"weight": 1, "degradations": [{"kind": "jpeg", "quality": [10, 60]}]},
    "derain": {"weight": 1, "degradations": [{"kind": "rain"}]},
}


def _settings(scale: Scale) -> dict[str, dict[str, Any]]:
    """Return the keys of the recipe that each run changes."""
    steps, crop, batch, rate = scale.pretrain_steps, scale.crop, scale.batch, scale.learning_rate
    return {
        BASELINE: {},
        "AdamW, 4e-3": {"learning_rate": 2 * rate},
        "Muon, 2e-3": {"optimizer": "muon"},
        "Muon, 4e-3": {"optimizer": "muon", "learning_rate": 2 * rate},
        "constant rate": {"schedule": "constant"},
        "averaged weights": {"ema": 0.99},
        "spectra in the loss": {"frequency_loss": 0.1},
        "growing crops": {
            "crop": max(crop * 2 // 3, 16),
            "batch": batch * 2,
            "larger_crops": [{"from_step": steps * 2 // 3, "crop": crop * 4 // 3, "batch": max(batch // 2, 1)}],
        },
        "larger batches late": {
            "batch": max(batch // 2, 1),
            "larger_crops": [{"from_step": steps // 2 + 1, "crop": crop, "batch": batch * 3 // 2}],
        },
        "late sandwich": {"policy": "sandwich", "distil_from_step": steps // 6, "steps": max(steps // 2, 2)},
    }


def plan(scale: Scale) -> list[Run]:
    """Return a run for each setting, and one that starts from a pre-training."""
    runs = [
        finetuning(name, **{"steps": scale.pretrain_steps, "tasks": TASKS} | changes)
        for name, changes in _settings(scale).items()
    ]
    half = max(scale.pretrain_steps // 2, 2)
    return [*runs, finetuning("pre-trained", half, init=pretraining("dynamic", half), tasks=TASKS)]


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each setting."""
    names = [run.name for run in plan(scale)]
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines, words = [], []
    for name in names:
        cells = [str(values(rows, name, *column)) for column in columns]
        lines.append([name, f"{seconds_of_a_step(rows, name):.3f}", *cells])
        for column in columns if name != BASELINE else ():
            gain = difference(values(rows, name, *column), values(rows, BASELINE, *column))
            words.append(verdict(f"{name}, {', '.join(column)}", gain))
    bars = {f"{v}, {t}": {name: values(rows, name, v, t) for name in names} for v, t in columns}
    chart(chart_file, "Settings for a small budget", bars, BASELINE)
    heads = ["setting", "s a step", *(f"{variant}, {task}" for variant, task in columns)]
    against = f"Against {BASELINE}:\n\n"
    return table(heads, lines) + "\n\n" + against + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
