"""Verification of a built dataset: everything is read again and compared with the recipe and the ledger."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from million_ird import ledger as ledgers
from million_ird.build_folder import open_build
from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import image_columns
from million_ird.dataset.layout import data_files, hub_configs, linked_files, read_front_matter, split_rows
from million_ird.dataset.patches import PatchBox, cut_patches, measure_patch, patch_id
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.errors import DamagedFile, LedgerError, ReadError, one_line
from million_ird.fingerprints import load_reference_fingerprints
from million_ird.images.decode import decode, decode_thumbnail
from million_ird.images.header import read_header
from million_ird.ledger import Row
from million_ird.metadata.strip import list_private
from million_ird.printable import printable
from million_ird.reporting.card import CARD
from million_ird.reporting.formatting import plural
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from million_ird.scan.scan_table import ScanTable, from_ledger, from_scan, without_signatures
from million_ird.schema import KEPT

MAX_FAULTS = 1000
"""Number of faults after which no more are listed."""
_FILE_COLUMNS = frozenset({"image", "sha256"})
"""Columns of published images that the ledger does not have."""


@dataclass(slots=True)
class VerifyReport:
    """The result of a verification."""

    faults: list[str] = field(default_factory=list)
    images: int = 0
    patches: int = 0

    @property
    def text(self) -> str:
        """The faults, one per line, and the counts, for people."""
        images, patches = plural(self.images, "image"), plural(self.patches, "patch", "patches")
        return "\n".join(
            [*map(printable, self.faults), f"{images} and {patches} read: {plural(len(self.faults), 'fault')}"]
        )

    def as_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {"faults": self.faults, "images": self.images, "patches": self.patches}

    def add(self, fault: str) -> None:
        """Add a fault; after `MAX_FAULTS` only note that there are more."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MAX_FAULTS:
            self.faults.append("… and more")


def verify(out: str) -> VerifyReport:
    """Verify a build from its files.

    Ledger: kept + dropped + failed = candidates; keys are unique; deciding again gives the same verdicts; the rows are
    those of the scan. Images: each kept image is in the data exactly once, and nothing else; its bytes have its sha256;
    imagehash computes its pHash; its other columns are those of the ledger, with the same split; it has no private
    metadata where the recipe removes it. Patches: each patch that passes the gates is there exactly once, and nothing
    else, with exactly the pixels of its box in its parent. Card: it lists the files and the right counts.

    Raises:
        OutputError: There is no build.
        LedgerError: It has no ledger.
        DamagedFile: The ledger cannot be read.
    """
    folder, recipe = open_build(out)
    report = VerifyReport()
    ledger = ledgers.load(folder)
    measures = ledgers.check_version(ledger.schema, f"{folder.url}/{ledgers.FOLDER}")
    for name in ledgers.files(folder):
        if not folder.read_schema(name).equals(ledgers.ledger_schema(measures)):
            raise LedgerError(f"{folder.url}/{name}: does not have the columns of a ledger")
    _check_ledger(folder, ledger, recipe, report)
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT)).select([*image_columns(measures), "split"])
    with single_threaded():
        _check_images(folder, kept, recipe, report)
    _check_card(folder, ledger.num_rows, report)
    return report


def _check_ledger(folder: Folder, ledger: pa.Table, recipe: Recipe, report: VerifyReport) -> None:
    try:
        ledgers.funnel(ledger)
    except LedgerError as error:
        report.add(f"ledger: {error}")
    for key, count in Counter(ledger["key"].to_pylist()).items():
        if count > 1:
            report.add(f"ledger: key {key} appears {count} times")
    missing = set(needed_columns(recipe)) - set(ledger.column_names)
    if missing:
        report.add(f"ledger: has no {', '.join(sorted(missing))}, which the recipe needs")
        return
    verdicts = decide(
        ledger.select(needed_columns(recipe)),
        recipe,
        int(pc.sum(ledger["vanished"]).as_py() or 0),
        batches=from_ledger(folder).iter_batches,
        references=load_reference_fingerprints(folder),
    )
    if not verdicts.equals(ledger.select(verdicts.column_names)):
        report.add("ledger: the recipe and the numbers give other verdicts")
    rows = from_scan(folder)
    if rows is not None and not _same_rows(rows, from_ledger(folder), ledger["reason"], recipe):
        report.add("ledger: its rows differ from the scanned rows")


def _same_rows(scan: ScanTable, ledger: ScanTable, reasons: pa.ChunkedArray, recipe: Recipe) -> bool:
    """Return whether a scan, as it may be published, and a ledger have the same rows, but for what was removed."""
    if scan.measures != ledger.measures:
        return False
    start = 0
    others, unread = ledger.batches(), ledgers.measured_schema(ledger.measures).empty_table()
    for table in scan.published(recipe.uri_parameters):
        while unread.num_rows < table.num_rows:
            batch = next(others, None)
            if batch is None:
                return False
            unread = pa.concat_tables([unread, batch])
        bare = without_signatures(table, reasons.slice(start, table.num_rows))
        if not bare.equals(unread.slice(0, table.num_rows)):
            return False
        unread, start = unread.slice(table.num_rows), start + table.num_rows
    return unread.num_rows == 0 and next(others, None) is None


def _check_images(folder: Folder, kept: pa.Table, recipe: Recipe, report: VerifyReport) -> None:
    positions = {name: position for position, name in enumerate(kept["id"].to_pylist())}
    patches = _Grouped(_rows(folder, "patches", report))
    seen: set[str] = set()
    for row in _rows(folder, "data", report):
        report.images += 1
        name, encoded = str(row.get("id")), _bytes(row)
        _check_bytes(name, encoded, row, recipe, report)
        _check_phash(name, encoded, row, recipe, report)
        if name in seen:
            report.add(f"images: {name} appears twice")
            continue
        seen.add(name)
        if name not in positions:
            report.add(f"images: {name} is not kept in the ledger")
        elif {k: v for k, v in row.items() if k not in _FILE_COLUMNS} != kept.slice(positions[name], 1).to_pylist()[0]:
            report.add(f"images: {name}: its columns differ from the ledger")
        _check_patches(name, encoded, patches.of(name), recipe, report)
    for name in positions.keys() - seen:
        report.add(f"images: {name} is kept in the ledger, but not in the data")
    for row in patches.rest():
        report.patches += 1
        report.add(f"patches: {row.get('id')}: its parent is not in the data, or in another order")


def _check_bytes(name: str, encoded: bytes, row: Row, recipe: Recipe, report: VerifyReport) -> None:
    if hashlib.sha256(encoded).hexdigest() != row.get("sha256"):
        report.add(f"images: {name}: the bytes have another sha256")
    if recipe.privacy.covers(str(row.get("uri"))):
        try:
            private = list_private(encoded, str(row.get("format")))
        except ReadError as error:
            private = [str(error)]
        if private:
            report.add(f"images: {name}: has private metadata: {', '.join(private)}")
    elif row.get("sha256") != name:
        report.add(f"images: {name}: the bytes are not those of the source")


def _check_phash(name: str, encoded: bytes, row: Row, recipe: Recipe, report: VerifyReport) -> None:
    """Compute the pHash of the thumbnail by imagehash, which shares no code with `measures.signature.phash`."""
    try:
        thumbnail = decode_thumbnail(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
    except ReadError:
        return  # `_check_patches` decodes the whole image and reports the fault
    phash = str(imagehash.phash(Image.fromarray(thumbnail)))
    if phash != row.get("phash"):
        report.add(f"images: {name}: imagehash computes the pHash {phash}, not {row.get('phash')}")


def _check_patches(name: str, encoded: bytes, patches: list[Row], recipe: Recipe, report: VerifyReport) -> None:
    report.patches += len(patches)
    try:
        parent = decode(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
    except ReadError as error:
        report.add(f"images: {name}: {error}")
        return
    expected = dict(_expected_patches(name, parent, recipe))
    for row in patches:
        patch = str(row.get("id"))
        content = expected.pop(patch, None)
        if content is None:
            report.add(f"patches: {patch} appears twice, or the recipe does not cut it")
        elif not _is_patch(row, *content):
            report.add(f"patches: {patch}: not the pixels of its box, or not its numbers")
    for patch in expected:
        report.add(f"patches: {patch} is missing")


def _expected_patches(
    name: str, parent: NDArray[np.uint8], recipe: Recipe
) -> Iterator[tuple[str, tuple[NDArray[np.uint8], Row]]]:
    """Yield the patches that the recipe cuts from an image: id, and pixels with columns."""
    for scale, box, pixels in cut_patches(parent, recipe.patches.size, recipe.patches.scales):
        numbers = measure_patch(pixels)
        if first_drop(recipe.patches.gates, numbers) is None:
            yield patch_id(name, scale, box), (pixels, {**_box_columns(box), "scale": scale, **numbers})


def _box_columns(box: PatchBox) -> Row:
    return {"x": box.x, "y": box.y, "size": box.size}


def _is_patch(row: Row, pixels: NDArray[np.uint8], columns: Mapping[str, object]) -> bool:
    if not all(_same(row.get(name), value) for name, value in columns.items()):
        return False
    try:
        encoded = _bytes(row)
        return np.array_equal(decode(encoded, read_header(encoded)), pixels)
    except ReadError:
        return False


def _same(value: object, expected: object) -> bool:
    """Return whether two values are equal; floats may differ by the rounding of another processor."""
    if isinstance(value, float) and isinstance(expected, float):
        return math.isclose(value, expected, rel_tol=1e-6)
    return value == expected


def _check_card(folder: Folder, candidates: int, report: VerifyReport) -> None:
    if not folder.exists(CARD):
        report.add(f"{CARD}: is missing")
        return
    card = folder.read(CARD).decode(errors="replace")
    try:
        front_matter = read_front_matter(card)
        configs = hub_configs(folder)
    except ValueError as error:
        report.add(f"{CARD}: cannot be read: {one_line(error)}")
        return
    except DamagedFile:  # already reported
        return
    counts = {"images": report.images, "patches": report.patches, "ledger": candidates}
    for config in configs:
        if data_files(front_matter, config.name) != config.data_files():
            report.add(f"{CARD}: does not list the files of {config.folder}")
        rows = {split.name: split.rows for split in config.splits}
        in_table = all(f"| `{config.name}` | {count:,} | {split} |" in card for split, count in rows.items())
        if not in_table or split_rows(front_matter, config.name) != rows or sum(rows.values()) != counts[config.name]:
            report.add(f"{CARD}: does not state that there are {counts[config.name]} {config.name}")
    for absent in counts.keys() - {config.name for config in configs}:
        report.add(f"{CARD}: there are no files of {absent}")
    for name in linked_files(card):
        if not folder.exists(name):
            report.add(f"{CARD}: links to {name}, which does not exist")


def _rows(folder: Folder, kind: str, report: VerifyReport) -> Iterator[Row]:
    """Yield the rows of all files of one kind, with their split; a file that cannot be read is a fault."""
    for name in folder.names(kind):
        split = {"split": name.split("-", 1)[0]}
        try:
            with folder.parquet(f"{kind}/{name}") as file:
                for group in range(file.num_row_groups):  # pyarrow would keep all groups that are asked for at once
                    for batch in file.iter_batches(batch_size=16, row_groups=[group]):
                        yield from (row | split for row in batch.to_pylist())
        except DamagedFile as error:
            report.add(str(error))


def _bytes(row: Row) -> bytes:
    image = row.get("image")
    encoded = image.get("bytes") if isinstance(image, dict) else None
    return encoded if isinstance(encoded, bytes) else b""


class _Grouped:
    """Groups patches by parent in one pass: patches are stored in the order of their parents."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, parent: str) -> list[Row]:
        """Return the next patches, as long as they are of this parent."""
        patches = []
        while self._next is not None and self._next.get("parent") == parent:
            patches.append(self._next)
            self._next = next(self._rows, None)
        return patches

    def rest(self) -> Iterator[Row]:
        """Yield the patches that were not returned yet."""
        if self._next is not None:
            yield self._next
        yield from self._rows
