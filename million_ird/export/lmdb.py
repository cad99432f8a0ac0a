"""One LMDB database a split, as BasicSR's `io_backend: lmdb` reads it.

    train/train.lmdb/{data.mdb,lock.mdb,meta_info.txt}    key: the file's name without suffix; value: an encoded picture
    train/metadata.parquet                                all other columns

BasicSR decodes a value with `cv2.imdecode`, which knows neither colour profiles nor alpha, turns pictures upright in
some formats and releases only, and reads other formats or not as it was built. So an original goes in as it is where
every OpenCV reads it and reads what this package does, to within a quarter of a grey level on average; any other as a
PNG of the upright 8-bit sRGB pixels. Patches are such pixels, in PNG or lossless WebP, and go in as they are.
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
from million_ird.export.index import write_meta_info
from million_ird.export.layout import Place, Stored, chunks
from million_ird.export.reading import BATCH, Picture, Shard
from million_ird.images.decode import Header, decode, encode_png, read_header
from million_ird.runtime.storage import disk_errors

if TYPE_CHECKING:
    from lmdb import Environment

GROWTH = 1 << 28
"""Bytes by which the map grows when it is full. LMDB reserves addresses for it, no space on the disk."""
DECODERS = 4
MARGIN = 1 << 21
"""Bytes that stay free: LMDB calls a full disk an input/output error, and on one its lock file kills the process."""
GREY_LEVELS = 0.25
"""How far two decoders of the same picture may be apart, on average; 16 bits cut to 8 instead of rounded are more."""
_MAX_PIXELS = 1 << 31  # the recipe's own limit was kept when the set was made


class LmdbLayout:
    """Pictures as values of a database."""

    def __init__(self, place: Place) -> None:
        if not place.folder.local:
            raise UsageError(f"{place.folder.url}: LMDB maps its file, so it has to be on a disk")
        self._lmdb = _library()
        self._place = place
        self._name = f"{place.split}.lmdb"
        self._root = place.folder.path(place.path(self._name))
        self.index = (f"{self._name}/meta_info.txt", "metadata.parquet")

    def terms(self, shard: Shard) -> str:
        """Nothing else."""
        return ""

    def planned(self, shard: Shard, files: Sequence[str]) -> list[str]:
        """The names of which the keys are part."""
        return list(files)

    def write(self, shard: Shard, pictures: Iterator[Picture], *, resumed: bool) -> Iterator[Stored]:
        """Puts the pictures in, a transaction for each batch; what is in already is not written again."""
        value = _untouched if self._place.config == "patches" else _readable
        with self._opened() as env, ThreadPoolExecutor(DECODERS) as pool:
            for chunk in chunks(pictures, BATCH):
                values = list(pool.map(value, chunk))
                self._put(env, [(_key(file), encoded) for file, encoded, _ in values])
                yield from (Stored(file, len(encoded), again) for file, encoded, again in values)

    def lacks(self, files: Sequence[str]) -> bool:
        """Whether a key, or the database, is gone."""
        if not os.path.exists(f"{self._root}/data.mdb"):
            return bool(files)
        with self._opened() as env, env.begin(buffers=True) as reading:
            return any(reading.get(_key(file)) is None for file in files)

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Deletes the keys and copies what is left: in the database itself a deleted value stays readable."""
        if not os.path.exists(f"{self._root}/data.mdb"):
            shutil.rmtree(self._root, ignore_errors=True)  # what a kill in the last line below left
            return
        copy = f"{self._root}.copy"
        shutil.rmtree(copy, ignore_errors=True)
        with self._opened() as env:
            for files in units:
                with env.begin(write=True) as writing:
                    for file in files:
                        writing.delete(_key(file))
            left = env.stat()["entries"]
            if left:
                os.mkdir(copy)
                env.copy(copy, compact=True)
        with disk_errors(self._root):
            if left:
                _flush(f"{copy}/data.mdb")
                os.replace(f"{copy}/data.mdb", f"{self._root}/data.mdb")
                os.rmdir(copy)
            else:
                shutil.rmtree(self._root)

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Writes both lists; BasicSR's has a third field, the compression level of a PNG."""
        with self._opened():  # the database of a split without pictures
            pass
        meta_info, metadata = map(self._place.path, self.index)
        write_meta_info(self._place.folder, (meta_info, metadata), parts, " 1")

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
                        there = writing.get(key)
                        if there is None or bytes(there) != value:
                            writing.put(key, value)
                return
            except self._lmdb.MapFullError:
                env.set_mapsize(env.info()["map_size"] + GROWTH)

    def _require(self, size: int) -> None:
        if shutil.disk_usage(self._root).free < size + MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._root)


def _library() -> ModuleType:
    try:
        import lmdb
    except ImportError as error:
        raise UsageError("lmdb is not installed: pip install 'million-ird[lmdb]'") from error
    return lmdb


def _key(file: str) -> bytes:
    return file.split(".")[0].encode("ascii")


def _untouched(picture: Picture) -> tuple[str, bytes, bool]:
    return picture.file, picture.encoded, False


def _readable(picture: Picture) -> tuple[str, bytes, bool]:
    """File name, bytes that every OpenCV reads aright, and whether they are other than the set's."""
    try:
        header = read_header(picture.encoded, max_pixels=_MAX_PIXELS)
        pixels = decode(picture.encoded, header)
    except ReadError as error:
        raise DamagedFile(f"{picture.file}: {error}; run verify") from error
    if _is_plain(header) and _opencv_agrees(picture.encoded, pixels):
        return _untouched(picture)
    return f"{picture.name}.png", encode_png(pixels), True


def _is_plain(header: Header) -> bool:
    """Whether every OpenCV reads the format, and turns it upright if need be."""
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
