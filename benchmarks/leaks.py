"""Images of common test sets that are in common training sets, pair by pair.

Compares BSDS500's three parts with Rain100L's clean targets and with CBSD68, and each test set with itself. Reads
../shared/data, writes benchmarks/results/leaks.json and a chart for the docs. `--sheet FILE` draws the pairs side by
side; that image shows other people's photographs, so it must not be committed.
"""

import argparse
import json
import re
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from machine import ROOT, SHARED, describe, process_pool
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from million_ird.decide.leaks import find_leaks
from million_ird.fingerprints import get_fingerprints
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.signature import compute_signature
from million_ird.reference_sets import ReferenceSet
from million_ird.runtime.executor import Executor
from million_ird.runtime.threads import single_threaded

PARTS = {part: SHARED / "train" / "BSDS500" / part for part in ("train", "test", "val")}
TESTS = {"Rain100L": SHARED / "benchmarks" / "Rain100L" / "target", "CBSD68": SHARED / "benchmarks" / "CBSD68"}
RESULTS = Path(__file__).parent / "results" / "leaks.json"
CHART = ROOT / "docs" / "images" / "rain100l.png"
COLOURS = {"train": "#d1495b", "test": "#edae49", "val": "#30638e", "none": "#d9d9d9"}


def sign(path: Path) -> dict[str, object]:
    with single_threaded():
        image = EncodedImage(path.read_bytes())
        columns = dict(compute_signature(image))
    size = {"width": image.header.width, "height": image.header.height}
    return {"id": image.sha256, **columns, **size}


def leaks_in(files: list[Path], benchmark: pa.Table, pool: ProcessPoolExecutor) -> dict[str, tuple[str, float, str]]:
    table = pa.Table.from_pylist(list(pool.map(sign, files, chunksize=8)))
    leaks = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(files), bool), {"": benchmark})
    return {
        files[leak.row].name: (leak.name.removeprefix("/"), leak.match.correlation, leak.match.relation.value)
        for leak in leaks
    }


def within(table: pa.Table) -> list[list[str]]:
    """Return pairs of near-duplicates inside a test set."""
    hashes = np.array([int(text, 16) for text in table["phash"].to_pylist()], np.uint64)
    i, j = np.nonzero(np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None]) <= 4, 1))
    names = table["file"].to_pylist()
    return [[names[a], names[b]] for a, b in zip(i.tolist(), j.tolist(), strict=True)]


def chart(found: dict[str, dict[str, tuple[str, float, str]]], twins: list[list[str]]) -> None:
    part_of = {target: part for part, pairs in found.items() for target, _, _ in pairs.values()}
    # Of two targets that show the same, only one is matched; the other comes from the same part.
    for first, second in twins:
        part = part_of.get(first) or part_of.get(second) or "none"
        part_of[first] = part_of[second] = part
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(6.4, 7), dpi=120)
    twin = {name for pair in twins for name in pair}
    for number in range(1, 101):
        x, y = (number - 1) % 10, 9 - (number - 1) // 10
        part = part_of.get(f"{number}.png", "none")
        axes.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, color=COLOURS[part]))
        dark = part in {"train", "val"}
        axes.text(x + 0.5, y + 0.5, f"{number}", ha="center", va="center", color="white" if dark else "black")
        if f"{number}.png" in twin:
            axes.add_patch(Rectangle((x + 0.1, y + 0.1), 0.8, 0.8, fill=False, linestyle=":", edgecolor="black"))
    counts = {part: sum(part_of.get(f"{n}.png", "none") == part for n in range(1, 101)) for part in COLOURS}
    handles = [Patch(color=COLOURS[part], label=f"BSDS500 {part}: {counts[part]}") for part in ("train", "test", "val")]
    handles += [Patch(color=COLOURS["none"], label=f"not in BSDS500: {counts['none']}")]
    handles += [Patch(fill=False, linestyle=":", edgecolor="black", label=f"appears twice: {len(twin)}")]
    axes.legend(handles=handles, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.01), frameon=False)
    axes.set(xlim=(0, 10), ylim=(0, 10), aspect="equal")
    axes.set_title("Where Rain100L's 100 clean targets come from")
    axes.axis("off")
    figure.savefig(CHART, bbox_inches="tight", metadata={"Software": None})


def sheet(path: Path, found: dict[str, dict[str, tuple[str, float, str]]]) -> None:
    pairs = [
        (PARTS[part] / name, TESTS["Rain100L"] / target)
        for part, named in found.items()
        for name, (target, _, _) in sorted(named.items())
    ]
    small = Image.new("RGB", (8 * 250, -(-len(pairs) // 8) * 90), "white")
    for number, pair in enumerate(pairs):
        for side, path_of_one in enumerate(pair):
            image = Image.open(path_of_one).convert("RGB")
            image.thumbnail((120, 85))
            small.paste(image, (number % 8 * 250 + side * 122, number // 8 * 90))
    small.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    results: dict[str, object] = {"command": "python benchmarks/leaks.py", "machine": describe()}
    with Executor(2) as executor:
        tables = {name: get_fingerprints(ReferenceSet(name, str(folder)), executor) for name, folder in TESTS.items()}
    with process_pool(2) as pool:
        for name, table in tables.items():
            twins = within(table)
            found = {part: leaks_in(sorted(folder.glob("*.jpg")), table, pool) for part, folder in PARTS.items()}
            results[name] = {"twice_in_itself": twins, **{f"BSDS500 {part}": pairs for part, pairs in found.items()}}
            counts = ", ".join(
                f"{part} {len(pairs)} of {len(list(PARTS[part].glob('*.jpg')))}" for part, pairs in found.items()
            )
            least = min((correlation for pairs in found.values() for _, correlation, _ in pairs.values()), default=1.0)
            print(f"{name}: in BSDS500 {counts}; least correlation {least:.3f}; {len(twins)} pairs within itself")
            if name == "Rain100L":
                chart(found, twins)
                if options.sheet:
                    sheet(options.sheet, found)
                by_target = defaultdict(list)
                for part, pairs in found.items():
                    for file, (target, correlation, relation) in pairs.items():
                        by_target[target].append(f"{part}/{file} {relation} {correlation:.3f}")
                for target in sorted(by_target, key=lambda text: [int(n) for n in re.findall(r"\d+", text)]):
                    print(f"  {target:<8} {'; '.join(by_target[target])}")
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
