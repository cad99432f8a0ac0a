"""What the score `overlaid_characters` says of photographs, and of the same with text over or around them.

Photographs as they are: those of ../shared/data/photos and every second one of BSDS500's train. Text: captions, marks,
dates and pages of harms.py over every third of the former. A row gives the share with at least `--limit` characters;
photographs with signs in them count as they are. Processor seconds are for one image, in one thread.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from harms import HARMS
from machine import SHARED, describe, photographs, process_pool
from PIL import Image

from million_ird.measures.overlaid_text import OverlaidText
from million_ird.runtime.threads import single_threaded

RESULTS = Path(__file__).parent / "results" / "overlaid_text.json"
WITH_TEXT = [
    name for name in HARMS if any(word in name for word in ("mark", "meme", "caption", "page", "stamp", "signature"))
]
SIDE = 1400
"""Longest side in px of the photographs that text is put over."""
Counts = dict[str, float]


def count(task: tuple[str, Sequence[str]]) -> tuple[str, Counts, float]:
    """Return the characters read in a photograph, or in each of its altered copies, and the seconds for one image."""
    path, names = task
    cv2.setNumThreads(1)
    photograph = Image.open(path).convert("RGB")
    versions = {"": photograph}
    if names:
        photograph.thumbnail((SIDE, SIDE))
        versions = {name: HARMS[name](photograph, np.random.default_rng(1)) for name in names}
    score = OverlaidText()
    with single_threaded():
        score.measure_batch([np.zeros((64, 64, 3), np.uint8)])  # loads the networks
        start = time.process_time()
        found = score.measure_batch([np.asarray(image) for image in versions.values()])
        seconds = (time.process_time() - start) / len(versions)
    return path, {name: value for name, value in zip(versions, found, strict=True) if value is not None}, seconds


def main() -> None:
    """Count, print and write `benchmarks/results/overlaid_text.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=4, help="characters from which on an image counts as written over")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    own = [str(path) for path in photographs()]
    others = [str(path) for path in sorted((SHARED / "train" / "BSDS500" / "train").glob("*.jpg"))[::2]]
    with process_pool(options.workers) as pool:
        plain = list(pool.map(count, [(path, ()) for path in (*own, *others)]))
        written = list(pool.map(count, [(path, WITH_TEXT) for path in own[::3]]))
    groups = {"photographs": plain[: len(own)], "BSDS500": plain[len(own) :]}
    rows = {name: [found[""] for _, found, _ in group if "" in found] for name, group in groups.items()}
    rows |= {name: [found[name] for _, found, _ in written if name in found] for name in WITH_TEXT}
    print(f"{'':<26}{'images':>8}{f'>= {options.limit} characters':>18}")
    for name, values in rows.items():
        print(f"{name:<26}{len(values):>8}{sum(value >= options.limit for value in values):>18}")
    seconds = float(np.median([each for _, _, each in plain]))
    print(f"{seconds:.2f} s of processor time for a photograph (median)")
    result = {"command": "python benchmarks/overlaid_text.py", "machine": describe(), "limit": options.limit}
    result |= {"seconds": round(seconds, 3), "characters": rows}
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
