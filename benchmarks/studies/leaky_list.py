"""What would the usual list of training images have given on Rain100L?

    python benchmarks/studies/leaky_list.py

The same training twice: on BSD400 as it is usually used, which contains 67 clean targets of Rain100L's test set, and on
the images that remain with `million-ird build --exclude-benchmark`, which are fewer.
"""

from pathlib import Path
from typing import Any

from runs import Run, Scale, finetuning
from spread import chart, difference, table, values, verdict
from study import main

NAME = "leaky_list"
ARMS = ("without test pictures", "the usual list")


def plan(scale: Scale) -> list[Run]:
    """Return two training runs."""
    steps = scale.pretrain_steps + scale.finetune_steps
    return [
        finetuning(ARMS[0], steps, sets=("bsds",)),
        finetuning(ARMS[1], steps, sets=("leaky",)),
    ]


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each variant and test set."""
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines = [[arm, *(str(values(rows, arm, *column)) for column in columns)] for arm in ARMS]
    words = [
        verdict(
            f"the usual list, {variant}, {task}",
            difference(values(rows, ARMS[1], variant, task), values(rows, ARMS[0], variant, task)),
        )
        for variant, task in columns
    ]
    bars = {f"{v}, {t}": {arm: values(rows, arm, v, t) for arm in ARMS} for v, t in columns}
    chart(chart_file, "The usual list of training pictures", bars, ARMS[0])
    heads = ["trained on", *(f"{variant}, {task}" for variant, task in columns)]
    return table(heads, lines) + "\n\n" + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
