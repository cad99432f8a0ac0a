"""Prompts on the skips, in the decoder, at the latent alone, or nowhere?

    python benchmarks/studies/prompts.py

Training from scratch on noise and rain for the same number of steps. The paper has the prompts on the skips. PromptIR
has them in the decoder, with the same blocks and number of parameters; the other two have fewer parameters.
"""

from pathlib import Path
from typing import Any

from runs import Run, Scale, finetuning
from spread import chart, difference, table, values, verdict
from study import main

from dynet import DyNet
from dynet.config.recipe import NetworkSettings

NAME = "prompts"
ARMS = {"on the skips": "skips", "in the decoder": "decoder", "at the latent alone": "latent", "nowhere": "none"}
BASELINE = "on the skips"


def plan(scale: Scale) -> list[Run]:
    """Return a training run for each position."""
    places = {name: {} if name == BASELINE else {"prompts_at": place} for name, place in ARMS.items()}
    return [finetuning(name, scale.pretrain_steps, network=place) for name, place in places.items()]


def _parameters(scale: Scale, place: str) -> int:
    shape = NetworkSettings.model_validate(scale.network | {"prompts_at": place}).architecture()
    return sum(parameter.numel() for parameter in DyNet.from_architecture(shape).parameters())


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each position."""
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines, words = [], []
    for arm, place in ARMS.items():
        times = [row["step_seconds"] for row in rows if row["run"] == arm]
        cells = [str(values(rows, arm, *column)) for column in columns]
        lines.append([arm, f"{_parameters(scale, place):,}", f"{sum(times) / len(times):.3f}", *cells])
        for column in columns if arm != BASELINE else ():
            gain = difference(values(rows, arm, *column), values(rows, BASELINE, *column))
            words.append(verdict(f"{arm}, {', '.join(column)}", gain))
    bars = {f"{v}, {t}": {arm: values(rows, arm, v, t) for arm in ARMS} for v, t in columns}
    chart(chart_file, "Where the prompts are", bars, BASELINE)
    heads = ["prompts", "parameters", "s a step", *(f"{variant}, {task}" for variant, task in columns)]
    against = f"Against {BASELINE}:\n\n"
    return table(heads, lines) + "\n\n" + against + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
