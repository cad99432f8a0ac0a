"""How many variants, drawn how often, and by which policy?

    python benchmarks/studies/variants_and_policies.py

Training from scratch on noise and rain for the same number of steps: two, three and five variants with equal
probability; L drawn in a quarter, half and three quarters of the steps; S and L in separate runs, at twice the cost for
both. A step of a sandwich with distillation has two passes: one run has as many steps, another half as many.
"""

from pathlib import Path
from typing import Any

from runs import BOTH, L, Run, S, Scale, finetuning
from spread import Rows, chart, difference, seconds_of_a_step, table, values, verdict
from study import main

NAME = "variants_and_policies"
BASELINE = "S and L, half each"
SCHEDULES = {"S": S, "M1": [3, 4, 4, 5], "M": [3, 4, 5, 6], "M2": [4, 5, 5, 7], "L": L}


def _drawn(**probabilities: float) -> dict[str, Any]:
    return {
        name: {"schedule": SCHEDULES[name], "probability": probability} for name, probability in probabilities.items()
    }


ARMS: dict[str, tuple[dict[str, Any], str, float]] = {
    BASELINE: (BOTH, "random", 1),
    "L in a quarter": (_drawn(S=0.75, L=0.25), "random", 1),
    "L in three quarters": (_drawn(S=0.25, L=0.75), "random", 1),
    "three variants": (_drawn(S=1, M=1, L=1), "random", 1),
    "five variants": (_drawn(S=1, M1=1, M=1, M2=1, L=1), "random", 1),
    "sandwich, same steps": (BOTH, "sandwich", 1),
    "sandwich, same cost": (BOTH, "sandwich", 0.5),
    "S alone": ({"S": {"schedule": S}}, "random", 1),
    "L alone": ({"L": {"schedule": L}}, "random", 1),
}
"""By name: variants, policy, share of the steps."""


def plan(scale: Scale) -> list[Run]:
    """Return a training run for each arm."""
    steps = scale.pretrain_steps
    return [
        finetuning(name, max(round(steps * share), 1), variants, policy=policy)
        for name, (variants, policy, share) in ARMS.items()
    ]


def seconds(rows: Rows, scale: Scale, arm: str) -> float:
    """Return the seconds of the whole training: steps × the time of a step."""
    return round(scale.pretrain_steps * ARMS[arm][2]) * seconds_of_a_step(rows, arm)


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each arm and variant compared with the policy of the paper."""
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines, words = [], []
    for arm in ARMS:
        cells = [str(values(rows, arm, variant, task)) if variant in ARMS[arm][0] else "—" for variant, task in columns]
        lines.append([arm, f"{seconds(rows, scale, arm):.0f}", *cells])
        for variant, task in columns:
            if arm != BASELINE and variant in ARMS[arm][0]:
                gain = difference(values(rows, arm, variant, task), values(rows, BASELINE, variant, task))
                words.append(verdict(f"{arm}, {variant}, {task}", gain))
    bars = {
        f"{variant}, {task}": {arm: values(rows, arm, variant, task) for arm in ARMS if variant in ARMS[arm][0]}
        for variant, task in columns
    }
    chart(chart_file, "Variants, probabilities and policies", bars, BASELINE)
    heads = ["training", "cost, s", *(f"{variant}, {task}" for variant, task in columns)]
    against = f"Against {BASELINE}:\n\n"
    return table(heads, lines) + "\n\n" + against + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
