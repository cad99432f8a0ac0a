"""The `folder` format: one file per image with the bytes of the dataset, for BasicSR, `imagefolder` and any viewer.

train/meta_info.txt       NAME (HEIGHT,WIDTH,3), the form of BasicSR's `meta_info_file`
train/metadata.parquet    all other columns, `file_name` first
train/ID.webp             or train/3f/3f….webp, by the first two digits of the id, in a split of over 10,000 images
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from million_ird.export.layout import ExportedImage, ExportSplit, chunks
from million_ird.export.meta_info import write_meta_info
from million_ird.export.shard_reader import BATCH, DatasetImage, DatasetShard

FLAT = 10_000
"""Most images in one folder."""
WRITERS = 8
"""Files that are written at once: each is flushed to the disk, and they wait for it together."""


class FolderLayout:
    """Images as files."""

    index: Sequence[str] = ("meta_info.txt", "metadata.parquet")

    def __init__(self, split: ExportSplit) -> None:
        self._split = split
        self._flat = sum(shard.rows for shard in split.shards) <= FLAT

    def cache_key(self, shard: DatasetShard) -> str:
        """Return whether the folder is flat."""
        return "flat" if self._flat else "by two digits"

    def planned_files(self, shard: DatasetShard, files: Sequence[str]) -> list[str]:
        """Return the file of each image."""
        return [self._file(file) for file in files]

    def write(self, shard: DatasetShard, images: Iterator[DatasetImage], *, resumed: bool) -> Iterator[ExportedImage]:
        """Write the files; those that a killed run has written are complete, and stay."""

        def put(image: DatasetImage) -> ExportedImage:
            file = self._file(image.file)
            path = self._split.path(file)
            if not (resumed and self._split.folder.exists(path)):
                self._split.folder.write(path, image.encoded)
            return ExportedImage(file, len(image.encoded))

        with ThreadPoolExecutor(WRITERS) as pool:
            for chunk in chunks(images, BATCH):
                yield from pool.map(put, chunk)

    def is_incomplete(self, files: Sequence[str]) -> bool:
        """Return whether a file is missing; not checked in an object store, where each check is a request."""
        folder = self._split.folder
        return folder.local and any(not folder.exists(self._split.path(file)) for file in files)

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Remove the files, and folders that become empty."""
        folder, split = self._split.folder, self._split.name
        for file in (file for files in units for file in files):
            folder.remove(self._split.path(file))
        for name in folder.names(split):
            if len(name) == 2 and not folder.names(f"{split}/{name}"):
                folder.remove(f"{split}/{name}")

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Write both lists."""
        meta_info, metadata = map(self._split.path, self.index)
        write_meta_info(self._split.folder, (meta_info, metadata), parts)

    def _file(self, file: str) -> str:
        return file if self._flat else f"{file[:2]}/{file}"
