"""What does each kind of bad training image cost, and does building the dataset give it back?

    python benchmarks/studies/bad_pictures.py

The same training on photographs of BSDS500 (train and test, without images of test sets), of which 25 or 50 % are
replaced by one kind of image that the default recipe drops (`spoil.py`); then by a mix of all kinds; then on what
`million-ird build` keeps of the mix. The number of steps is the same, so the kept photographs are seen more often.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from runs import Run, S, Scale, finetuning
from spoil import KINDS
from spread import Values, chart, difference, table, values, verdict
from study import main

NAME = "bad_pictures"
GOOD, MIX = "photographs only", "mix"
SIGMAS = (15, 25)
TASKS = tuple(f"CBSD68 σ {sigma}" for sigma in SIGMAS)
SETTINGS: dict[str, Any] = {
    "variants": {"S": {"schedule": S, "probability": 1.0}},
    "tasks": {"denoise": {"degradations": [{"kind": "gaussian_noise", "sigma": [5, 50]}]}},
    "optimizer": "muon",
    "ema": 0.98,
}
"""One variant, one task and averaged weights: what differs between seeds must be less than what the images cost."""

SHARES = (50, 25)
ARMS = {
    GOOD: "bsds",
    **{f"{kind}, {share} %": f"{kind}-{share}" for share in SHARES for kind in (*KINDS, MIX)},
    **{f"{MIX}, {share} %, built": f"{MIX}-{share}-built" for share in SHARES},
}
"""The dataset (`sets.py`) by the name of a run."""


def plan(scale: Scale) -> list[Run]:
    """Return a training from scratch on each dataset."""
    runs = [finetuning(name, scale.pretrain_steps, sets=(dataset,), **SETTINGS) for name, dataset in ARMS.items()]
    return [replace(run, tests=("CBSD68",), sigmas=SIGMAS) for run in runs]


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each kind: what it costs, and what building gives back."""
    measured = dict.fromkeys(row["run"] for row in rows)
    names = [name for name in ARMS if name in measured]
    reached = {task: {name: values(rows, name, "S", task) for name in names} for task in TASKS}
    lines = [[name, *(_cell(reached[task], name) for task in TASKS)] for name in names]
    words = [
        verdict(f"{name}, {task}", difference(reached[task][name], reached[task][GOOD]))
        for task in TASKS
        for name in names
        if name != GOOD
    ]
    chart(chart_file, "Training images replaced by bad ones", reached, GOOD)
    return table(["trained on", *TASKS], lines) + "\n\n" + "\n".join(f"- {word}" for word in words)


def _cell(reached: dict[str, Values], name: str) -> str:
    if name == GOOD:
        return str(reached[name])
    return f"{reached[name]} ({difference(reached[name], reached[GOOD]).mean:+.2f})"


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
