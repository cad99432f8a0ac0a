"""Is it the data, the masking, or the pre-training?

    python benchmarks/studies/pretraining_and_data.py

The same fine-tuning on noise and rain after: no pre-training; no pre-training but the same number of extra steps of
fine-tuning; dynamic pre-training, with and without black cells, on the images of a small crawl that the default recipe
keeps; the same with black cells on as many images of the crawl, drawn at random.
"""

from pathlib import Path
from typing import Any

from runs import Run, Scale, finetuning, pretraining
from spread import chart, difference, table, values, verdict
from study import main

NAME = "pretraining_and_data"
ARMS = ("none", "none, as many steps", "masked, curated", "unmasked, curated", "masked, by lot")
QUESTIONS = (
    ("pre-training against none", "masked, curated", "none"),
    ("pre-training against as many steps of fine-tuning", "masked, curated", "none, as many steps"),
    ("masking against none", "masked, curated", "unmasked, curated"),
    ("curated against by lot", "masked, curated", "masked, by lot"),
)


def plan(scale: Scale) -> list[Run]:
    """Return a fine-tuning for each arm."""
    steps, more = scale.finetune_steps, scale.pretrain_steps
    inits = {
        "masked, curated": pretraining("masked, curated", more, sets=("curated",)),
        "unmasked, curated": pretraining("unmasked, curated", more, sets=("curated",), mask=0.0),
        "masked, by lot": pretraining("masked, by lot", more, sets=("uncurated",)),
    }
    runs = [finetuning("none", steps), finetuning("none, as many steps", steps + more)]
    return runs + [finetuning(name, steps, init=init) for name, init in inits.items()]


def report(rows: list[dict[str, Any]], scale: Scale, chart_file: Path) -> str:
    """Return the table, and a sentence for each question."""
    columns = [(variant, task) for variant in "SL" for task in ("CBSD68", "Rain100L")]
    lines = [[arm, *(str(values(rows, arm, *column)) for column in columns)] for arm in ARMS]
    words = [
        verdict(
            f"{question}, {variant}, {task}",
            difference(values(rows, one, variant, task), values(rows, other, variant, task)),
        )
        for question, one, other in QUESTIONS
        for variant, task in columns
    ]
    bars = {f"{v}, {t}": {arm: values(rows, arm, v, t) for arm in ARMS} for v, t in columns}
    chart(chart_file, "Pre-training, masking, curation", bars, "none")
    heads = ["pre-training", *(f"{variant}, {task}" for variant, task in columns)]
    return table(heads, lines) + "\n\n" + "\n".join(f"- {word}" for word in words)


if __name__ == "__main__":
    main(NAME, __doc__, plan, report)
