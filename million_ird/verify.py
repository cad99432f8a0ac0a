"""Reads a built data set again and lists everything that is not as it should be."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from million_ird import ledger as ledgers
from million_ird.build import open_build
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.errors import LedgerError, ReadError
from million_ird.images import decode, read_header
from million_ird.patches import at_scale
from million_ird.recipe import Recipe
from million_ird.scanned import from_scan
from million_ird.storage import Folder

MOST_FAULTS = 1000
Row = dict[str, object]


@dataclass(slots=True)
class Findings:
    """What a verification found."""

    faults: list[str] = field(default_factory=list)
    images: int = 0
    patches: int = 0

    def add(self, fault: str) -> None:
        """Notes a fault; after `MOST_FAULTS` only their being more."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MOST_FAULTS:
            self.faults.append("… and more")


def verify(out: str) -> Findings:
    """Reads ledger, pictures and patches again.

    Checked: kept + dropped + failed = candidates; keys are unique; the verdicts are those that recipe and numbers
    give; every kept picture is in the data once, nothing else is, and its bytes have its sha256; every patch decodes
    to exactly the pixels of its box in its parent; the card counts what is there.

    Raises:
        OutputError: no build is there.
        LedgerError: it holds no ledger.
    """
    folder, recipe = open_build(out)
    findings = Findings()
    ledger = ledgers.load(folder)
    _check_ledger(folder, ledger, recipe, findings)
    kept = ledger.filter(pc.equal(ledger["verdict"], ledgers.KEPT))
    expected = dict(zip(kept["id"].to_pylist(), kept["key"].to_pylist(), strict=True))
    _check_pictures(folder, expected, recipe, findings)
    _check_card(folder, ledger.num_rows, findings)
    return findings


def _check_ledger(folder: Folder, ledger: pa.Table, recipe: Recipe, findings: Findings) -> None:
    try:
        ledgers.funnel(ledger)
    except LedgerError as error:
        findings.add(f"ledger: {error}")
    for key, count in Counter(ledger["key"].to_pylist()).items():
        if count > 1:
            findings.add(f"ledger: key {key} stands {count} times")
    again = decide(ledger.select(needed_columns(recipe)), recipe, int(pc.sum(ledger["vanished"]).as_py() or 0))
    if not again.equals(ledger.select(again.column_names)):
        findings.add("ledger: its verdicts are not those that the recipe and the numbers give")
    rows = from_scan(folder)
    if rows is not None:
        schema = ledgers.measured_schema(rows.measures)
        found = pa.concat_tables([schema.empty_table(), *rows.batches()])
        if not found.equals(ledger.select(schema.names)):
            findings.add("ledger: its rows are not those that were scanned")


def _check_pictures(folder: Folder, expected: dict[str, str], recipe: Recipe, findings: Findings) -> None:
    patches = _Grouped(_rows(folder, "patches"))
    seen: set[str] = set()
    for row in _rows(folder, "data"):
        findings.images += 1
        name = str(row["id"])
        encoded = _bytes(row)
        if hashlib.sha256(encoded).hexdigest() != name:
            findings.add(f"images: {name}: the bytes have another sha256")
        if name in seen:
            findings.add(f"images: {name} stands twice")
        elif expected.get(name) != row["key"]:
            findings.add(f"images: {name} is not kept in the ledger")
        seen.add(name)
        _check_patches(name, encoded, patches.of(name), recipe, findings)
    for name in expected.keys() - seen:
        findings.add(f"images: {name} is kept in the ledger, but not in the data")
    for row in patches.rest():
        findings.add(f"patches: {row['id']}: its parent is not in the data, or stands elsewhere")


def _check_patches(name: str, encoded: bytes, patches: list[Row], recipe: Recipe, findings: Findings) -> None:
    findings.patches += len(patches)
    if not patches:
        return
    try:
        parent = decode(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
        scaled_once: dict[object, NDArray[np.uint8]] = {}
        for row in patches:
            x, y, size = (int(str(row[k])) for k in ("x", "y", "size"))
            scaled = scaled_once.get(row["scale"])
            if scaled is None:
                scaled = scaled_once[row["scale"]] = at_scale(parent, float(str(row["scale"])))
            if not np.array_equal(_decoded(_bytes(row)), scaled[y : y + size, x : x + size]):
                findings.add(f"patches: {row['id']}: not the pixels of its box")
    except ReadError as error:
        findings.add(f"images: {name}: {error}")


def _decoded(encoded: bytes) -> NDArray[np.uint8]:
    return decode(encoded, read_header(encoded))


def _check_card(folder: Folder, candidates: int, findings: Findings) -> None:
    if not folder.exists("README.md"):
        findings.add("README.md: is not there")
        return
    card = folder.read("README.md").decode()
    for name, count in (("images", findings.images), ("patches", findings.patches), ("ledger", candidates)):
        if f"| `{name}` | {count} |" not in card:
            findings.add(f"README.md: does not say that there are {count} {name}")


def _rows(folder: Folder, kind: str) -> Iterator[Row]:
    for name in folder.names(kind):
        with folder.open(f"{kind}/{name}") as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=16):
                yield from batch.to_pylist()


def _bytes(row: Row) -> bytes:
    image = row["image"]
    assert isinstance(image, dict)
    encoded: bytes = image["bytes"]
    return encoded


class _Grouped:
    """Patches stand in the order of their parents, so one pass over both finds them all."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, parent: str) -> list[Row]:
        """The patches that follow, as long as they are of this parent."""
        found = []
        while self._next is not None and self._next["parent"] == parent:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found

    def rest(self) -> Iterator[Row]:
        """Those that no parent claimed."""
        if self._next is not None:
            yield self._next
        yield from self._rows
