"""Does one dynamic pre-training of S and L cost half of two, and what does each variant gain from it?

    python benchmarks/studies/joint_pretraining.py

Each variant is fine-tuned alone in the same way after one of these, with the same number of steps N:

- `two runs`: S is pre-trained for N steps, and L for N steps;
- `one run, equal steps each`: one dynamic run of 2 N steps, in which each variant is drawn about N times: the same
  number of steps for each variant, and the same total cost as two runs;
- `one run, half the cost`: one dynamic run of N steps, the paper's "50 % fewer GPU hours";
- `none`: fine-tuning alone.
"""

from pathlib import Path
from typing import Any

from runs import L, Run, S, Scale, finetuning, pretraining
from spread import Rows, chart, difference, seconds_of_a_step, table, values, verdict
from study import main

NAME = "joint_pretraining"
ALONE = {"S": {"S": {"schedule": S}}, "L": {"L": {"schedule": L}}}
ARMS = ("none", "two runs", "one run, equal steps each", "one run, half the cost")


def plan(scale: Scale) -> list[Run]:
    """Return eight fine-tunings: each variant after each of the four."""
    steps = scale.pretrain_steps
    joint = {"one run, equal steps each": 2 * steps, "one run, half the cost": steps}
    runs = []
    for variant, alone in ALONE.items():
        inits: dict[str, Run | None] = {"none": None, "two runs": pretraining(f"{variant} alone", steps, alone)}
        inits |= {name: pretraining(name, count) for name, count in joint.items()}
        runs += [finetuning(name, scale.finetune_steps, alone, init) for name, init in inits.items()]
    return runs


def cost(rows: Rows, scale: Scale, arm: str) -> float:
    """Return the seconds to pre-train both variants: steps × the time of a step of that run."""
    steps = scale.pretrain_steps
    if arm == "none":
        return 0.0
    by_variant = {variant: seconds_of_a_step(rows, arm, "init_step_seconds", variant) for variant in "SL"}
    if arm == "two runs":
        return steps * sum(by_variant.values())
    return (2 if "equal" in arm else 1) * steps * by_variant["L"]


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and three sentences for each variant and test set."""
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines = [
        [arm, f"{cost(rows, scale, arm):.0f}", *(str(values(rows, arm, *column)) for column in columns)] for arm in ARMS
    ]
    words = []
    for variant, task in columns:
        reached = {arm: values(rows, arm, variant, task) for arm in ARMS}
        for one, other in ((ARMS[2], ARMS[1]), (ARMS[3], ARMS[1]), (ARMS[3], ARMS[0])):
            words.append(verdict(f"{variant}, {task}, {one} against {other}", difference(reached[one], reached[other])))
    bars = {f"{v}, {t}": {arm: values(rows, arm, v, t) for arm in ARMS} for v, t in columns}
    chart(chart_file, "One dynamic pre-training against two", bars, "two runs")
    heads = ["pre-training", "cost, s", *(f"{variant}, {task}" for variant, task in columns)]
    return table(heads, lines) + "\n\n" + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
