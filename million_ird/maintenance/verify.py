"""Reads a built data set again and lists everything that is not as it should be."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird import ledger as ledgers
from million_ird.build_folder import open_build
from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import image_columns
from million_ird.dataset.layout import data_files_of, linked, parts, rows_of, said_in
from million_ird.dataset.patches import Box, cut, measure_patch, patch_id
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.errors import DamagedFile, LedgerError, ReadError, one_line
from million_ird.fingerprints import against
from million_ird.images.decode import decode, read_header
from million_ird.ledger import Row
from million_ird.metadata.strip import holds_private
from million_ird.reporting.card import CARD
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from million_ird.scan.scan_table import Scanned, from_ledger, from_scan, without_signatures

MOST_FAULTS = 1000
_OF_THE_FILE = frozenset({"image", "sha256"})


@dataclass(slots=True)
class Findings:
    """What a verification found."""

    faults: list[str] = field(default_factory=list)
    images: int = 0
    patches: int = 0

    @property
    def text(self) -> str:
        """For a person."""
        counted = f"{self.images:,} images and {self.patches:,} patches read: {len(self.faults):,} faults"
        return "\n".join([*self.faults, counted])

    def as_json(self) -> dict[str, object]:
        """For a script."""
        return {"faults": self.faults, "images": self.images, "patches": self.patches}

    def add(self, fault: str) -> None:
        """Notes a fault; after `MOST_FAULTS` only their being more."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MOST_FAULTS:
            self.faults.append("… and more")


def verify(out: str) -> Findings:
    """Reads ledger, pictures and patches again.

    Checked: kept + dropped + failed = candidates; keys are unique; the verdicts are those that recipe and numbers
    give; every kept picture is in the data once, nothing else is, its bytes have its sha256 and its numbers are the
    ledger's, it tells nothing private where the recipe says so; every patch that its gates let through is there once,
    nothing else is, with exactly the pixels of its box in its parent; families of near copies are in one split; the
    card names the parts and counts what is there.

    Raises:
        OutputError: no build is there.
        LedgerError: it holds no ledger.
        DamagedFile: the ledger cannot be read.
    """
    folder, recipe = open_build(out)
    findings = Findings()
    ledger = ledgers.load(folder)
    measures = ledgers.check_version(ledger.schema, f"{folder.url}/{ledgers.FOLDER}")
    for name in ledgers.files(folder):
        if not folder.read_schema(name).equals(ledgers.ledger_schema(measures)):
            raise LedgerError(f"{folder.url}/{name}: its columns are not those of a ledger")
    _check_ledger(folder, ledger, recipe, findings)
    kept = ledger.filter(pc.equal(ledger["verdict"], ledgers.KEPT)).select([*image_columns(measures), "split"])
    with single_threaded():
        _check_pictures(folder, kept, recipe, findings)
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
    lacking = set(needed_columns(recipe)) - set(ledger.column_names)
    if lacking:
        findings.add(f"ledger: lacks {', '.join(sorted(lacking))}, which the recipe decides by")
        return
    again = decide(
        ledger.select(needed_columns(recipe)),
        recipe,
        int(pc.sum(ledger["vanished"]).as_py() or 0),
        batches=from_ledger(folder).some,
        against=against(folder),
    )
    if not again.equals(ledger.select(again.column_names)):
        findings.add("ledger: its verdicts are not those that the recipe and the numbers give")
    rows = from_scan(folder)
    if rows is not None and not _same_rows(rows, from_ledger(folder), ledger["reason"]):
        findings.add("ledger: its rows are not those that were scanned")


def _same_rows(scan: Scanned, ledger: Scanned, reasons: pa.ChunkedArray) -> bool:
    """Whether a scan and a ledger hold the same rows, signatures of what was removed aside; read side by side."""
    if scan.measures != ledger.measures:
        return False
    start = 0
    others, left = ledger.batches(), ledgers.measured_schema(ledger.measures).empty_table()
    for table in scan.batches():
        while left.num_rows < table.num_rows:
            more = next(others, None)
            if more is None:
                return False
            left = pa.concat_tables([left, more])
        bare = without_signatures(table, reasons.slice(start, table.num_rows))
        if not bare.equals(left.slice(0, table.num_rows)):
            return False
        left, start = left.slice(table.num_rows), start + table.num_rows
    return left.num_rows == 0 and next(others, None) is None


def _check_pictures(folder: Folder, kept: pa.Table, recipe: Recipe, findings: Findings) -> None:
    places = {name: place for place, name in enumerate(kept["id"].to_pylist())}
    patches = _Grouped(_rows(folder, "patches", findings))
    seen: set[str] = set()
    for row in _rows(folder, "data", findings):
        findings.images += 1
        name, encoded = str(row.get("id")), _bytes(row)
        _check_bytes(name, encoded, row, recipe, findings)
        if name in seen:
            findings.add(f"images: {name} stands twice")
            continue
        seen.add(name)
        if name not in places:
            findings.add(f"images: {name} is not kept in the ledger")
        elif {k: v for k, v in row.items() if k not in _OF_THE_FILE} != kept.slice(places[name], 1).to_pylist()[0]:
            findings.add(f"images: {name}: what stands beside it is not what the ledger says")
        _check_patches(name, encoded, patches.of(name), recipe, findings)
    for name in places.keys() - seen:
        findings.add(f"images: {name} is kept in the ledger, but not in the data")
    for row in patches.rest():
        findings.patches += 1
        findings.add(f"patches: {row.get('id')}: its parent is not in the data, or stands elsewhere")


def _check_bytes(name: str, encoded: bytes, row: Row, recipe: Recipe, findings: Findings) -> None:
    if hashlib.sha256(encoded).hexdigest() != row.get("sha256"):
        findings.add(f"images: {name}: the bytes have another sha256")
    if recipe.privacy.covers(str(row.get("uri"))):
        try:
            private = holds_private(encoded, str(row.get("format")))
        except ReadError as error:
            private = [str(error)]
        if private:
            findings.add(f"images: {name}: tells what it should not: {', '.join(private)}")
    elif row.get("sha256") != name:
        findings.add(f"images: {name}: the bytes are not those of its source")


def _check_patches(name: str, encoded: bytes, patches: list[Row], recipe: Recipe, findings: Findings) -> None:
    findings.patches += len(patches)
    try:
        parent = decode(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
    except ReadError as error:
        findings.add(f"images: {name}: {error}")
        return
    wanted = dict(_wanted(name, parent, recipe))
    for row in patches:
        called = str(row.get("id"))
        expected = wanted.pop(called, None)
        if expected is None:
            findings.add(f"patches: {called} stands twice, or is no patch by the recipe")
        elif not _is_patch(row, *expected):
            findings.add(f"patches: {called}: not the pixels of its box, or not its numbers")
    for called in wanted:
        findings.add(f"patches: {called} is not there")


def _wanted(
    name: str, parent: NDArray[np.uint8], recipe: Recipe
) -> Iterator[tuple[str, tuple[NDArray[np.uint8], Row]]]:
    """The patches that the recipe cuts from a picture: name to pixels and columns."""
    for scale, box, pixels in cut(parent, recipe.patches.size, recipe.patches.scales):
        numbers = measure_patch(pixels)
        if first_drop(recipe.patches.gates, numbers) is None:
            yield patch_id(name, scale, box), (pixels, {**_place(box), "scale": scale, **numbers})


def _place(box: Box) -> Row:
    return {"x": box.x, "y": box.y, "size": box.size}


def _is_patch(row: Row, pixels: NDArray[np.uint8], columns: Mapping[str, object]) -> bool:
    if not all(_same(row.get(name), value) for name, value in columns.items()):
        return False
    try:
        encoded = _bytes(row)
        return np.array_equal(decode(encoded, read_header(encoded)), pixels)
    except ReadError:
        return False


def _same(found: object, expected: object) -> bool:
    """Equal, but for what another processor's arithmetic may do to a measured number."""
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-6)
    return found == expected


def _check_card(folder: Folder, candidates: int, findings: Findings) -> None:
    if not folder.exists(CARD):
        findings.add(f"{CARD}: is not there")
        return
    card = folder.read(CARD).decode(errors="replace")
    try:
        said = said_in(card)
        found = parts(folder)
    except ValueError as error:
        findings.add(f"{CARD}: cannot be read: {one_line(error)}")
        return
    except DamagedFile:  # which is a finding already
        return
    counted = {"images": findings.images, "patches": findings.patches, "ledger": candidates}
    for part in found:
        if data_files_of(said, part.config) != part.data_files():
            findings.add(f"{CARD}: does not say where {part.folder} is")
        rows = {split.name: split.rows for split in part.splits}
        told = all(f"| `{part.config}` | {count:,} | {split} |" in card for split, count in rows.items())
        if not told or rows_of(said, part.config) != rows or sum(rows.values()) != counted[part.config]:
            findings.add(f"{CARD}: does not say that there are {counted[part.config]} {part.config}")
    for config in counted.keys() - {part.config for part in found}:
        findings.add(f"{CARD}: there are no files of {config}")
    for name in linked(card):
        if not folder.exists(name):
            findings.add(f"{CARD}: shows {name}, which is not there")


def _rows(folder: Folder, kind: str, findings: Findings) -> Iterator[Row]:
    """The rows of all files of one kind with their split; a file that cannot be read is a fault, others are read."""
    for name in folder.names(kind):
        split = {"split": name.split("-", 1)[0]}
        try:
            with folder.parquet(f"{kind}/{name}") as file:
                for group in range(file.num_row_groups):  # of several at once, pyarrow would hold them all
                    for batch in file.iter_batches(batch_size=16, row_groups=[group]):
                        yield from (row | split for row in batch.to_pylist())
        except DamagedFile as error:
            findings.add(str(error))


def _bytes(row: Row) -> bytes:
    image = row.get("image")
    encoded = image.get("bytes") if isinstance(image, dict) else None
    return encoded if isinstance(encoded, bytes) else b""


class _Grouped:
    """Patches stand in the order of their parents, so one pass over both finds them all."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, parent: str) -> list[Row]:
        """The patches that follow, as long as they are of this parent."""
        found = []
        while self._next is not None and self._next.get("parent") == parent:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found

    def rest(self) -> Iterator[Row]:
        """Those that no parent claimed."""
        if self._next is not None:
            yield self._next
        yield from self._rows
