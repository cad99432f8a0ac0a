"""Hugging Face data sets, by name or from a folder: `dataset:user/name`.

Each shard of a split is streamed once, into `.work/originals`; pictures that a set holds as bytes stay untouched.
"""

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from million_ird.errors import BuildError, SourceError
from million_ird.ingest import Deliver, Journey, Unit
from million_ird.ingest.files import Options
from million_ird.record import Candidate, Failed, candidate_key
from million_ird.storage import FileEntry, list_files

log = logging.getLogger(__name__)

_LICENCE, _ATTRIBUTION = ("licence", "license"), ("attribution", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry(FileEntry):
    """A shard of a split."""

    split: str
    shards: int
    """Of the split."""
    index: int


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A data set with pictures: all its splits, unless one is named."""

    label: str
    root: str
    """A name on the Hub, or a folder: parquet files, an image folder, or what `save_to_disk` left."""
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""
    texts: tuple[str, ...] = ()
    """Columns to pass through as text."""
    config: str | None = None
    split: str | None = None
    image: str | None = None
    """The column of pictures; may be left out where there is one."""
    revision: str | None = None
    options: Options = ()

    def check(self) -> None:
        """Opens the data set and looks at its columns.

        Raises:
            SourceError: it cannot be had, has no such split, no column of pictures, or several and none is named.
        """
        for stream in self._splits().values():
            self._column(stream)

    def units(self, limit: int | None = None) -> Iterator[Unit]:
        """One unit a shard; what it holds shows when it is streamed."""
        version = self._version()
        for split, stream in self._splits().items():
            shards = int(stream.num_shards)
            for index in range(shards):
                entry = ShardEntry(
                    uri=f"{split}/{index:05d}", size=0, version=version, split=split, shards=shards, index=index
                )
                slot = candidate_key(self.label, split, f"{index}")
                yield Unit(source=self.label, root=self.root, slot=slot, entries=(entry,), remote=True, opaque=True)

    def candidates(self, unit: Unit) -> list[Candidate]:
        """Nothing is known of a shard before it is streamed."""
        return []

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """What was streamed once is in the store; nothing else is at hand."""
        return Failed("missing", "its original is no longer in .work/originals; run the build again")

    def stream(self, unit: Unit, wanted: Callable[[Candidate], bool], deliver: Deliver, journey: Journey) -> None:
        """Streams the rows of a shard in their order.

        Raises:
            BuildError: the data set cannot be read further.
        """
        (entry,) = unit.entries
        assert isinstance(entry, ShardEntry)
        stream = self._splits()[entry.split]
        column = self._column(stream)
        part = _undecoded(stream, column).shard(num_shards=entry.shards, index=entry.index)
        rows = iter(part)
        for number in range(1 << 62):
            try:
                row = next(rows, None)
            except Exception as error:
                raise BuildError(f"source dataset:{self.root}: {entry.uri}: {_short(error)}") from error
            if row is None:
                return
            deliver(self._candidate(row, f"{entry.uri}/{number:06d}", entry.version), self._bytes(row[column]))

    def _candidate(self, row: Mapping[str, Any], uri: str, version: str) -> Candidate:
        return Candidate(
            key=candidate_key(self.label, uri),
            source=self.label,
            uri=uri,
            version=version,
            licence=_first(row, _LICENCE),
            attribution=_first(row, _ATTRIBUTION),
            extra={
                **{name: self._number(name, row.get(name)) for name in self.columns},
                **{name: None if row.get(name) is None else str(row[name]) for name in self.texts},
            },
        )

    def _bytes(self, value: Any) -> bytes | Failed:
        encoded = value.get("bytes") if isinstance(value, Mapping) else value
        if encoded is None and isinstance(value, Mapping) and value.get("path"):
            try:
                folder, entries = list_files(value["path"], dict(self.options))
                encoded = folder.read(next(entries).uri, at_most=self.max_bytes + 1)
            except (SourceError, OSError) as error:
                return Failed("missing", _short(error))
        if not isinstance(encoded, bytes):
            return Failed("missing", "the row holds no picture")
        if len(encoded) > self.max_bytes:
            return Failed("too_large", f"more than {self.max_bytes:,} bytes")
        return encoded

    def _number(self, name: str, value: object) -> float | None:
        try:
            return None if value is None or value == "" else float(str(value))
        except ValueError:
            raise BuildError(f"source dataset:{self.root}: {name} is {value!r} in a row, not a number") from None

    def _splits(self) -> dict[str, Any]:
        return _loaded(self.root, self.config, self.split, self.revision)

    def _column(self, stream: Any) -> str:
        from datasets import Image, Value

        features = stream.features or {}
        if not features:
            first: dict[str, Any] = next(iter(stream.take(1)), {})
            features = dict.fromkeys(first)
        lacking = [name for name in (*self.columns, *self.texts) if name not in features]
        if lacking:
            raise SourceError(f"source dataset:{self.root}: has no column {lacking[0]!r}, only {', '.join(features)}")
        if self.image is not None and self.image not in features:
            raise SourceError(f"source dataset:{self.root}: has no column {self.image!r}, only {', '.join(features)}")
        pictures = [name for name, kind in features.items() if isinstance(kind, Image)]
        chosen = [self.image] if self.image is not None else pictures
        if len(chosen) != 1:
            found = f"several columns of pictures ({', '.join(chosen)})" if chosen else "no column of pictures"
            raise SourceError(
                f"source dataset:{self.root}: has {found}; name one of {', '.join(features)} as `image` in the recipe"
            )
        kind = features[chosen[0]]
        if isinstance(kind, Value) and kind.dtype in {"string", "large_string"}:
            raise SourceError(
                f"source dataset:{self.root}: {chosen[0]} holds texts, not pictures; name a table of URLs by its files"
            )
        return chosen[0]

    def _version(self) -> str:
        if os.path.isdir(self.root):
            _, entries = list_files(self.root)
            told = "".join(f"{entry.uri} {entry.version}\n" for entry in entries)
            return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
        from huggingface_hub import HfApi

        with _telling(self.root):
            return str(HfApi().dataset_info(self.root, revision=self.revision).sha)


@functools.lru_cache(maxsize=8)
def _loaded(root: str, config: str | None, split: str | None, revision: str | None) -> dict[str, Any]:
    """The splits, streaming; opened once in a process."""
    import datasets

    datasets.disable_progress_bars()
    with _telling(root):
        if os.path.isfile(os.path.join(root, "dataset_dict.json")) or os.path.isfile(os.path.join(root, "state.json")):
            found = datasets.load_from_disk(root)
            splits = dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}
            streams = {name: one.to_iterable_dataset(num_shards=_pieces(one)) for name, one in splits.items()}
        else:
            loaded = datasets.load_dataset(root, config, revision=revision, streaming=True)
            streams = {str(name): one for name, one in loaded.items()}
    if split is not None and split not in streams:
        raise SourceError(f"source dataset:{root}: has no split {split!r}, only {', '.join(streams)}")
    return streams if split is None else {split: streams[split]}


def _pieces(found: Any) -> int:
    """Shards of a set on disk, as it was saved: of about 5,000 rows."""
    return max(1, min(len(found), -(-len(found) // 5000)))


def _undecoded(stream: Any, column: str) -> Any:
    from datasets import Image

    if stream.features is not None and isinstance(stream.features.get(column), Image):
        return stream.cast_column(column, Image(decode=False))
    return stream


@contextlib.contextmanager
def _telling(root: str) -> Iterator[None]:
    """Says in one line what is wrong with a data set, in whichever of their many ways the libraries say it."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"source dataset:{root}: cannot be had: {_short(error)}") from error


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), None)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
