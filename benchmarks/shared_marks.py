"""How many images are dropped as `shared_mark`: `python benchmarks/shared_marks.py`.

Two sets of images that are wider than high: those of BSDS500, with which the limits were set, and 640 crops of 960×640
of the 31 photographs. Each row takes some images of a set at random as one source, puts one mark on a part of them, and
counts what falls, with the mark and without. Marks have text (those of harms.py) or none; `unmarked` has no mark.
Writes benchmarks/results/shared_marks.json.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from harms import HARMS
from machine import ROOT, SHARED, describe, photographs, process_pool
from numpy.typing import NDArray
from PIL import Image

from million_ird.decide.shared_marks import find_shared_marks
from million_ird.measures.view import VIEW, encode_thumbnail

RESULTS = ROOT / "benchmarks" / "results" / "shared_marks.json"
CROPS, CROP = 640, (960, 640)
DRAWS = ((48, 1.0), (64, 1.0), (128, 0.5), (256, 0.25))
"""Images of a source, and the share of them that has the mark."""
UNMARKED = ((48, 40), (64, 40), (128, 40), (256, 20), (340, 10))
"""Images of a source without a mark, and how often such a source is drawn."""
Pixels = NDArray[np.uint8]
Marking = Callable[[Pixels], Pixels]


def _star(side: int) -> Pixels:
    corners = [(side / 2) * (1 + (1 if k % 2 else 0.4) * np.exp(1j * np.pi * k / 5)) for k in range(10)]
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.array([(one.real, one.imag) for one in corners], np.int32)], 255, cv2.LINE_AA)
    return mask


def _rings(side: int) -> Pixels:
    mask = np.zeros((side, side), np.uint8)
    for radius in (0.45, 0.3, 0.15):
        cv2.circle(mask, (side // 2, side // 2), int(radius * side), 255, max(1, side // 14), cv2.LINE_AA)
    return mask


def _laid_over(shape: Callable[[int], Pixels], share: float, opacity: float, place: tuple[float, float]) -> Marking:
    def marking(image: Pixels) -> Pixels:
        side = int(share * image.shape[1])
        mask = shape(side)[..., None].astype(np.float32) * (opacity / 255)
        y, x = (int((length - side) * one) for length, one in zip(image.shape, place, strict=False))
        result = image.astype(np.float32)
        result[y : y + side, x : x + side] += mask * (255 - result[y : y + side, x : x + side])
        return np.rint(result).astype(np.uint8)

    return marking


def _harm(name: str) -> Marking:
    return lambda image: np.asarray(HARMS[name](Image.fromarray(image), np.random.default_rng(1)).convert("RGB"))


MARKS: dict[str, Marking] = {
    "star in a corner, 6 %, opaque": _laid_over(_star, 0.06, 1.0, (0.96, 0.96)),
    "star in a corner, 15 %, 30 %": _laid_over(_star, 0.15, 0.3, (0.04, 0.04)),
    "rings in a corner, 12 %, 50 %": _laid_over(_rings, 0.12, 0.5, (0.96, 0.04)),
    "rings in the middle, 25 %, 25 %": _laid_over(_rings, 0.25, 0.25, (0.5, 0.5)),
    "star in the middle, 30 %, 15 %": _laid_over(_star, 0.3, 0.15, (0.5, 0.5)),
    "text: signature": _harm("signature"),
    "text: centred mark 25 %": _harm("centred mark 25 %"),
}
"""Marks with width and opacity."""


def view(image: Pixels) -> bytes:
    """Return the column `view` of an image, with nothing but the thumbnail."""
    return np.zeros((), VIEW).tobytes() + encode_thumbnail(image)


def views(task: tuple[str, Sequence[tuple[int, int]]]) -> list[dict[str, bytes]]:
    """Return the views of a photograph, or of crops of it, without a mark ("") and with each."""
    path, corners = task
    cv2.setNumThreads(1)
    whole = np.asarray(Image.open(path).convert("RGB"))
    images = [np.ascontiguousarray(whole[y : y + CROP[1], x : x + CROP[0]]) for y, x in corners] or [whole]
    return [{"": view(one)} | {name: view(mark(one)) for name, mark in MARKS.items()} for one in images]


def sets() -> dict[str, list[tuple[str, Sequence[tuple[int, int]]]]]:
    """Return the photographs of each set, and the crops that are taken of them."""
    random = np.random.default_rng(0)
    bsds = [str(path) for path in sorted((SHARED / "train" / "BSDS500").glob("t*/*.jpg"))]
    level = [(path, ()) for path in bsds if Image.open(path).width > Image.open(path).height]
    crops: dict[str, list[tuple[int, int]]] = {}
    paths = [str(path) for path in photographs()]
    for number in range(CROPS):
        path = paths[number % len(paths)]
        width, height = Image.open(path).size
        corner = int(random.integers(height - CROP[1] + 1)), int(random.integers(width - CROP[0] + 1))
        crops.setdefault(path, []).append(corner)
    return {"BSDS500": level, "crops of photographs": list(crops.items())}


def dropped(packed: Sequence[bytes]) -> set[int]:
    """Return which of the images of one source are dropped."""
    count = len(packed)
    names = [f"{np.random.default_rng(number).integers(1 << 62):016x}" * 2 for number in range(count)]
    columns = {"key": names, "phash": names, "view": list(packed), "source": ["site"] * count}
    table = pa.table(columns | {"uri": names, "width": [3] * count, "height": [2] * count})

    def batches(wanted: Sequence[str]) -> Iterator[pa.Table]:
        yield table.select(list(wanted))

    return set(find_shared_marks(batches, np.ones(count, bool))[0].tolist())


def rows_of(images: Sequence[dict[str, bytes]], repeats: int) -> list[dict[str, Any]]:
    """Return the counts of one set of images."""
    random, rows = np.random.default_rng(1), []
    for most, draws in UNMARKED:
        count = min(most, len(images))
        drawn = [random.permutation(len(images))[:count] for _ in range(draws)]
        fell = sum(len(dropped([images[i][""] for i in own])) for own in drawn)
        rows.append({"mark": "unmarked", "images": count, "with": 0, "draws": draws, "fell_without": fell})
    for name in MARKS:
        for count, share in DRAWS:
            row = {
                "mark": name,
                "images": count,
                "with": int(count * share),
                "draws": repeats,
                "fell": 0,
                "fell_without": 0,
            }
            for _ in range(repeats):
                own = random.permutation(len(images))[:count]
                fell = dropped([images[i][name if k < row["with"] else ""] for k, i in enumerate(own)])
                row["fell"] += sum(k < row["with"] for k in fell)
                row["fell_without"] += sum(k >= row["with"] for k in fell)
            rows.append(row)
    return rows


def main() -> None:
    """Draw, count, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="sources of each row with a mark")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    result: dict[str, Any] = {"command": "python benchmarks/shared_marks.py", "machine": describe(), "sets": {}}
    with process_pool(options.workers) as pool:
        packed = {name: [one for own in pool.map(views, tasks) for one in own] for name, tasks in sets().items()}
    for name, images in packed.items():
        start = time.process_time()
        rows = rows_of(images, options.draws)
        judged = sum(row["images"] * row["draws"] for row in rows)
        result["sets"][name] = {"images": len(images), "rows": rows}
        result["sets"][name]["ms_an_image"] = round((time.process_time() - start) / judged * 1000, 2)
        print(f"{name}: {len(images)} images, {result['sets'][name]['ms_an_image']} ms for each")
        for row in rows:
            with_mark = row["with"] * row["draws"]
            caught = f"{row['fell']}/{with_mark} ({row['fell'] / with_mark:.0%})" if with_mark else ""
            without = (row["images"] - row["with"]) * row["draws"]
            source = f"{row['mark']:<32} {row['with']:>3} of {row['images']:>3}"
            print(f"  {source}  {caught:<18}{row['fell_without']}/{without}")
    Path(RESULTS).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
