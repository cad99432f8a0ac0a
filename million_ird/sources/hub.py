"""Hugging Face data sets, by name or from a folder: `dataset:user/name`.

Each shard of a split is streamed once, into `.work/originals`; pictures that a set holds as bytes stay untouched.
"""

import contextlib
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import BuildError, SourceError, one_line
from million_ird.runtime.hub_errors import describe_refusal
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources.files import MOST_READERS, StorageOptions
from million_ird.sources.listing import list_files
from million_ird.sources.sidecars import text_of
from million_ird.sources.source import Deliver, SourceChunk, StreamContext

_LICENCE, _ATTRIBUTION = ("licence", "license"), ("attribution", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry(FileEntry):
    """A shard of a split."""

    split: str
    shards: int
    """Of the split."""
    index: int

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        shard = f"split={self.split!r}, shards={self.shards!r}, index={self.index!r}"
        return f"ShardEntry({self._described}, {shard})"


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
    options: StorageOptions = ()
    """Must be empty: `datasets` takes its credentials from the environment."""

    def check(self) -> None:
        """Opens the data set and looks at its columns.

        Raises:
            SourceError: it cannot be had, has no such split, no column of pictures, or several and none is named.
        """
        if self.options:
            raise self._wrong("takes no storage options; a token belongs into the environment, as HF_TOKEN")
        for stream in self._splits(self._version()).values():
            self._column(stream)

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """One unit a shard; what it holds shows when it is streamed. No picture is read.

        Raises:
            SourceError: as `check`.
        """
        version = self._version()
        for split, stream in self._splits(version).items():
            shards = int(stream.num_shards)
            for index in range(shards):
                entry = ShardEntry(
                    uri=f"{split}/{index:05d}", size=0, version=version, split=split, shards=shards, index=index
                )
                slot = candidate_key(self.label, split, f"{index}")
                yield SourceChunk(
                    source=self.label, root=self.root, slot=slot, entries=(entry,), remote=True, stream_only=True
                )

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Nothing is known of a shard before it is streamed."""
        return []

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """What was streamed once is in the store; nothing else is at hand."""
        return Failed("missing", "its original is no longer in .work/originals; run the build again")

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Streams the rows of a shard in their order, as they were at the commit that the unit was listed at.

        What a network does is tried again, as often as `datasets` does so.

        Raises:
            BuildError: the data set cannot be read further.
        """
        (entry,) = chunk.entries
        assert isinstance(entry, ShardEntry)
        stream = self._splits(entry.version)[entry.split]
        column = self._column(stream)
        part = _undecoded(stream, column).shard(num_shards=entry.shards, index=entry.index)
        rows = enumerate(self._rows(part, entry))
        readers = min(MOST_READERS, context.concurrency)
        with ThreadPoolExecutor(readers) as pool:
            while batch := list(itertools.islice(rows, readers)):
                found = pool.map(self._bytes, [row[column] for _, row in batch])
                for (number, row), encoded in zip(batch, found, strict=True):
                    deliver(self._candidate(row, f"{entry.uri}/{number:06d}", entry.version), encoded)

    def _rows(self, shard: Any, entry: ShardEntry) -> Iterator[Mapping[str, Any]]:
        try:
            yield from shard
        except Exception as error:
            raise BuildError(f"source dataset:{self.root}: {entry.uri}: {one_line(error)}") from error

    def _candidate(self, row: Mapping[str, Any], uri: str, version: str) -> Candidate:
        return Candidate(
            key=candidate_key(self.label, uri),
            source=self.label,
            uri=uri,
            version=version,
            licence=text_of(row, *_LICENCE),
            attribution=text_of(row, *_ATTRIBUTION),
            extra={
                **{name: self._number(name, row.get(name)) for name in self.columns},
                **{name: None if row.get(name) is None else str(row[name]) for name in self.texts},
            },
        )

    def _bytes(self, value: Any) -> bytes | Failed:
        encoded = value.get("bytes") if isinstance(value, Mapping) else value
        if encoded is None and isinstance(value, Mapping) and value.get("path"):
            try:
                encoded = _read(str(value["path"]), self.max_bytes + 1)
            except FileNotFoundError:
                return Failed("missing", "the data set names a file that it does not hold")
            except Exception as error:  # of a file system that `datasets` chose: each has kinds of its own
                return Failed("unreadable", one_line(error))
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

    def _splits(self, version: str) -> dict[str, Any]:
        streams = _loaded(self.root, self.config, version)
        if self.split is None:
            return streams
        if self.split not in streams:
            raise SourceError(f"source dataset:{self.root}: has no split {self.split!r}, only {', '.join(streams)}")
        return {self.split: streams[self.split]}

    def _column(self, stream: Any) -> str:
        """The column of pictures, after a look at whether all columns that the recipe names are there."""
        features = stream.features or dict.fromkeys(next(iter(stream.take(1)), {}))
        named = (*self.columns, *self.texts, *(() if self.image is None else (self.image,)))
        for name in named:
            if name not in features:
                raise self._wrong(f"has no column {name!r}, only {', '.join(features)}")
        pictures = [name for name, kind in features.items() if _holds_pictures(kind)]
        chosen = pictures if self.image is None else [self.image]
        if len(chosen) != 1:
            found = f"several columns of pictures ({', '.join(chosen)})" if chosen else "no column of pictures"
            raise self._wrong(f"has {found}; name one of {', '.join(features)} as `image` in the recipe")
        if _holds_texts(features[chosen[0]]):
            raise self._wrong(f"{chosen[0]} holds texts, not pictures; name a table of URLs by its files")
        if not (_holds_pictures(features[chosen[0]]) or _holds_bytes(features[chosen[0]])):
            raise self._wrong(f"{chosen[0]} holds no pictures")
        return chosen[0]

    def _wrong(self, what: str) -> SourceError:
        return SourceError(f"source dataset:{self.root}: {what}")

    def _version(self) -> str:
        """The commit on the Hub; of a folder, what its files' sizes and times amount to."""
        if os.path.isdir(self.root):
            _, entries = list_files(self.root)
            told = "".join(f"{entry.uri} {entry.version}\n" for entry in entries)
            return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
        from huggingface_hub import HfApi

        with _telling(self.root):
            return str(HfApi().dataset_info(self.root, revision=self.revision).sha)


@functools.lru_cache(maxsize=8)
def _loaded(root: str, config: str | None, version: str) -> dict[str, Any]:
    """The splits of a version, streaming; opened once in a process."""
    import datasets

    datasets.disable_progress_bars()
    with _telling(root):
        if any(os.path.isfile(os.path.join(root, name)) for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(root)
            splits = found if isinstance(found, datasets.DatasetDict) else {"train": found}
            return {str(name): one.to_iterable_dataset(num_shards=_pieces(one)) for name, one in splits.items()}
        revision = None if os.path.isdir(root) else version
        builder = datasets.load_dataset_builder(root, config, revision=revision)
        if hasattr(builder.config, "decode_num_threads"):
            # Of a folder of images on the Hub, `datasets` would decode each before it is asked not to.
            builder.config.decode_num_threads = 0
        return {str(name): stream for name, stream in builder.as_streaming_dataset().items()}


def _pieces(found: Any) -> int:
    """Shards of a set on disk, as it was saved: of about 5,000 rows."""
    return max(1, -(-len(found) // 5000))


def _undecoded(stream: Any, column: str) -> Any:
    from datasets import Image

    if stream.features is not None and isinstance(stream.features.get(column), Image):
        return stream.cast_column(column, Image(decode=False))
    return stream


def _holds_pictures(kind: Any) -> bool:
    from datasets import Image

    return isinstance(kind, Image)


def _holds_texts(kind: Any) -> bool:
    return getattr(kind, "dtype", None) in {"string", "large_string"}


def _holds_bytes(kind: Any) -> bool:
    """Raw, or as the columns of pictures are stored; what is unknown until it is read may be."""
    if isinstance(kind, Mapping):
        return "bytes" in kind
    return kind is None or getattr(kind, "dtype", None) in {"binary", "large_binary"}


def _read(path: str, at_most: int) -> bytes:
    """The beginning of a file that `datasets` names: on this disk, on the Hub, in an archive on either."""
    if "://" not in path:
        folder, name = os.path.split(path)
        return Folder(folder).read(name, at_most)
    from datasets.utils.file_utils import xopen

    with xopen(path, "rb") as file:
        return bytes(file.read(at_most))


@contextlib.contextmanager
def _telling(root: str) -> Iterator[None]:
    """Says in one line what is wrong with a data set, in whichever of their many ways the libraries say it."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        reason = describe_refusal(error) or f"cannot be opened: {one_line(error)}"
        raise SourceError(f"source dataset:{root}: {reason}") from error
