"""Verification of the images and patches of a dataset, in units of some images that workers check.

The driver reads no image: it reads the ids of the images and the parents of the patches, says which patches belong to
which image, and gives each unit its images, their rows of the ledger, and the place of their patches.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import imagehash
import pyarrow as pa
from PIL import Image

from million_ird.config.recipe import Recipe
from million_ird.errors import DamagedFile, ReadError
from million_ird.images.decode import decode, decode_thumbnail
from million_ird.images.header import read_header
from million_ird.images.jpeg_damage import is_completed
from million_ird.ledger import Row
from million_ird.maintenance.kept_ids import KeptIds
from million_ird.maintenance.verify_journal import UnitContent, VerifyJournal
from million_ird.maintenance.verify_patches import image_bytes, patch_faults
from million_ird.metadata.strip import list_private
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

UNIT_IMAGES = 32
"""Images that a worker checks at once."""
_FILE_COLUMNS = frozenset({"image", "sha256"})
"""Columns of published images that the ledger does not have."""


@dataclass(slots=True)
class ImagesFound:
    """What was read, and what is wrong with it, in the order of the files."""

    faults: list[str] = field(default_factory=list)
    images: int = 0
    patches: int = 0


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of a parquet file."""

    file: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyUnit:
    """Some consecutive images of one file, with their patches."""

    number: int
    out: Folder
    recipe: Recipe
    images: FileRows
    split: str
    kept: pa.Table
    """The ledger's rows of those of the images that it keeps."""
    repeated: frozenset[int]
    """Positions, from 0, of images that also come earlier in the files."""
    patches: tuple[FileRows, ...]
    counts: tuple[int, ...]
    """How many of the patches belong to each image."""

    @property
    def content(self) -> UnitContent:
        """What its result depends on."""
        kept = pa.BufferOutputStream()
        with pa.ipc.new_stream(kept, self.kept.schema) as writer:
            writer.write_table(self.kept.combine_chunks())
        places = [self.images, *self.patches]
        fields = [[asdict(rows) for rows in places], self.split, sorted(self.repeated), self.counts, self.recipe.digest]
        return UnitContent(tuple(dict.fromkeys(rows.file for rows in places)), fields, kept.getvalue().to_pybytes())


def verify_images(
    out: Folder, kept: pa.Table, recipe: Recipe, executor: Executor, listener: Listener | None = None
) -> ImagesFound:
    """Compare images and patches with the ledger; what a run that was killed has checked is not checked again.

    Args:
        out: The dataset's folder.
        kept: The rows of the kept images, with the columns of published images and `split`.
        recipe: Says how patches are cut.
        executor: Runs the units.
        listener: Receives the progress, in images.
    """
    plan = _Plan(out, kept, recipe)
    if listener:
        listener.stage("verify", plan.image_rows, "images")
    results: dict[int, ImagesFound] = {}

    def take(number: int, found: ImagesFound) -> None:
        results[number] = found
        if listener:
            listener.advance(found.images)

    with VerifyJournal(out) as journal:

        def unfinished() -> Iterator[VerifyUnit]:
            for unit in plan.units():
                found = journal.found(unit.number, unit.content)
                if found is None:
                    yield unit
                else:
                    take(unit.number, ImagesFound(**found))

        for number, found in executor.run(verify_unit, unfinished()):
            journal.add(number, asdict(found))
            take(number, found)
    total = ImagesFound(patches=plan.patches_without_image)
    for _, found in sorted(results.items()):
        total.images += found.images
        total.patches += found.patches
        total.faults += found.faults
    total.faults = list(dict.fromkeys([*plan.damaged, *total.faults]))  # a damaged file is met by several units
    total.faults += plan.faults_afterwards
    return total


class _Plan:
    """Which images and patches there are, from their ids alone."""

    def __init__(self, out: Folder, kept: pa.Table, recipe: Recipe) -> None:
        self._out, self._kept, self._recipe = out, kept, recipe
        self.damaged: list[str] = []
        # Packed, since there may be millions; the parents of patches, of which there are more, are read file by file.
        self._files = [(f"data/{name}", pa.array(self._texts(f"data/{name}", "id"))) for name in out.names("data")]
        self._parents = _Parents(
            [f"patches/{name}" for name in out.names("patches")], lambda file: self._texts(file, "parent")
        )
        self.image_rows = sum(len(ids) for _, ids in self._files)
        self.faults_afterwards: list[str] = []
        self.patches_without_image = 0

    def units(self) -> Iterator[VerifyUnit]:
        """Yield all units; in the end, take note of kept images and patches that are in no unit."""
        kept = KeptIds(self._kept["id"])
        numbers = itertools.count()
        for file, ids in self._files:
            for start in range(0, len(ids), UNIT_IMAGES):
                some = ids.slice(start, UNIT_IMAGES).to_pylist()
                repeated = {position for position, name in enumerate(some) if kept.see(name)}
                rows = [row for name in some if (row := kept.position(name)) is not None]
                counts, ranges = self._parents.take(
                    [None if position in repeated else name for position, name in enumerate(some)]
                )
                yield VerifyUnit(
                    number=next(numbers),
                    out=self._out,
                    recipe=self._recipe,
                    images=FileRows(file, start, start + len(some)),
                    split=file.split("/")[1].split("-", 1)[0],
                    kept=self._kept.take(pa.array(rows, pa.int64())),
                    repeated=frozenset(repeated),
                    patches=ranges,
                    counts=counts,
                )
        self.faults_afterwards = [
            f"images: {name} is kept in the ledger, but not in the data" for name in kept.unseen()
        ]
        for patch in self._ids_of(self._parents.rest()):
            self.patches_without_image += 1
            self.faults_afterwards.append(f"patches: {patch}: its parent is not in the data, or in another order")

    def _texts(self, file: str, column: str) -> list[str]:
        """Return a column of a file; of a damaged one the rows of its whole row groups before the damage."""
        texts: list[str] = []
        try:
            with self._out.parquet(file) as opened:
                for group in range(opened.num_row_groups):
                    texts += map(str, opened.read_row_group(group, columns=[column])[column].to_pylist())
        except DamagedFile as error:
            self.damaged.append(str(error))
        except KeyError:
            self.damaged.append(f"{file}: has no column {column}")
        return texts

    def _ids_of(self, ranges: Sequence[FileRows]) -> Iterator[str]:
        for rows in ranges:
            yield from self._texts(rows.file, "id")[rows.start : rows.stop]


class _Parents:
    """The parents of all patches in the order of the files, taken from the front in runs of equal ones.

    Each file is read once, when the ones before it were taken; one is in memory.
    """

    def __init__(self, files: Sequence[str], read: Callable[[str], list[str]]) -> None:
        self._files, self._read = files, read
        self._file, self._row = 0, 0
        self._held: tuple[int, list[str]] | None = None

    def take(self, images: Sequence[str | None]) -> tuple[tuple[int, ...], tuple[FileRows, ...]]:
        """Return for each image how many patches follow that are its own, and where these are; None has none."""
        counts, ranges = [], []
        for image in images:
            count = 0
            for rows in self._run_of(image):
                ranges.append(rows)
                count += rows.stop - rows.start
            counts.append(count)
        return tuple(counts), tuple(_joined(ranges))

    def rest(self) -> list[FileRows]:
        """Return what was not taken."""
        rest = []
        while self._file < len(self._files):
            rest.append(FileRows(self._files[self._file], self._row, len(self._parents())))
            self._file, self._row = self._file + 1, 0
        return rest

    def _parents(self) -> list[str]:
        """Return the parents of the present file."""
        if self._held is None or self._held[0] != self._file:
            self._held = self._file, self._read(self._files[self._file])
        return self._held[1]

    def _run_of(self, image: str | None) -> Iterator[FileRows]:
        while self._file < len(self._files):
            file, parents, start = self._files[self._file], self._parents(), self._row
            while self._row < len(parents) and parents[self._row] == image:
                self._row += 1
            if self._row > start:
                yield FileRows(file, start, self._row)
            if self._row < len(parents):
                return
            self._file, self._row = self._file + 1, 0


def _joined(ranges: Sequence[FileRows]) -> Iterator[FileRows]:
    """Join ranges that follow each other in one file."""
    for _, group in itertools.groupby(ranges, key=lambda rows: rows.file):
        some = list(group)
        yield FileRows(some[0].file, some[0].start, some[-1].stop)


def verify_unit(unit: VerifyUnit) -> tuple[int, ImagesFound]:
    """Check the images and patches of a unit; return its number and what was found."""
    found = ImagesFound()
    kept = {str(row["id"]): row for row in unit.kept.to_pylist()}
    patches = itertools.chain.from_iterable(_rows(unit.out, rows) for rows in unit.patches)
    try:
        for position, row in enumerate(_rows(unit.out, unit.images)):
            own = list(itertools.islice(patches, unit.counts[position]))
            found.images += 1
            found.patches += len(own)
            found.faults += _image_faults(
                row | {"split": unit.split}, own, kept, unit.recipe, repeated=position in unit.repeated
            )
    except DamagedFile as error:
        found.faults.append(str(error))
    return unit.number, found


def _image_faults(
    row: Row, patches: list[Row], kept: dict[str, Row], recipe: Recipe, *, repeated: bool
) -> Iterator[str]:
    name, encoded = str(row.get("id")), image_bytes(row)
    yield from _byte_faults(name, encoded, row, recipe)
    yield from _phash_faults(name, encoded, row, recipe)
    if repeated:
        yield f"images: {name} appears twice"
        return
    if name not in kept:
        yield f"images: {name} is not kept in the ledger"
    elif {k: v for k, v in row.items() if k not in _FILE_COLUMNS} != kept[name]:
        yield f"images: {name}: its columns differ from the ledger"
    try:
        parent = decode(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
    except ReadError as error:
        yield f"images: {name}: {error}"
        return
    yield from patch_faults(name, parent, patches, recipe)


def _byte_faults(name: str, encoded: bytes, row: Row, recipe: Recipe) -> Iterator[str]:
    if hashlib.sha256(encoded).hexdigest() != row.get("sha256"):
        yield f"images: {name}: the bytes have another sha256"
    if recipe.privacy.covers(str(row.get("uri"))):
        try:
            private = list_private(encoded, str(row.get("format")))
        except ReadError as error:
            private = [str(error)]
        if private:
            yield f"images: {name}: has private metadata: {', '.join(private)}"
    elif row.get("sha256") != name and not is_completed(encoded, name):
        yield f"images: {name}: the bytes are not those of the source"


def _phash_faults(name: str, encoded: bytes, row: Row, recipe: Recipe) -> Iterator[str]:
    """Compute the pHash of the thumbnail by imagehash, which shares no code with `measures.signature.phash`."""
    try:
        thumbnail = decode_thumbnail(encoded, read_header(encoded, max_pixels=recipe.limits.max_pixels))
    except ReadError:
        return  # decoding the whole image reports the fault
    phash = str(imagehash.phash(Image.fromarray(thumbnail)))
    if phash != row.get("phash"):
        yield f"images: {name}: imagehash computes the pHash {phash}, not {row.get('phash')}"


def _rows(out: Folder, rows: FileRows) -> Iterator[Row]:
    """Yield rows of a file; reads the row groups that hold them, one after the other, in small batches."""
    with out.parquet(rows.file) as file:
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if start < rows.stop and stop > rows.start:
                for batch in file.iter_batches(batch_size=16, row_groups=[group]):
                    first, last = max(rows.start - start, 0), min(rows.stop - start, batch.num_rows)
                    if first < last:
                        yield from batch.slice(first, last - first).to_pylist()
                    start += batch.num_rows
                    if start >= rows.stop:
                        return
            start = stop
