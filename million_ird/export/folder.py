"""One file per picture, the bytes as they are in the set, as BasicSR, `imagefolder` and any viewer read them.

train/meta_info.txt       NAME (HEIGHT,WIDTH,3), the form of BasicSR's `meta_info_file`
train/metadata.parquet    all other columns, `file_name` first
train/ID.webp             or train/3f/3f….webp, by the id's first two digits, in a split of over 10,000
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from million_ird.export.index import write_meta_info
from million_ird.export.layout import Place, Stored, chunks
from million_ird.export.reading import BATCH, Picture, Shard

FLAT = 10_000
"""The most pictures that lie in one folder."""
WRITERS = 8
"""A file is flushed to the disk before it is shown: several at a time wait for the disk together."""


class FolderLayout:
    """Pictures as files."""

    index: Sequence[str] = ("meta_info.txt", "metadata.parquet")

    def __init__(self, place: Place) -> None:
        self._place = place
        self._flat = sum(shard.rows for shard in place.shards) <= FLAT

    def terms(self, shard: Shard) -> str:
        """Flat or not."""
        return "flat" if self._flat else "by two digits"

    def planned(self, shard: Shard, files: Sequence[str]) -> list[str]:
        """Each picture's own file."""
        return [self._file(file) for file in files]

    def write(self, shard: Shard, pictures: Iterator[Picture], *, resumed: bool) -> Iterator[Stored]:
        """Writes the files; those that a killed run has written are whole, and stay."""

        def put(picture: Picture) -> Stored:
            file = self._file(picture.file)
            path = self._place.path(file)
            if not (resumed and self._place.folder.exists(path)):
                self._place.folder.write(path, picture.encoded)
            return Stored(file, len(picture.encoded))

        with ThreadPoolExecutor(WRITERS) as pool:
            for chunk in chunks(pictures, BATCH):
                yield from pool.map(put, chunk)

    def lacks(self, files: Sequence[str]) -> bool:
        """Whether a file is gone; not asked of an object store, where each answer is a request."""
        folder = self._place.folder
        return folder.local and any(not folder.exists(self._place.path(file)) for file in files)

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Removes the files, and folders that are empty then."""
        folder, split = self._place.folder, self._place.split
        for file in (file for files in units for file in files):
            folder.remove(self._place.path(file))
        for name in folder.names(split):
            if len(name) == 2 and not folder.names(f"{split}/{name}"):
                folder.remove(f"{split}/{name}")

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Writes both lists."""
        meta_info, metadata = map(self._place.path, self.index)
        write_meta_info(self._place.folder, (meta_info, metadata), parts)

    def _file(self, file: str) -> str:
        return file if self._flat else f"{file[:2]}/{file}"
