"""The `lmdb` format: one LMDB database per split, for BasicSR's `io_backend: lmdb`.

    train/train.lmdb/{data.mdb,lock.mdb,meta_info.txt}    key: the file's name without suffix; value: an encoded image
    train/metadata.parquet                                all other columns

BasicSR decodes a value with `cv2.imdecode`, which ignores colour profiles and alpha, turns images upright in some
formats and releases only, and supports other formats or not, depending on how it was built. So an original is stored as
it is if every OpenCV decodes it to the same pixels as this package, within a quarter of a grey level on average; any
other is stored as a PNG of the upright 8-bit sRGB pixels. Patches are such pixels, in PNG or lossless WebP, and are
stored as they are.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa

from million_ird.errors import BuildError, DamagedFile, ReadError, UsageError, one_line
from million_ird.export.layout import ExportedImage, ExportSplit, chunks
from million_ird.export.meta_info import write_meta_info
from million_ird.export.shard_reader import BATCH, DatasetImage, DatasetShard
from million_ird.extras import require
from million_ird.images.decode import decode
from million_ird.images.encode import encode_png
from million_ird.images.header import ImageHeader, read_header
from million_ird.runtime.storage import disk_errors

if TYPE_CHECKING:
    from lmdb import Environment

GROWTH = 1 << 28
"""Bytes by which the memory map grows when it is full. It reserves addresses, not space on the disk."""
DECODERS = 4
MARGIN = 1 << 21
"""Bytes that stay free on the disk. LMDB reports a full disk as an input/output error, and its lock file on a full disk
kills the process."""
GREY_LEVELS = 0.25
"""Largest mean difference of two decoders; truncating 16 bits to 8 instead of rounding gives more."""
_MAX_PIXELS = 1 << 31  # the limit of the recipe was applied when the dataset was built


class LmdbLayout:
    """Images as values of a database."""

    def __init__(self, split: ExportSplit) -> None:
        if not split.folder.local:
            raise UsageError(f"{split.folder.url}: LMDB needs a local disk, because it maps its file into memory")
        self._lmdb = _library()
        self._split = split
        self._name = f"{split.name}.lmdb"
        self._root = split.folder.path(split.path(self._name))
        self.index = (f"{self._name}/meta_info.txt", "metadata.parquet")

    def cache_key(self, shard: DatasetShard) -> str:
        """Return an empty text: the files depend on nothing else."""
        return ""

    def planned_files(self, shard: DatasetShard, files: Sequence[str]) -> list[str]:
        """Return the file names; a key is the name without suffix."""
        return list(files)

    def write(self, shard: DatasetShard, images: Iterator[DatasetImage], *, resumed: bool) -> Iterator[ExportedImage]:
        """Store the images, one transaction per batch; values that are already there are not written again."""
        convert = _unchanged if self._split.config == "patches" else _readable
        with self._opened() as env, ThreadPoolExecutor(DECODERS) as pool:
            for chunk in chunks(images, BATCH):
                values = list(pool.map(convert, chunk))
                self._put(env, [(_key(file), encoded) for file, encoded, _ in values])
                yield from (ExportedImage(file, len(encoded), reencoded) for file, encoded, reencoded in values)

    def is_incomplete(self, files: Sequence[str]) -> bool:
        """Return whether a key, or the database, is missing."""
        if not os.path.exists(f"{self._root}/data.mdb"):
            return bool(files)
        with self._opened() as env, env.begin(buffers=True) as reading:
            return any(reading.get(_key(file)) is None for file in files)

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Delete the keys, and copy the rest: in the old file a deleted value stays readable."""
        if not os.path.exists(f"{self._root}/data.mdb"):
            shutil.rmtree(self._root, ignore_errors=True)  # left by a kill in the last line of this method
            return
        copy = f"{self._root}.copy"
        shutil.rmtree(copy, ignore_errors=True)
        with self._opened() as env:
            for files in units:
                with env.begin(write=True) as writing:
                    for file in files:
                        writing.delete(_key(file))
            entries = env.stat()["entries"]
            if entries:
                os.mkdir(copy)
                env.copy(copy, compact=True)
        with disk_errors(self._root):
            if entries:
                _flush(f"{copy}/data.mdb")
                os.replace(f"{copy}/data.mdb", f"{self._root}/data.mdb")
                os.rmdir(copy)
            else:
                shutil.rmtree(self._root)

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Write both lists; that of BasicSR has a third field, the compression level of PNG."""
        with self._opened():  # creates the database of a split without images
            pass
        meta_info, metadata = map(self._split.path, self.index)
        write_meta_info(self._split.folder, (meta_info, metadata), parts, " 1")

    @contextlib.contextmanager
    def _opened(self) -> Iterator["Environment"]:
        with disk_errors(self._root):
            os.makedirs(self._root, exist_ok=True)
            self._require(0)
            data = f"{self._root}/data.mdb"
            size = os.path.getsize(data) if os.path.exists(data) else 0
            try:
                with self._lmdb.open(self._root, map_size=size + GROWTH, readahead=False) as env:
                    yield env
            except self._lmdb.DiskError as error:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._root) from error
            except self._lmdb.Error as error:
                raise BuildError(f"{self._root}: {one_line(error)}") from error

    def _put(self, env: "Environment", items: list[tuple[bytes, bytes]]) -> None:
        self._require(sum(len(value) for _, value in items))
        while True:
            try:
                with env.begin(write=True, buffers=True) as writing:
                    for key, value in items:
                        present = writing.get(key)
                        if present is None or bytes(present) != value:
                            writing.put(key, value)
                return
            except self._lmdb.MapFullError:
                env.set_mapsize(env.info()["map_size"] + GROWTH)

    def _require(self, size: int) -> None:
        if shutil.disk_usage(self._root).free < size + MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._root)


def _library() -> ModuleType:
    require("lmdb")
    import lmdb

    return lmdb


def _key(file: str) -> bytes:
    return file.split(".")[0].encode("ascii")


def _unchanged(image: DatasetImage) -> tuple[str, bytes, bool]:
    return image.file, image.encoded, False


def _readable(image: DatasetImage) -> tuple[str, bytes, bool]:
    """Return file name, bytes that every OpenCV decodes correctly, and whether they are not those of the dataset."""
    try:
        header = read_header(image.encoded, max_pixels=_MAX_PIXELS)
        pixels = decode(image.encoded, header)
    except ReadError as error:
        raise DamagedFile(f"{image.file}: {error}; run verify") from error
    if _is_plain(header) and _opencv_agrees(image.encoded, pixels):
        return _unchanged(image)
    return f"{image.name}.png", encode_png(pixels), True


def _is_plain(header: ImageHeader) -> bool:
    """Return whether every OpenCV decodes the format, and applies its orientation."""
    return header.format in {"JPEG", "MPO"} or (header.format in {"PNG", "WEBP"} and header.orientation == 1)


def _opencv_agrees(encoded: bytes, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bool:
    try:
        read = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return False
    if read is None or read.shape != pixels.shape:
        return False
    return cv2.norm(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), pixels, cv2.NORM_L1) <= GREY_LEVELS * pixels.size


def _flush(path: str) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
