"""The `webdataset` format: tar shards that `webdataset` and `datasets` stream.

    train/train-000000.tar    ID.webp, ID.json, ID.webp, ID.json, …; about 500 MB each
    train/features.json       the features, for `datasets`, which otherwise guesses them from the first five images

A tar never spans two shards of the dataset. Its headers have no time and no owner, so the same images give the same
bytes.
"""

import io
import itertools
import math
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from million_ird.export.layout import ExportedImage, ExportSplit
from million_ird.export.shard_reader import FILE_NAME, DatasetImage, DatasetShard
from million_ird.strict_json import to_json

TAR_BYTES = 500_000_000
_DTYPES = {pa.float64(): "float64", pa.float32(): "float32"}
"""Types that `datasets` and arrow name differently."""


class TarLayout:
    """Images in tars, each with its columns as JSON."""

    index: Sequence[str] = ("features.json",)

    def __init__(self, split: ExportSplit) -> None:
        self._split = split
        self._tars: dict[str, list[tuple[str, int]]] = {}
        """The tars of each shard, and the number of images in each."""
        numbers = itertools.count()
        for shard in split.shards:
            self._tars[shard.path] = [(f"{split.name}-{next(numbers):06d}.tar", rows) for rows in _cut(shard.groups)]

    def cache_key(self, shard: DatasetShard) -> str:
        """Return names and sizes of the tars."""
        return str(self._tars[shard.path])

    def planned_files(self, shard: DatasetShard, files: Sequence[str]) -> list[str]:
        """Return `TAR/MEMBER` of each image."""
        tars = (name for name, rows in self._tars[shard.path] for _ in range(rows))
        return [f"{tar}/{file}" for tar, file in zip(tars, files, strict=True)]

    def write(self, shard: DatasetShard, images: Iterator[DatasetImage], *, resumed: bool) -> Iterator[ExportedImage]:
        """Write the tars of a shard; those that a killed run has finished stay."""
        for name, rows in self._tars[shard.path]:
            path, members = self._split.path(name), itertools.islice(images, rows)
            if resumed and self._split.folder.exists(path):
                yield from (ExportedImage(f"{name}/{image.file}", len(image.encoded)) for image in members)
                continue
            with self._split.folder.writing(path) as file:
                written = _write_tar(file, members)
                yield from (ExportedImage(f"{name}/{image.file}", len(image.encoded)) for image in written)

    def is_incomplete(self, files: Sequence[str]) -> bool:
        """Return whether a tar is missing."""
        return not all(self._split.folder.exists(self._split.path(tar)) for tar in _tars_of(files))

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Remove whole tars."""
        for tar in (tar for files in units for tar in _tars_of(files)):
            self._split.folder.remove(self._split.path(tar))

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Write the features for `datasets.Features.from_dict`."""
        from datasets import Features, Image, Value

        suffixes: set[str] = set()
        columns: dict[str, Any] = {}
        for part in parts:
            suffixes |= {name.rsplit(".", 1)[1] for name in part[FILE_NAME].to_pylist()}
            columns = {field.name: Value(_DTYPES.get(field.type, str(field.type))) for field in part.schema}
        columns.pop(FILE_NAME)
        added = {name: Value("string") for name in ("__key__", "__url__")}  # which `datasets` adds to every sample
        features = Features({**{suffix: Image() for suffix in sorted(suffixes)}, "json": columns, **added})
        self._split.folder.write_json(self._split.path(self.index[0]), features.to_dict())


def _cut(groups: Sequence[tuple[int, int]]) -> list[int]:
    """Return the number of images in each tar of a shard: whole row groups, in tars of about equal size."""
    total = sum(size for _, size in groups)
    count = max(1, round(total / TAR_BYTES))
    rows, before = [0] * count, 0
    for number, size in groups:
        rows[min(count - 1, math.floor((before + size / 2) / max(1, total) * count))] += number
        before += size
    return [number for number in rows if number]


def _write_tar(file: IO[bytes], images: Iterator[DatasetImage]) -> Iterator[DatasetImage]:
    """Write a tar, and yield each image after it was added."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for image in images:
            _add(tar, image.file, image.encoded)
            _add(tar, f"{image.name}.json", _json(image))
            yield image


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _json(image: DatasetImage) -> bytes:
    return to_json(image.columns, sort_keys=True).encode()


def _tars_of(files: Sequence[str]) -> list[str]:
    return sorted({file.split("/")[0] for file in files})
