"""Mutated pictures through the whole of measuring: `python benchmarks/fuzz.py --inputs 100000`.

Seeds are the hostile and odd files of ../shared/data and small pictures of every format that Pillow writes. Each input
is a seed with bits flipped, bytes replaced, cut out, doubled or crossed with another's, at places drawn by a counter:
the same number gives the same input. Counted is what became of each. A process that dies or hangs is a finding; so
is `unexpected`, a fault of ours that no code foresaw; such inputs are written to --keep. An input without a row ends
the run with an error.
"""

import argparse
import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from labelled_sets import ROOT, data_folder
from machine import describe
from PIL import Image

from million_ird.candidate import Candidate
from million_ird.config.recipe import Recipe
from million_ird.scan.isolated_measuring import Quarantine

FINDINGS = ("crashed", "hung", "killed", "out_of_memory", "unexpected")
LARGEST_SEED = 40_000
WRITTEN = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "PPM", "TGA", "SGI", "PCX")


def seeds(data: Path) -> list[bytes]:
    """Small files, in the order of their names."""
    files = sorted(path for path in (data / "hostile").rglob("*") if path.is_file())
    found = [path.read_bytes() for path in files if 0 < path.stat().st_size <= LARGEST_SEED]
    pixels = np.random.default_rng(0).integers(0, 256, (200, 230, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((96, 112), Image.Resampling.BICUBIC)
    for kind in WRITTEN:
        for mode in ("RGB", "L", "P", "CMYK", "RGBA"):
            file = io.BytesIO()
            try:
                picture.convert(mode).save(file, kind)
            except (OSError, ValueError, KeyError):
                continue
            found.append(file.getvalue())
    return found


def mutated(number: int, base: list[bytes]) -> bytes:
    """Input `number`: a function of the number and the seeds alone."""
    draw = np.random.default_rng([7, number])
    content = bytearray(base[draw.integers(len(base))])
    first = 16 if draw.random() < 0.7 else 0  # most keep their signature, and get further than the door
    for _ in range(int(draw.integers(1, 5))):
        size = len(content)
        # Half of all changes hit the first 300 bytes, where headers are.
        most = min(size, 300) if draw.random() < 0.5 else size
        at = int(draw.integers(min(first, most - 1), most))
        length = int(min(size - at, 1 << draw.integers(0, 9)))
        match int(draw.integers(7)):
            case 0:
                content[at] ^= 1 << int(draw.integers(8))
            case 1:
                content[at] = int(draw.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                content[at : at + length] = draw.bytes(length)
            case 3:
                del content[at : at + length]
            case 4:
                content[at:at] = content[at : at + length]
            case 5:
                other = base[draw.integers(len(base))]
                start = int(draw.integers(len(other)))
                content[at : at + length] = other[start : start + length]
            case 6:
                content = content[: max(1, at)]
        content = content or bytearray(1)
    return bytes(content)


def main() -> None:
    """Runs, prints and writes `benchmarks/results/fuzz.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, default=Path("/tmp/fuzz"), help="findings are written here")
    options = parser.parse_args()
    base = seeds(data_folder())
    recipe = Recipe.model_validate({"limits": {"max_pixels": 4_000_000, "seconds": 20}, "measure_all": True})
    counts: Counter[str] = Counter()
    findings: list[str] = []
    started = time.perf_counter()

    def candidates() -> Iterator[Candidate]:
        for number in range(options.first, options.first + options.inputs):
            yield Candidate(key=f"{number:032x}", source="fuzz", uri=str(number), version="")

    quarantine = Quarantine(recipe, memory=3_000_000_000)
    for row in quarantine.rows(candidates(), lambda one: mutated(int(one.uri), base)):
        became = str(row.get("failure_class") or "measured")
        counts[became] += 1
        if became in FINDINGS:
            findings.append(f"{row['uri']}: {became}: {row['failure_detail']}")
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{row['uri']}-{became}").write_bytes(mutated(int(str(row["uri"])), base))
        if counts.total() % 10_000 == 0:
            print(counts.total(), dict(counts), f"{time.perf_counter() - started:.0f} s", flush=True)
    if counts.total() != options.inputs:
        raise SystemExit(f"{options.inputs} inputs, but {counts.total()} rows")
    result = {
        "machine": describe(),
        "seeds": len(base),
        "inputs": options.inputs,
        "first": options.first,
        "seconds": round(time.perf_counter() - started),
        "became": dict(counts.most_common()),
        "findings": findings[:200],
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    (ROOT / "benchmarks" / "results" / "fuzz.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
