"""Compare our NIQE and BRISQUE with pyiqa's on every image of the shared data: `python benchmarks/nss_equality.py`.

Each image is compared as RGB, every tenth also as grey and cropped to odd sides. Both implementations get the same
array and the same parameters. pyiqa needs some 1.5 s per megapixel, half an hour in total. The smallest images come
first, and a run that was stopped continues from its journal (delete it after a change to the code).
"""

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from labelled_sets import ROOT, data_folder
from machine import describe
from nss_reference import Reference
from numpy.typing import NDArray
from PIL import Image

from million_ird.measures import nss
from million_ird.measures.nss_models import load_brisque, load_niqe

FOLDERS = ("photos", "negatives", "benchmarks", "train", "duplicates", "real")
TOLERANCE = 0.01, 0.001
"""Absolute, or relative to pyiqa's number."""


@dataclass(frozen=True)
class Row:
    """One score of one image, ours and pyiqa's."""

    name: str
    form: str
    score: str
    ours: float | None
    theirs: float | None

    @property
    def off(self) -> float:
        """The difference as a share of the tolerance; infinite where only one side has a number."""
        if self.ours is None or self.theirs is None:
            return 0.0 if self.ours is self.theirs else float("inf")
        return abs(self.ours - self.theirs) / max(TOLERANCE[0], TOLERANCE[1] * abs(self.theirs))


def forms(path: Path, index: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the image in RGB; for every tenth image also its luma alone and a crop with odd sides."""
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("ignore")
        rgb = np.asarray(image.convert("RGB"))
        yield "rgb", rgb
        if index % 10 == 0:
            yield "grey", np.asarray(image.convert("L"))
            odd = (rgb.shape[0] * 3 // 4 | 1, rgb.shape[1] * 3 // 4 | 1)
            yield "odd", np.ascontiguousarray(rgb[: odd[0], : odd[1]])


def image_paths(data: Path) -> list[Path]:
    """Return every image in the folders, sorted by name."""
    paths = [path for folder in FOLDERS for path in sorted((data / folder).rglob("*"))]
    return [path for path in paths if path.is_file() and path.suffix.lower() not in {".md", ".tsv", ".txt"}]


def summary(rows: list[Row]) -> dict[str, object]:
    """Return counts, the largest deviations, and every image where the two disagree or only one has a number."""
    result: dict[str, object] = {}
    for score in ("niqe", "brisque"):
        of_score = [row for row in rows if row.score == score]
        both = [row for row in of_score if row.ours is not None and row.theirs is not None]
        result[score] = {
            "compared": len(both),
            "largest_difference": max(abs((row.ours or 0) - (row.theirs or 0)) for row in both),
            "largest_share_of_tolerance": max(row.off for row in both),
            "over_tolerance": [asdict(row) for row in both if row.off > 1],
            "null_on_both_sides": [f"{row.name} {row.form}" for row in of_score if row.ours is row.theirs is None],
            "null_on_one_side": [asdict(row) for row in of_score if (row.ours is None) != (row.theirs is None)],
        }
    return result


def compare(paths: list[Path], data: Path, journal: Path) -> list[Row]:
    """Return every row, including those that an interrupted run wrote to the journal."""
    niqe, brisque = load_niqe(data / "params"), load_brisque(data / "params")
    reference = Reference(niqe, brisque)
    rows = [Row(**json.loads(line)) for line in journal.read_text().splitlines()] if journal.exists() else []
    done = {row.name for row in rows}
    with journal.open("a") as log:
        for index, path in enumerate(paths):
            name = path.relative_to(data).as_posix()
            if name in done:
                continue
            new: list[Row] = []
            for form, pixels in forms(path, index):
                ours = nss.score(pixels, niqe=niqe, brisque=brisque)
                new.append(Row(name, form, "niqe", ours.niqe, reference.niqe(pixels)))
                new.append(Row(name, form, "brisque", ours.brisque, reference.brisque(pixels)))
            log.write("".join(json.dumps(asdict(row)) + "\n" for row in new))
            log.flush()
            rows += new
            far = [row for row in new if row.off > 0.5]
            if far or index % 50 == 0:
                print(f"{index}/{len(paths)}", *far, flush=True)
    return rows


def megapixels(path: Path) -> float:
    """Return the size of an image by its header."""
    with Image.open(path) as image:
        return image.width * image.height / 1e6


def main() -> None:
    """Compare, print and write `benchmarks/results/nss_equality.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--journal", type=Path, default=Path("/tmp/nss_equality.jsonl"), help="continue from this file if it exists"
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=12,
        help="larger images are skipped: pyiqa needs half a gigabyte per megapixel",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    data = data_folder()
    sizes = {path: megapixels(path) for path in image_paths(data)}
    paths = sorted((path for path in sizes if sizes[path] <= options.max_megapixels), key=lambda path: sizes[path])
    rows = compare(paths, data, options.journal)
    result = {
        "machine": describe(),
        "pictures": len(paths),
        "forms": len(rows) // 2,
        "left_out_too_large_for_pyiqa": [path.name for path in sizes if sizes[path] > options.max_megapixels],
        "tolerance": TOLERANCE,
        **summary(rows),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    (ROOT / "benchmarks" / "results" / "nss_equality.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
