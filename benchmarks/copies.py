"""The recall of altered copies, and the number of false matches.

Photographs of ../shared/data, at 1200 px at most, are altered in every way of alterations.py; the originals and the
images with one alteration then go through the search, as in `decide`. For comparison, in the same run, pHash alone:
the pairs that imagehash finds within 8 bits. The groups of ../shared/data/duplicates are real duplicates from the web.
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
from machine import describe, process_pool
from PIL import Image

from million_ird.dedup.search import HashPairSearch, find_near_duplicates
from million_ird.dedup.search_keys import NearDuplicateRules
from million_ird.dedup.verification import VerifiedPairs
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.signature import compute_signature
from million_ird.runtime.threads import single_threaded

RESULTS = Path(__file__).parent / "results" / "copies.json"
RULES = NearDuplicateRules(radius=8, turned=True, crops=True)
RADIUS = 8


def sign(encoded: bytes) -> dict[str, object]:
    image = EncodedImage(encoded)
    with single_threaded():
        start = time.perf_counter()
        image.header, image.thumbnail, image.luma  # noqa: B018 — the measures need it decoded anyway
        decoded = time.perf_counter()
        columns = dict(compute_signature(image))
        seconds = time.perf_counter() - decoded
    whole = int(str(imagehash.phash(Image.fromarray(image.pixels))), 16)
    distance = (whole ^ int(str(columns["phash"]), 16)).bit_count()
    size = {"width": image.header.width, "height": image.header.height}
    return {**columns, **size, "whole": whole, "distance": distance, "seconds": seconds, "decoding": decoded - start}


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


def search(rows: list[dict[str, object]]) -> VerifiedPairs:
    columns = ("phash", "frame", "points", "width", "height")
    table = pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows])

    def batches(names: list[str]) -> list[pa.Table]:
        return [table.select(list(names))]

    return find_near_duplicates(batches, np.ones(len(rows), bool), RULES, HashPairSearch())[0]


def by_hash(rows: list[dict[str, object]]) -> set[tuple[int, int]]:
    hashes = np.array([row["whole"] for row in rows], np.uint64)
    i, j = np.nonzero(np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None]) <= RADIUS, 1))
    return set(zip(i.tolist(), j.tolist(), strict=True))


def tally(rows: list[dict[str, object]], count: int) -> dict[str, object]:
    """Return recall and false matches of `rows`: `count` originals, then their altered copies."""
    found = search(rows)
    copies, related = set(map(tuple, found.copies.tolist())), set(map(tuple, found.parts.tolist()))
    by_phash = by_hash(rows)
    true_pairs = {(i, i + count) for i in range(count)}
    # Pairs of originals are the same for every alteration, so only pairs with an altered copy count.
    fresh = {pair for pair in copies | related if pair[1] >= count} - true_pairs
    return {
        "recall": len(copies & true_pairs) / count,
        "recall_with_parts": len((copies | related) & true_pairs) / count,
        "recall_phash": len(by_phash & true_pairs) / count,
        "false": len(fresh),
        "false_phash": len({pair for pair in by_phash - true_pairs if pair[1] >= count}),
        "pairs": count * count - count + count * (count - 1) // 2,
    }


def groups(pool: ProcessPoolExecutor) -> dict[str, object]:
    folder = DATA / "duplicates"
    with open(folder / "groups.tsv", newline="") as file:
        listed = list(csv.DictReader(file, delimiter="\t"))
    rows = list(pool.map(altered, [(str(folder / row["file"]), None) for row in listed]))
    found = search(rows)
    copies, parts = set(map(tuple, found.copies.tolist())), set(map(tuple, found.parts.tolist()))
    by_phash = by_hash(rows)
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
            counts[kind, "pHash alone"] += pair in by_phash
            if pair not in copies | parts:
                missed.append(f"{row['file']} ({kind})")
    across = [pair for pair in copies | parts if listed[pair[0]]["group"] != listed[pair[1]]["group"]]
    kinds = sorted({kind for kind, _ in counts})
    return {
        "relations": {
            kind: {count: counts[kind, count] for count in ("pairs", "copies", "parts", "pHash alone")}
            for kind in kinds
        },
        "missed": missed,
        "across_groups": len(across),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    photographs = sorted((DATA / "photos").glob("*.*")) + sorted((DATA / "real").glob("*/*.*"))
    others = sorted((DATA / "train" / "BSDS500").glob("*/*.jpg"))
    step = max(1, len(others) // max(1, options.pictures - len(photographs)))
    paths = [str(path) for path in [*photographs, *others[::step]][: options.pictures]]
    print(f"{len(paths)} images")
    results: dict[str, object] = {}
    with process_pool(options.workers) as pool:
        originals = list(pool.map(altered, [(path, None) for path in paths], chunksize=4))
        print(f"{'alteration':<22}{'recall':>8}{'or part':>9}{'pHash ≤ 8':>11}{'false':>7}{'pHash':>7}")
        for name in ALTERATIONS:
            copies = list(pool.map(altered, [(path, name) for path in paths], chunksize=4))
            result = tally([*originals, *copies], len(paths))
            results[name] = result
            print(
                f"{name:<22}{result['recall']:>8.3f}{result['recall_with_parts']:>9.3f}{result['recall_phash']:>11.3f}"
                f"{result['false']:>7}{result['false_phash']:>7}",
                flush=True,
            )
        real = groups(pool)
    pairs = sum(int(str(result["pairs"])) for result in results.values())  # type: ignore[index]
    false = sum(int(str(result["false"])) for result in results.values())  # type: ignore[index]
    false_hash = sum(int(str(result["false_phash"])) for result in results.values())  # type: ignore[index]
    print(f"false matches: {false} of {pairs:,} pairs; pHash alone {false_hash}")
    print(json.dumps(real, indent=1, ensure_ascii=False))
    distances = Counter(int(str(row["distance"])) for row in originals)
    seconds = float(np.mean([float(str(row["seconds"])) for row in originals]))
    print(f"differing bits of the pHashes of thumbnail and whole image: {dict(sorted(distances.items()))}")
    print(f"signature: {1000 * seconds:.1f} ms per image, without decoding")
    RESULTS.write_text(
        json.dumps(
            {
                "command": f"python benchmarks/copies.py --pictures {options.pictures}",
                "machine": describe(),
                "pictures": len(paths),
                "alterations": results,
                "false_matches": false,
                "false_matches_phash": false_hash,
                "pairs": pairs,
                "duplicates": real,
                "phash_bits_apart": dict(sorted(distances.items())),
                "signature_ms": 1000 * seconds,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
