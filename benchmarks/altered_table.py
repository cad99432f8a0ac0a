"""Verdicts of the shipped recipe on photographs as they are and altered: `python benchmarks/altered_table.py`.

Of every kind and strength of altered_sets.py, how many the recipe drops, with and without the gates that were made for
these kinds; and how many good photographs it keeps, among them those that are hard, and those edited as people commonly
edit theirs. Limits were set on one half of the
photographs; the table shows the other half, with 95 % Wilson intervals. Gates on size are switched off. Writes
benchmarks/results/altered_table.json.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
from altered_sets import CONTROL, Kind, sources, versions
from labelled_sets import HARD_PHOTOGRAPHS, ROOT, Labelled, bundled, data_folder, fresh, real
from labelled_table import PHOTOGRAPHS, gates_of, measured, wilson
from machine import describe, process_pool
from ordinary_edits import EDITED

from million_ird.config.gates import Gate, first_drop

ADDED = frozenset(
    {
        "bar_share", "gutter_share", "joint_share", "mirror_share", "colours", "resampled",
        "tiled_mark", "corner_share", "resized_blocks", "motion", "grain", "palette", "oversharpened", "smoothed",
    }
)  # fmt: skip
"""Columns whose gates were made for these kinds."""
RESULT = ROOT / "benchmarks" / "results" / "altered_table.json"
Judged = tuple[str, str, bool, dict[str, float | None]]
"""Label, name, whether for tuning, and the numbers of an image."""


def _of(image: Labelled) -> Judged:
    row = measured(image)
    return row.label, row.name, row.tuning, row.numbers


def _altered(path: Path, kinds: Mapping[str, Kind] | None = None) -> list[Judged]:
    cv2.setNumThreads(1)
    return [
        _of(
            Labelled(
                f"{one.kind}: {one.strength}".rstrip(": "), f"{one.source} as {one.encoder}", one.source, one.encoded
            )
        )
        for one in versions(path, kinds)
    ]


def _edited(path: Path) -> list[Judged]:
    return [row for row in _altered(path, EDITED) if row[0] != CONTROL]


def _photographs(data: Path) -> Iterable[Labelled]:
    return (image for image in chain(real(data), fresh(data), bundled()) if image.label in PHOTOGRAPHS)


def counted(rows: Sequence[Judged], gates: Sequence[Gate]) -> dict[str, Any]:
    """Return how many images are dropped, by which reasons, with and without the gates on the columns of `ADDED`."""
    old = [gate for gate in gates if gate.field not in ADDED]
    drops = [first_drop(gates, numbers) for *_, numbers in rows]
    reasons: dict[str, int] = {}
    for drop in drops:
        if drop is not None:
            reasons[drop.reason] = reasons.get(drop.reason, 0) + 1
    dropped = sum(reasons.values())
    return {
        "pictures": len(rows),
        "before": sum(first_drop(old, numbers) is not None for *_, numbers in rows),
        "dropped": dropped,
        "interval": [round(limit, 3) for limit in wilson(dropped, len(rows))],
        "reasons": dict(sorted(reasons.items(), key=lambda item: -item[1])),
    }


def table(rows: Sequence[Judged], gates: Sequence[Gate]) -> dict[str, dict[str, Any]]:
    """Print and return the counts of the judging half by label, and those of the tuning half beside them."""
    results: dict[str, dict[str, Any]] = {}
    for label in dict.fromkeys(row[0] for row in rows):
        halves = [[row for row in rows if row[0] == label and row[2] == tuning] for tuning in (False, True)]
        results[label] = counted(halves[0], gates) | {"tuning": counted(halves[1], gates)}
        one = results[label]
        low, high = one["interval"]
        shown = f"{one['before']:>5} → {one['dropped']:>3} of {one['pictures']:<4} {low:4.0%}–{high:4.0%}"
        tuning = f"{one['tuning']['dropped']}/{one['tuning']['pictures']}"
        print(f"{label:46}{shown}   tuning {tuning:8} {', '.join(one['reasons'])}")
    return results


def main() -> None:
    """Measure, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "pipelines" / "million_ird.yaml")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    data = data_folder()
    with process_pool(options.workers) as pool:
        altered = list(chain.from_iterable(pool.map(_altered, sources(data))))
        edited = list(chain.from_iterable(pool.map(_edited, sources(data))))
        good = list(pool.map(_of, _photographs(data), chunksize=4))
    gates = gates_of(options.recipe, good[0][3])
    print("dropped of the judging half, before → with the added gates")
    kinds = table(altered, gates)
    print("\nphotographs that are to be kept")
    kept = table([("photographs", *row[1:]) for row in good], gates) | table(good, gates) | table(_hard(good), gates)
    print("\nedited photographs, to be kept")
    kept |= table([("edited", *row[1:]) for row in edited], gates) | table(edited, gates)
    old = [gate for gate in gates if gate.field not in ADDED]
    lost = [
        f"{name}: {drop.reason} {drop.measured:.3g}"
        for _, name, _, numbers in good
        if (drop := first_drop(gates, numbers)) is not None
        and drop.measured is not None
        and first_drop(old, numbers) is None
    ]
    print("\nlost by the added gates:", *lost, sep="\n  ")
    content = {"command": "python benchmarks/altered_table.py", "machine": describe(), "recipe": options.recipe.name}
    content |= {"altered": kinds, "to keep": kept, "lost by the added gates": lost}
    RESULT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _hard(good: Sequence[Judged]) -> list[Judged]:
    return [
        (f"hard: {kind}", *row[1:])
        for kind, starts in HARD_PHOTOGRAPHS.items()
        for row in good
        if row[1].startswith(starts)
    ]


if __name__ == "__main__":
    main()
