"""Verdicts of the default recipe on images in software packages: `python benchmarks/package_images.py SET FOLDER`.

SET is one of six in benchmarks/package_labels: `wallpapers`, those of Ubuntu (1,579 images of 60 kB and more; 3 GB);
`websites`, what themes for websites on npm and documentation in Ubuntu contain (731 images of half a megapixel and
more; 2 GB); `demos`, the same of other packages of npm and Debian (486 images; 3 GB); `assorted`, of 116 further
packages of both (649 images; 1 GB); `varied`, of 165 packages of npm drawn at random from those with a word such
as travel in their name, at most eight of each (663 images of 480 px and more; 3 GB unpacked); and `blind`,
of 93 packages of Debian, npm and PyPI (361 images). FOLDER has the unpacked packages that SET.txt names, as this puts
there:

    wget --directory-prefix FOLDER --input-file benchmarks/package_labels/SET.txt
    for package in FOLDER/*.deb; do dpkg-deb --extract "$package" "${package%.deb}"; done
    for package in FOLDER/*.whl; do unzip -q "$package" -d "${package%.whl}"; done
    for package in FOLDER/*.tgz; do mkdir "${package%.tgz}"; tar -xf "$package" -C "${package%.tgz}"; done

SET.tsv has a label for each image, by the first 16 digits of its SHA-1. The labels were given by eye, looking at all
images as thumbnails, and at photographs as far as said:

- `photograph`: those that a person would keep; black and white, toned and silhouettes, too. Those of `websites` were
  looked at in their sharpest place, at 1:1, before any verdict was known. So some that are compressed hard are among
  them, for this shows least there. Those of `demos` and of `assorted` were looked at in two places, each by a
  labeller who had not seen the recipe; those of `blind` by one who had seen neither the recipe
  nor the code, in one place; those of `varied` as those of `websites`, but what looked smeared, enlarged or
  filtered there is `soft` or `unsure`;
- `soft`: photographs without sharp pixels anywhere, by lens, camera, filter or enlargement: either verdict is right. Of
  `wallpapers` only those were looked at in this way, at 1:1, that earlier limits of `cutoff` and `smoothed` dropped;
- `unsure`: either verdict is right for another reason, such as photographs of a screen or of print;
- `overlaid`: photographs with a logo or text over them; of the wallpapers those that no gate dropped then, none of
  `websites`;
- `other`: drawings, renders, gradients, patterns, screenshots, and dropped wallpapers with a logo.

Prints how many of each label are dropped, by reason, and writes benchmarks/results/package_images_SET.json. Gates on
size are switched off. Limits and measures were changed with all sets but `varied` and `blind` in view after their
first test: only these are tests of today's. docs/curation.md tells what each showed at first.
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

LABELS = ROOT / "benchmarks" / "package_labels"
RECIPE = ROOT / "pipelines" / "million_ird.yaml"


def read_labels(path: Path) -> dict[str, str]:
    """Return the label of each digest."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["sha1"]: row["label"] for row in csv.DictReader(file, delimiter="\t")}


def labelled_files(folder: Path, labels: Mapping[str, str]) -> dict[Path, str]:
    """Return the images below a folder that have a label, each content once."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".deb", ".tgz", ".whl"):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("set", choices=sorted(path.stem for path in LABELS.glob("*.tsv")))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    labels = read_labels(LABELS / f"{options.set}.tsv")
    files = labelled_files(options.folder, labels)
    if len(files) < len(labels):
        parser.error(f"{options.folder}: {len(files)} of {len(labels)} images are there; see the top of this file")
    with process_pool(options.workers) as pool:
        answers = list(pool.map(measure, files.items(), chunksize=4))
    rows = [answer for answer in answers if isinstance(answer, Row)]
    gates = gates_of(RECIPE, rows[0].numbers)
    table = counts(rows, gates)
    for label, count in table.items():
        print(f"{label:10} {count['images']:5} images, {count['dropped']:4} dropped: {count['reasons']}")
    unread = [answer for answer in answers if isinstance(answer, str)]
    for line in unread:
        print(line)
    lost = sorted(
        f"{row.name}: {drop.reason}"
        for row in rows
        if row.label == "photograph" and (drop := first_drop(gates, row.numbers)) is not None
    )
    result = {"machine": describe(), "unread": unread, "labels": table, "photographs dropped": lost}
    path = ROOT / "benchmarks" / "results" / f"package_images_{options.set}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
