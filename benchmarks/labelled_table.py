"""Verdicts of the shipped recipe on labelled images, class by class: `python benchmarks/labelled_table.py`.

Prints one row per class with the tuning half and the held-out half, Wilson intervals and the reasons, then the rows of
hard photographs, and writes benchmarks/results/labelled_table.json. Gates on size are switched off, so that they do not
decide. Gates on columns that no built-in measure fills (a neural score) are named and left out.

How independent the test is: both halves of the first classes were looked at while the measures were designed (features
were compared on all of them), and only the exact thresholds were set on one half. The classes called fresh were first
looked at when all thresholds were set.
"""

import argparse
import json
import math
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import yaml
from labelled_sets import (
    DAMAGES,
    FRESH_DAMAGES,
    HARD_PHOTOGRAPHS,
    ROOT,
    Labelled,
    bundled,
    damaged,
    data_folder,
    fresh,
    is_tuning,
    real,
)
from machine import process_pool

from million_ird.config.gates import Gate, first_drop
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES

SIZE_FIELDS = frozenset({"short_side", "long_side", "megapixels"})
PHOTOGRAPHS = frozenset(
    {
        "good",
        "BSDS500",
        "real haze and darkness",
        "scikit-image photographs",
        "fresh photographs",
        "fresh photographs, BSDS500 val",
    }
)
RESULT = ROOT / "benchmarks" / "results" / "labelled_table.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One image with its numbers."""

    label: str
    name: str
    tuning: bool
    numbers: dict[str, float | None]


def measured(image: Labelled) -> Row:
    """Compute every measure that needs no download."""
    cv2.setNumThreads(1)
    encoded = EncodedImage(image.encoded)
    numbers: dict[str, float | None] = {}
    for measure in MEASURES.values():
        numbers.update(measure.measure(encoded))
    return Row(image.label, image.name, is_tuning(image.parent), numbers)


def _measured_damaged(numbered: tuple[int, Path]) -> list[Row]:
    return [measured(image) for image in damaged(numbered[1], numbered[0], DAMAGES)]


def _measured_fresh_damaged(numbered: tuple[int, Path]) -> list[Row]:
    return [measured(image) for image in damaged(numbered[1], numbered[0], FRESH_DAMAGES)]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (Wilson, 1927)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, hits / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))


def gates_of(recipe: Path, known: Iterable[str]) -> list[Gate]:
    """Return the gates of a recipe, without those on size and on columns that were not measured."""
    gates = [Gate(**gate) for gate in yaml.safe_load(recipe.read_text(encoding="utf-8"))["gates"]]
    fields = set(known)
    for gate in gates:
        if gate.field not in fields:
            print(f"left out: {gate.field} is not measured here", file=sys.stderr)
    return [gate for gate in gates if gate.field in fields and gate.field not in SIZE_FIELDS]


def summary(rows: Sequence[Row], gates: Sequence[Gate]) -> dict[str, Any]:
    """Return how many images are dropped and why, in all and by half."""
    verdicts = [(row, first_drop(gates, row.numbers)) for row in rows]
    result: dict[str, Any] = {}
    for half, tuning in (("tuning", (True,)), ("held out", (False,)), ("all", (True, False))):
        drops = [drop for row, drop in verdicts if row.tuning in tuning]
        dropped = sum(drop is not None for drop in drops)
        result[half] = {"pictures": len(drops), "dropped": dropped, "interval": wilson(dropped, len(drops))}
    result["reasons"] = dict(Counter(drop.reason for _, drop in verdicts if drop is not None).most_common())
    photographs = bool(rows) and rows[0].label in PHOTOGRAPHS
    result["surprises"] = sorted(
        f"{row.name}: {drop.reason} {drop.measured:.3g}" if drop and drop.measured is not None else row.name
        for row, drop in verdicts
        if (drop is not None) == photographs
    )
    return result


def table(groups: Mapping[str, Sequence[Row]], gates: Sequence[Gate]) -> dict[str, Any]:
    """Print the classes and return their summaries."""
    print(f"{'class':31}{'tuning':>16}{'held out':>16}{'all':>9}  95 % interval  reasons")
    results = {}
    for label, rows in groups.items():
        result = results[label] = summary(rows, gates)
        cells = []
        for half in ("tuning", "held out"):
            part = result[half]
            share = f"{part['dropped'] / part['pictures']:7.1%}" if part["pictures"] else f"{'–':>7}"
            cells.append(f"{part['dropped']:>5}/{part['pictures']:<3}{share}")
        whole = result["all"]
        low, high = whole["interval"]
        share = f"{whole['dropped'] / max(1, whole['pictures']):9.1%}"
        reasons = ", ".join(f"{reason} {count}" for reason, count in result["reasons"].items())
        print(f"{label:31}{cells[0]:>16}{cells[1]:>16}{share}  {low:5.1%}–{high:6.1%}  {reasons}")
    return results


def grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by label, in order of first appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.label, []).append(row)
    return groups


def main() -> None:
    """Measure, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", type=Path, default=ROOT / "pipelines" / "million_ird.yaml")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--numbers", type=Path, help="store the numbers in this file, or use them if it exists")
    options = parser.parse_args()
    rows = _numbers(options.numbers, options.workers)
    gates = gates_of(options.recipe, rows[0].numbers)
    print(f"share dropped by {options.recipe.name}, size gates off: {', '.join(gate.drop_reason for gate in gates)}\n")
    classes = table(grouped(rows), gates)
    print("\nphotographs that are hard to classify")
    hard = {
        kind: [row for row in rows if row.label in PHOTOGRAPHS and row.name.startswith(starts)]
        for kind, starts in HARD_PHOTOGRAPHS.items()
    }
    rows_of_hard = table(hard, gates)
    print("\nwrong verdicts")
    for label, result in classes.items():
        for line in result["surprises"][:12]:
            print(f"  {label}: {line}")
    RESULT.parent.mkdir(exist_ok=True)
    content = {
        "recipe": options.recipe.name,
        "gates": [gate.model_dump(exclude_defaults=True) for gate in gates],
        "machine": f"{platform.machine()} {platform.system()}, Python {platform.python_version()}",
        "classes": classes,
        "hard photographs": rows_of_hard,
    }
    RESULT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _numbers(cache: Path | None, workers: int) -> list[Row]:
    if cache is not None and cache.is_file():
        return [Row(**row) for row in json.loads(cache.read_text(encoding="utf-8"))]
    data = data_folder()
    with process_pool(workers) as pool:
        rows = list(pool.map(measured, chain(real(data), bundled())))
        # Damaged in the worker that measures them, because they are large.
        for more in pool.map(_measured_damaged, enumerate(sorted((data / "photos").iterdir()))):
            rows.extend(more)
        rows.extend(pool.map(measured, fresh(data)))
        for more in pool.map(_measured_fresh_damaged, enumerate(sorted((data / "train/BSDS500/val").iterdir()))):
            rows.extend(more)
    if cache is not None:
        fields = ("label", "name", "tuning", "numbers")
        cache.write_text(json.dumps([{field: getattr(row, field) for field in fields} for row in rows]))
    return rows


if __name__ == "__main__":
    main()
