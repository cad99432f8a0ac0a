"""How many altered copies are found, and how many pairs of other pictures are taken for copies.

Photographs of ../shared/data, at 1200 px at most, are altered in every way of alterations.py; originals and altered
pictures of one kind then go through the search as in `decide`. Beside it, in the same run, pHash alone: what imagehash
finds within 8 bits. The groups of ../shared/data/duplicates are what really happened to pictures over the years.
"""

import argparse
import csv
import io
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
from alterations import ALTERATIONS
from machine import SHARED as DATA
from machine import describe
from PIL import Image

from million_ird.candidate import Sample
from million_ird.dedup.search import Confirmer, Copies, Index, Marks, Search, candidates, confirmed, read_marks
from million_ird.measures.signature import signature
from million_ird.runtime.threads import single_threaded

RESULTS = Path(__file__).parent / "results" / "copies.json"
SEARCH = Search(radius=8, turned=True, crops=True)
RADIUS = 8


def sign(encoded: bytes) -> dict[str, object]:
    sample = Sample(encoded)
    with single_threaded():
        start = time.perf_counter()
        sample.header, sample.thumbnail, sample.luma  # noqa: B018 — decoding is paid for by the measures
        decoded = time.perf_counter()
        marks = dict(signature(sample))
        seconds = time.perf_counter() - decoded
    whole = int(str(imagehash.phash(Image.fromarray(sample.pixels))), 16)
    apart = (whole ^ int(str(marks["phash"]), 16)).bit_count()
    size = {"width": sample.header.width, "height": sample.header.height}
    return {**marks, **size, "whole": whole, "apart": apart, "seconds": seconds, "decoding": decoded - start}


def altered(task: tuple[str, str | None]) -> dict[str, object]:
    path, name = task
    if name is None:
        return sign(Path(path).read_bytes())
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((1200, 1200))
    seed = sum(path.encode()) + len(name)
    buffer = io.BytesIO()
    ALTERATIONS[name](picture, np.random.default_rng(seed)).save(buffer, "BMP")
    return sign(buffer.getvalue())


def search(rows: list[dict[str, object]]) -> tuple[Marks, Copies]:
    columns = ("phash", "frame", "points", "width", "height")
    table = pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows])

    def batches(names: list[str]) -> list[pa.Table]:
        return [table.select(list(names))]

    marks = read_marks(batches, np.ones(len(rows), bool))
    pairs = candidates(marks, SEARCH, Index())
    involved = np.unique(marks.rows[np.concatenate(pairs).ravel()])
    return marks, confirmed(marks, pairs, Confirmer(batches, involved, SEARCH, None), SEARCH)


def by_hash(rows: list[dict[str, object]]) -> set[tuple[int, int]]:
    hashes = np.array([row["whole"] for row in rows], np.uint64)
    i, j = np.nonzero(np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None]) <= RADIUS, 1))
    return set(zip(i.tolist(), j.tolist(), strict=True))


def tally(rows: list[dict[str, object]], count: int) -> dict[str, object]:
    """`rows`: `count` originals, then their altered copies."""
    _, found = search(rows)
    copies, related = set(map(tuple, found.copies.tolist())), set(map(tuple, found.parts.tolist()))
    alone = by_hash(rows)
    wanted = {(i, i + count) for i in range(count)}
    # Pairs of originals are the same in every tally: they count once, where nothing is altered.
    fresh = {pair for pair in copies | related if pair[1] >= count} - wanted
    return {
        "recall": len(copies & wanted) / count,
        "recall_with_parts": len((copies | related) & wanted) / count,
        "recall_phash": len(alone & wanted) / count,
        "false": len(fresh),
        "false_phash": len({pair for pair in alone - wanted if pair[1] >= count}),
        "pairs": count * count - count + count * (count - 1) // 2,
    }


def groups(pool: ProcessPoolExecutor) -> dict[str, object]:
    folder = DATA / "duplicates"
    with open(folder / "groups.tsv", newline="") as file:
        listed = list(csv.DictReader(file, delimiter="\t"))
    rows = list(pool.map(altered, [(str(folder / row["file"]), None) for row in listed]))
    _, found = search(rows)
    copies, parts = set(map(tuple, found.copies.tolist())), set(map(tuple, found.parts.tolist()))
    alone = by_hash(rows)
    counts: Counter[tuple[str, str]] = Counter()
    missed = []
    for j, row in enumerate(listed):
        i = next(
            k
            for k, other in enumerate(listed)
            if other["group"] == row["group"] and other["relation_to_reference"] == "reference"
        )
        if i != j:
            pair, kind = (min(i, j), max(i, j)), row["relation_to_reference"]
            counts[kind, "pairs"] += 1
            counts[kind, "copies"] += pair in copies
            counts[kind, "parts"] += pair in parts
            counts[kind, "pHash alone"] += pair in alone
            if pair not in copies | parts:
                missed.append(f"{row['file']} ({kind})")
    across = [pair for pair in copies | parts if listed[pair[0]]["group"] != listed[pair[1]]["group"]]
    kinds = sorted({kind for kind, _ in counts})
    return {
        "relations": {
            kind: {what: counts[kind, what] for what in ("pairs", "copies", "parts", "pHash alone")} for kind in kinds
        },
        "missed": missed,
        "across_groups": len(across),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    photographs = sorted((DATA / "photos").glob("*.*")) + sorted((DATA / "real").glob("*/*.*"))
    others = sorted((DATA / "train" / "BSDS500").glob("*/*.jpg"))
    step = max(1, len(others) // max(1, given.pictures - len(photographs)))
    paths = [str(path) for path in [*photographs, *others[::step]][: given.pictures]]
    print(f"{len(paths)} pictures")
    results: dict[str, object] = {}
    with ProcessPoolExecutor(given.workers) as pool:
        originals = list(pool.map(altered, [(path, None) for path in paths], chunksize=4))
        print(f"{'alteration':<22}{'recall':>8}{'or part':>9}{'pHash ≤ 8':>11}{'false':>7}{'pHash':>7}")
        for name in ALTERATIONS:
            copies = list(pool.map(altered, [(path, name) for path in paths], chunksize=4))
            told = tally([*originals, *copies], len(paths))
            results[name] = told
            print(
                f"{name:<22}{told['recall']:>8.3f}{told['recall_with_parts']:>9.3f}{told['recall_phash']:>11.3f}"
                f"{told['false']:>7}{told['false_phash']:>7}",
                flush=True,
            )
        real = groups(pool)
    pairs = sum(int(str(one["pairs"])) for one in results.values())  # type: ignore[index]
    false = sum(int(str(one["false"])) for one in results.values())  # type: ignore[index]
    false_hash = sum(int(str(one["false_phash"])) for one in results.values())  # type: ignore[index]
    print(f"false matches: {false} of {pairs:,} pairs; pHash alone {false_hash}")
    print(json.dumps(real, indent=1, ensure_ascii=False))
    apart = Counter(int(str(row["apart"])) for row in originals)
    seconds = float(np.mean([float(str(row["seconds"])) for row in originals]))
    print(f"pHash of the thumbnail against that of the whole, bits apart: {dict(sorted(apart.items()))}")
    print(f"signature: {1000 * seconds:.1f} ms a picture, decoding aside")
    RESULTS.write_text(
        json.dumps(
            {
                "command": f"python benchmarks/copies.py --pictures {given.pictures}",
                "machine": describe(),
                "pictures": len(paths),
                "alterations": results,
                "false_matches": false,
                "false_matches_phash": false_hash,
                "pairs": pairs,
                "duplicates": real,
                "phash_bits_apart": dict(sorted(apart.items())),
                "signature_ms": 1000 * seconds,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
