"""Tar shards, as `webdataset` and `datasets` stream them.

    train/train-000000.tar    ID.webp, ID.json, ID.webp, ID.json, …; about 500 MB each
    train/features.json       the features, for `datasets`, which else guesses them from the first five pictures

A tar never spans two shards of the set. Headers carry no time and no owner, so the same pictures are the same bytes.
"""

import io
import itertools
import json
import math
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from million_ird.export.layout import Place, Stored
from million_ird.export.reading import FILE_NAME, Picture, Shard

TAR_BYTES = 500_000_000
_DTYPES = {pa.float64(): "float64", pa.float32(): "float32"}
"""Where `datasets` and arrow call a type differently."""


class TarLayout:
    """Pictures in tars, the columns of each beside it as JSON."""

    index: Sequence[str] = ("features.json",)

    def __init__(self, place: Place) -> None:
        self._place = place
        self._tars: dict[str, list[tuple[str, int]]] = {}
        """Of each shard: its tars and the pictures in each."""
        numbers = itertools.count()
        for shard in place.shards:
            self._tars[shard.path] = [(f"{place.split}-{next(numbers):06d}.tar", rows) for rows in _cut(shard.groups)]

    def terms(self, shard: Shard) -> str:
        """Names and sizes of the tars."""
        return str(self._tars[shard.path])

    def planned(self, shard: Shard, files: Sequence[str]) -> list[str]:
        """`TAR/MEMBER` of each picture."""
        tars = (name for name, rows in self._tars[shard.path] for _ in range(rows))
        return [f"{tar}/{file}" for tar, file in zip(tars, files, strict=True)]

    def write(self, shard: Shard, pictures: Iterator[Picture], *, resumed: bool) -> Iterator[Stored]:
        """Writes the tars of a shard; those that a killed run has finished stay."""
        for name, rows in self._tars[shard.path]:
            path, members = self._place.path(name), itertools.islice(pictures, rows)
            if resumed and self._place.folder.exists(path):
                yield from (Stored(f"{name}/{one.file}", len(one.encoded)) for one in members)
                continue
            with self._place.folder.writing(path) as file:
                yield from (Stored(f"{name}/{one.file}", len(one.encoded)) for one in _filled(file, members))

    def lacks(self, files: Sequence[str]) -> bool:
        """Whether a tar is gone."""
        return not all(self._place.folder.exists(self._place.path(tar)) for tar in _tars_of(files))

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Removes whole tars."""
        for tar in (tar for files in units for tar in _tars_of(files)):
            self._place.folder.remove(self._place.path(tar))

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Writes what `datasets.Features.from_dict` reads."""
        from datasets import Features, Image, Value

        suffixes: set[str] = set()
        columns: dict[str, Any] = {}
        for part in parts:
            suffixes |= {name.rsplit(".", 1)[1] for name in part[FILE_NAME].to_pylist()}
            columns = {one.name: Value(_DTYPES.get(one.type, str(one.type))) for one in part.schema}
        columns.pop(FILE_NAME)
        own = {name: Value("string") for name in ("__key__", "__url__")}  # which `datasets` adds to every sample
        features = Features({**{suffix: Image() for suffix in sorted(suffixes)}, "json": columns, **own})
        self._place.folder.write_json(self._place.path(self.index[0]), features.to_dict())


def _cut(groups: Sequence[tuple[int, int]]) -> list[int]:
    """How many pictures go into each tar of a shard: row groups, in tars of about equal bytes."""
    total = sum(size for _, size in groups)
    count = max(1, round(total / TAR_BYTES))
    rows, before = [0] * count, 0
    for number, size in groups:
        rows[min(count - 1, math.floor((before + size / 2) / max(1, total) * count))] += number
        before += size
    return [number for number in rows if number]


def _filled(file: IO[bytes], pictures: Iterator[Picture]) -> Iterator[Picture]:
    """Writes a tar and yields each picture that is in it."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in pictures:
            _add(tar, one.file, one.encoded)
            _add(tar, f"{one.name}.json", _json(one))
            yield one


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _json(picture: Picture) -> bytes:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in picture.columns.items()}
    return json.dumps(finite, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _tars_of(files: Sequence[str]) -> list[str]:
    return sorted({file.split("/")[0] for file in files})
