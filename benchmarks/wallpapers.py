"""What the default recipe keeps and drops of Ubuntu's wallpapers: `python benchmarks/wallpapers.py FOLDER`.

FOLDER has the unpacked packages that benchmarks/wallpaper_packages.txt names, as this puts there (3 GB):

    wget --directory-prefix FOLDER --input-file benchmarks/wallpaper_packages.txt
    for package in FOLDER/*.deb; do dpkg-deb --extract "$package" "${package%.deb}"; done

benchmarks/wallpapers.tsv has a label for each image of 60 kB and more, by the first 16 digits of its SHA-1. The labels
were given by eye, looking at all images as thumbnails:

- `photograph`: those that a person would keep; black and white, toned and silhouettes, too;
- `soft`: photographs without sharp pixels anywhere, by lens, camera or enlargement: either verdict is right. Only those
  that `cutoff` or `smoothed` dropped with the limits of `BEFORE` were looked at in this way, at 1:1;
- `overlaid`: photographs with a logo or text over them, of those that no gate dropped then;
- `other`: drawings, renders, gradients, patterns, screenshots, and dropped photographs with a logo.

So the number of `soft` and `overlaid` that were dropped before says nothing.

Prints how many of each label are dropped, by reason, and the same with the limits of before this set was seen, and
writes benchmarks/results/wallpapers.json. Gates on size are switched off. The limits of `cutoff`, `spectral_copies`,
`resampled` and `smoothed` were then set with all of these images in view: the set is no test of these.
"""

import argparse
import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelled_sets import ROOT, Labelled
from labelled_table import Row, gates_of, measured, wilson
from machine import describe, process_pool

from million_ird.config.gates import Gate, first_drop
from million_ird.errors import ReadError

RESULT = ROOT / "benchmarks" / "results" / "wallpapers.json"
LABELS = ROOT / "benchmarks" / "wallpapers.tsv"
RECIPE = ROOT / "pipelines" / "million_ird.yaml"
BEFORE: Mapping[str, float | None] = {"cutoff": 38, "resampled": 0.025, "smoothed": 12, "spectral_copies": None}
"""Earlier limits; None for a gate that is new."""


def read_labels() -> dict[str, str]:
    """Return the label of each digest."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        return {row["sha1"]: row["label"] for row in csv.DictReader(file, delimiter="\t")}


def labelled_files(folder: Path, labels: Mapping[str, str]) -> dict[Path, str]:
    """Return the images below a folder that have a label, each content once."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".deb":
            found.setdefault(hashlib.sha1(path.read_bytes()).hexdigest()[:16], path)
    return {path: labels[digest] for digest, path in found.items() if digest in labels}


def measure(labelled: tuple[Path, str]) -> Row | str:
    """Measure one image; return what is wrong with it where it cannot be read."""
    path, label = labelled
    try:
        name = f"{path.parent.name}/{path.name}"
        return measured(Labelled(label, name, name, path.read_bytes()))
    except ReadError as error:
        return f"{path.name}: {error}"


def counts(rows: Sequence[Row], gates: Sequence[Gate]) -> dict[str, Any]:
    """Return for each label how many images are dropped, in all and by reason."""
    reasons: dict[str, list[str | None]] = defaultdict(list)
    for row in rows:
        drop = first_drop(gates, row.numbers)
        reasons[row.label].append(drop.reason if drop else None)
    result = {}
    for label, all_reasons in sorted(reasons.items()):
        dropped = sum(reason is not None for reason in all_reasons)
        by_reason = Counter(reason for reason in all_reasons if reason is not None)
        result[label] = {
            "images": len(all_reasons),
            "dropped": dropped,
            "interval": wilson(dropped, len(all_reasons)),
            "reasons": dict(by_reason.most_common()),
        }
    return result


def earlier(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates with the limits of `BEFORE`."""
    kept = [gate for gate in gates if BEFORE.get(gate.field, 0) is not None]
    return [gate.model_copy(update={"max": BEFORE[gate.field]}) if gate.field in BEFORE else gate for gate in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    labels = read_labels()
    files = labelled_files(options.folder, labels)
    if len(files) < len(labels):
        parser.error(f"{options.folder}: {len(files)} of {len(labels)} images are there; see the top of this file")
    with process_pool(options.workers) as pool:
        answers = list(pool.map(measure, files.items(), chunksize=4))
    rows = [answer for answer in answers if isinstance(answer, Row)]
    gates = gates_of(RECIPE, rows[0].numbers)
    tables = {"now": counts(rows, gates), "before": counts(rows, earlier(gates))}
    for label, now in tables["now"].items():
        before = tables["before"][label]["dropped"]
        print(f"{label:10} {now['images']:5} images, {now['dropped']:4} dropped ({before} before): {now['reasons']}")
    unread = [answer for answer in answers if isinstance(answer, str)]
    for line in unread:
        print(line)
    lost = sorted(
        f"{row.name}: {drop.reason}"
        for row in rows
        if row.label == "photograph" and (drop := first_drop(gates, row.numbers)) is not None
    )
    result = {"machine": describe(), "unread": unread, **tables, "photographs dropped": lost}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
