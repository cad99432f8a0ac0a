"""How often the original is kept of a photograph and an altered copy of it.

Photographs of ../shared/data are altered in every way of alterations.py and harms.py, and saved as PNG and JPEG by
turns; the original comes before its copy, and then after it. Every pair is decided as in a build, with the size and the
numbers of both. Pairs that are not found as copies are counted apart; so are alterations after which no pixel tells
which file was first. `--half` takes every second photograph.
"""

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from alterations import ALTERATIONS
from harms import HARMS
from machine import SHARED as DATA
from machine import describe, process_pool
from PIL import Image

from million_ird.config.rules import DuplicateRules
from million_ird.decide.leaks import ReferenceFingerprints
from million_ird.decide.passing import PASSING_NUMBERS, PassingRows, settle
from million_ird.dedup.clusters import labels_of
from million_ird.dedup.search import HashPairSearch
from million_ird.errors import ReadError
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from million_ird.measures.signature import compute_signature
from million_ird.measures.view import pack_view
from million_ird.runtime.threads import single_threaded

RESULTS = Path(__file__).parent / "results" / "originals.json"
EQUAL = frozenset({"mirrored", "turned by 90°", "JPEG 95"})
"""Nothing is added to the pixels or lost from them that shows."""
ALL = {**ALTERATIONS, **HARMS}
Row = dict[str, object]


def measured(encoded: bytes) -> Row:
    image = EncodedImage(encoded)
    with single_threaded():
        row: Row = {"id": image.sha256, "bytes": len(encoded), "camera": None}
        row |= {"width": image.header.width, "height": image.header.height}
        image.thumbnail, image.luma  # noqa: B018 — as in a scan, where earlier measures need them
        for name in ("header", "artefacts", "resolution", "nss"):
            row |= {key: value for key, value in MEASURES[name].measure(image).items() if key in PASSING_NUMBERS}
        return row | compute_signature(image) | {"view": pack_view(image)}


def saved(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({"quality": 95} if form == "JPEG" else {"compress_level": 1}))
    return buffer.getvalue()


def altered(task: tuple[str, int, int, tuple[str, ...]]) -> list[Row | None]:
    """Return the rows of a photograph and of its copies."""
    path, number, side, names = task
    picture = Image.open(path).convert("RGB")
    # Reduced by a sixth at least: an original that shows an earlier compression is a copy itself.
    side = min(side, 5 * max(picture.size) // 6)
    picture.thumbnail((side, side))
    first = saved(picture, "JPEG" if number % 2 else "PNG")
    picture = Image.open(io.BytesIO(first)).convert("RGB")
    rows: list[Row | None] = [measured(first)]
    for position, name in enumerate(names):
        copy = ALL[name](picture, np.random.default_rng(sum(path.encode()) + len(name)))
        try:
            rows.append(measured(saved(copy, "JPEG" if (position + number // 2) % 2 else "PNG")))
        except ReadError:
            rows.append(None)
    return rows


def dropped(rows: Sequence[Row]) -> list[str | None]:
    """Return for each row the key of the row that is kept instead of it."""
    columns = ("id", "pixels_id", "phash", "frame", "points", "view", *PASSING_NUMBERS)
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    keys = pa.chunked_array([pa.array([str(number) for number in range(len(rows))])])
    passing = PassingRows(
        keys=keys,
        ids=labels_of(table["id"]),
        pixels=labels_of(table["pixels_id"]),
        numbers=table.select([*PASSING_NUMBERS]),
        read=lambda names: iter([table.select([*names])]),
    )
    rules = DuplicateRules(exact=False)
    settled = settle(passing, rules, 0.0, ReferenceFingerprints(), HashPairSearch(), drop_shared_marks=False)
    return settled["duplicate_of"].to_pylist()


def tally(originals: Sequence[Row], copies: Sequence[Row]) -> dict[str, int]:
    """Count the pairs that are found, and those whose original is kept, with either file first."""
    count = len(originals)
    found = kept = 0
    for rows, shift in (((*originals, *copies), 0), ((*copies, *originals), count)):
        instead = dropped(rows)
        for number in range(count):
            original, copy = number + shift, number + count - shift
            won, lost = instead[copy] == str(original), instead[original] == str(copy)
            found, kept = found + won + lost, kept + won
    return {"pairs": 2 * count, "found": found, "kept": kept}


def photographs(count: int) -> list[str]:
    folders = [sorted((DATA / "photos").glob("*.*")), sorted((DATA / "train" / "BSDS500").glob("*/*.jpg"))]
    first = folders[0][: (2 * count + 2) // 3]
    step = max(1, len(folders[1]) // max(1, count - len(first)))
    return [str(path) for path in [*first, *folders[1][::step]][:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=45)
    parser.add_argument("--side", type=int, default=840, help="longest side in px of the photographs")
    parser.add_argument("--half", choices=("tuned", "held-out"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = photographs(options.pictures)
    if options.half:
        paths = paths[options.half == "held-out" :: 2]
    names = tuple(ALL)
    with process_pool(options.workers) as pool:
        tasks = [(path, number, options.side, names) for number, path in enumerate(paths)]
        rows = list(pool.map(altered, tasks))
    results: dict[str, dict[str, int]] = {}
    print(f"{len(paths)} photographs\n{'alteration':<26}{'found':>7}{'original kept':>15}")
    for position, name in enumerate(names, 1):
        pairs = [(own[0], own[position]) for own in rows if own[0] is not None and own[position] is not None]
        results[name] = tally([a for a, _ in pairs if a], [b for _, b in pairs if b])
        found, kept = results[name]["found"], results[name]["kept"]
        print(
            f"{name:<26}{found:>7}{kept / max(1, found):>15.1%}{'  nothing tells' if name in EQUAL else ''}", flush=True
        )
    different = [result for name, result in results.items() if name not in EQUAL]
    found, kept = sum(one["found"] for one in different), sum(one["kept"] for one in different)
    print(f"all that pixels can tell: {kept} of {found} pairs, {kept / found:.2%}")
    command = f"python benchmarks/originals.py --pictures {options.pictures} --side {options.side}"
    command += f" --half {options.half}" if options.half else ""
    summary = {"command": command, "machine": describe(), "photographs": len(paths), "found": found, "kept": kept}
    RESULTS.write_text(json.dumps({**summary, "alterations": results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
