"""Measure mutated images: `python benchmarks/fuzz.py --inputs 100000`.

Seeds are the hostile and odd files of ../shared/data and small images of every format that Pillow writes. Each input is
a seed with bits flipped, bytes replaced, removed, doubled or mixed with another seed's, at positions drawn by a
generator that is keyed by the input's number: the same number gives the same input. The outcomes are counted. A process
that dies or hangs is a finding, and so is `unexpected`, an error that no code anticipates; such inputs are written to
--keep. An input without a row ends the run with an error.
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
from million_ird.scan.isolated_measuring import IsolatedMeasurer

FINDINGS = ("crashed", "hung", "killed", "out_of_memory", "unexpected")
MAX_SEED_BYTES = 40_000
WRITTEN_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "PPM", "TGA", "SGI", "PCX")


def seeds(data: Path) -> list[bytes]:
    """Return small files, sorted by name, and small images in every format."""
    files = sorted(path for path in (data / "hostile").rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in files if 0 < path.stat().st_size <= MAX_SEED_BYTES]
    pixels = np.random.default_rng(0).integers(0, 256, (200, 230, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((96, 112), Image.Resampling.BICUBIC)
    for kind in WRITTEN_FORMATS:
        for mode in ("RGB", "L", "P", "CMYK", "RGBA"):
            file = io.BytesIO()
            try:
                image.convert(mode).save(file, kind)
            except (OSError, ValueError, KeyError):
                continue
            contents.append(file.getvalue())
    return contents


def mutate(number: int, seed_files: list[bytes]) -> bytes:
    """Return input `number`, which depends on the number and the seeds only."""
    draw = np.random.default_rng([7, number])
    content = bytearray(seed_files[draw.integers(len(seed_files))])
    first = 16 if draw.random() < 0.7 else 0  # most keep their signature, so that a decoder accepts them
    for _ in range(int(draw.integers(1, 5))):
        size = len(content)
        # Half of all changes are in the first 300 bytes, where headers are.
        end = min(size, 300) if draw.random() < 0.5 else size
        position = int(draw.integers(min(first, end - 1), end))
        length = int(min(size - position, 1 << draw.integers(0, 9)))
        match int(draw.integers(7)):
            case 0:
                content[position] ^= 1 << int(draw.integers(8))
            case 1:
                content[position] = int(draw.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                content[position : position + length] = draw.bytes(length)
            case 3:
                del content[position : position + length]
            case 4:
                content[position:position] = content[position : position + length]
            case 5:
                other = seed_files[draw.integers(len(seed_files))]
                start = int(draw.integers(len(other)))
                content[position : position + length] = other[start : start + length]
            case 6:
                content = content[: max(1, position)]
        content = content or bytearray(1)
    return bytes(content)


def main() -> None:
    """Run, print and write `benchmarks/results/fuzz.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, default=Path("/tmp/fuzz"), help="folder for inputs that are findings")
    options = parser.parse_args()
    seed_files = seeds(data_folder())
    recipe = Recipe.model_validate({"limits": {"max_pixels": 4_000_000, "seconds": 20}, "measure_all": True})
    counts: Counter[str] = Counter()
    findings: list[str] = []
    started = time.perf_counter()

    def candidates() -> Iterator[Candidate]:
        for number in range(options.first, options.first + options.inputs):
            yield Candidate(key=f"{number:032x}", source="fuzz", uri=str(number), version="")

    measurer = IsolatedMeasurer(recipe, memory=3_000_000_000)
    for row in measurer.rows(candidates(), lambda candidate: mutate(int(candidate.uri), seed_files)):
        outcome = str(row.get("failure_class") or "measured")
        counts[outcome] += 1
        if outcome in FINDINGS:
            findings.append(f"{row['uri']}: {outcome}: {row['failure_detail']}")
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{row['uri']}-{outcome}").write_bytes(mutate(int(str(row["uri"])), seed_files))
        if counts.total() % 10_000 == 0:
            print(counts.total(), dict(counts), f"{time.perf_counter() - started:.0f} s", flush=True)
    if counts.total() != options.inputs:
        raise SystemExit(f"{options.inputs} inputs, but {counts.total()} rows")
    result = {
        "machine": describe(),
        "seeds": len(seed_files),
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
