"""Hugging Face datasets, by name or from a folder: `dataset:user/name`.

Each shard of a split is streamed once, into `.work/originals`; images that a dataset stores as bytes stay unchanged.
"""

import contextlib
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import BuildError, ReadError, SourceError, one_line
from million_ird.runtime.hub_errors import describe_refusal
from million_ird.runtime.storage import FileEntry
from million_ird.sources.cells import version_of
from million_ird.sources.dataset_files import check_data_files, read_named
from million_ird.sources.files import MAX_READERS, SIDECAR_SUFFIXES, StorageOptions
from million_ird.sources.listing import list_files
from million_ird.sources.sidecars import passed_fields, text_of
from million_ird.sources.source import Deliver, SourceChunk, StreamContext
from million_ird.sources.table_parquet import rows_of_batch
from million_ird.sources.web.links import LinkFetcher, address_identity, is_web_url

_BATCH_ROWS = 16
"""Rows that are in memory at once, with their images."""
_LICENCE, _ATTRIBUTION = ("licence", "license"), ("attribution", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry(FileEntry):
    """A shard of a split."""

    split: str
    shards: int
    """Number of shards of the split."""
    index: int

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        shard = f"split={self.split!r}, shards={self.shards!r}, index={self.index!r}"
        return f"ShardEntry({self._described}, {shard})"


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A dataset with images: all its splits, unless one is named."""

    label: str
    root: str
    """A name on the Hub, or a folder: parquet files, an image folder, or the output of `save_to_disk`."""
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""
    texts: tuple[str, ...] = ()
    """Text columns to pass through."""
    config: str | None = None
    split: str | None = None
    image: str | None = None
    """The column of images; needed if there are several."""
    revision: str | None = None
    options: StorageOptions = ()
    """Must be empty: `datasets` reads its credentials from the environment."""
    fetcher: LinkFetcher | None = None
    """Fetches the images that rows name by a web address; if None, they fail."""
    follow_links: bool = False
    """Whether links in a folder may lead out of it."""

    def check(self) -> None:
        """Open the dataset and check its columns.

        Raises:
            SourceError: it cannot be opened, has no such split, or not exactly one column of images unless one is
                named.
        """
        if self.options:
            raise self._error("takes no storage options; set a token in the environment, as HF_TOKEN")
        for stream in self._splits(self._version()).values():
            self._column(stream)

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield one chunk per shard. No image is read: what a shard holds is known only after it was streamed.

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
        """Return nothing: the candidates of a shard are known only after it was streamed."""
        return []

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Return `missing`: images of a dataset are read from `.work/originals`, not from here."""
        return Failed("missing", "its original is no longer in .work/originals; run the build again")

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Stream the rows of a shard in their order, at the commit at which the chunk was listed.

        `datasets` retries failed requests by itself.

        Raises:
            BuildError: the dataset cannot be read further.
        """
        (entry,) = chunk.entries
        assert isinstance(entry, ShardEntry)
        stream = self._splits(entry.version)[entry.split]
        column = self._column(stream)
        shard = stream.shard(num_shards=entry.shards, index=entry.index)
        images = self._images(shard, entry, column)
        readers = min(MAX_READERS, context.concurrency)
        with ThreadPoolExecutor(readers) as pool:
            while batch := list(itertools.islice(images, readers)):
                values = [value for _, _, value in batch]
                addresses = [_web_address(value) for value in values]
                contents = self._fetched(addresses, pool.map(self._bytes, values), context)
                for (name, row, _), address, encoded in zip(batch, addresses, contents, strict=True):
                    deliver(*self._described(row, name, address, entry.version, encoded))

    def _images(
        self, shard: Any, entry: ShardEntry, column: str
    ) -> Iterator[tuple[str, Mapping[str, Any] | ReadError, Any]]:
        """Yield the name, the row and the stored value of each image; of a list of images, each is one."""
        for number, row in enumerate(self._rows(shard, entry)):
            name = f"{entry.uri}/{number:06d}"
            value = row if isinstance(row, ReadError) else row[column]
            if isinstance(value, list) and value:
                yield from ((f"{name}/{index:03d}", row, one) for index, one in enumerate(value))
            else:
                yield name, row, value

    def _rows(self, shard: Any, entry: ShardEntry) -> Iterator[Mapping[str, Any] | ReadError]:
        try:
            # As Arrow's tables nothing is decoded, neither images nor texts, of which one may not be UTF-8.
            for table in shard.with_format("arrow").iter(batch_size=_BATCH_ROWS):
                yield from rows_of_batch(table)
        except Exception as error:
            raise BuildError(f"source dataset:{self.root}: {entry.uri}: {one_line(error)}") from error

    def _fetched(
        self, addresses: Sequence[str], contents: Iterator[bytes | Failed], context: StreamContext
    ) -> list[bytes | Failed]:
        """Return the contents, with those of rows that name a web address fetched with the crawler's checks."""
        results = list(contents)
        numbers = [number for number, address in enumerate(addresses) if address]
        if numbers and self.fetcher is not None:
            answers = self.fetcher.fetch([addresses[number] for number in numbers], context)
            for number, answer in zip(numbers, answers, strict=True):
                results[number] = answer
        return results

    def _described(
        self, row: Mapping[str, Any] | ReadError, name: str, address: str, version: str, encoded: bytes | Failed
    ) -> tuple[Candidate, bytes | Failed]:
        """Return the candidate of a row, and its bytes: named by its place, but published with its web address."""
        bare = Candidate(
            key=candidate_key(self.label, name),
            source=self.label,
            uri=address_identity(address) if address else name,
            version=version,
        )
        try:
            if isinstance(row, ReadError):
                raise row
            licence, attribution = text_of(row, *_LICENCE), text_of(row, *_ATTRIBUTION)
            extra = dict(passed_fields(row, self.columns, self.texts))
        except ReadError as error:
            failed = Failed(error.failure_class, f"{name}, {error.detail}")
            return replace(bare, version=f"{version_of(failed)}; {version}"), failed
        return replace(bare, licence=licence, attribution=attribution, extra=extra), encoded

    def _bytes(self, value: Any) -> bytes | Failed:
        if isinstance(value, ReadError):
            return Failed(value.failure_class, value.detail)
        encoded = value.get("bytes") if isinstance(value, Mapping) else value
        if encoded is None and isinstance(value, Mapping) and value.get("path"):
            if _web_address(value):
                return Failed("unsupported", "is an address, and nothing here may fetch it")
            try:
                path = str(value["path"])
                encoded = read_named(self.root, path, self.max_bytes + 1, follow_links=self.follow_links)
            except ReadError as error:
                return Failed(error.failure_class, error.detail)
            except FileNotFoundError:
                return Failed("missing", "the data set names a file that it does not hold")
            except Exception as error:  # `datasets` chose the file system, and each raises error types of its own
                return Failed("unreadable", one_line(error))
        if not isinstance(encoded, bytes):
            return Failed("missing", "the row holds no picture")
        if len(encoded) > self.max_bytes:
            return Failed("too_large", f"more than {self.max_bytes:,} bytes")
        return encoded

    def _splits(self, version: str) -> dict[str, Any]:
        streams = _loaded(self.root, self.config, version, self.follow_links)
        if self.split is None:
            return streams
        if self.split not in streams:
            raise SourceError(f"source dataset:{self.root}: has no split {self.split!r}, only {', '.join(streams)}")
        return {self.split: streams[self.split]}

    def _column(self, stream: Any) -> str:
        """Return the column of images; check first that all columns that the recipe names exist."""
        features = stream.features or dict.fromkeys(next(iter(stream.take(1)), {}))
        named = (*self.columns, *self.texts, *(() if self.image is None else (self.image,)))
        for name in named:
            if name not in features:
                raise self._error(f"has no column {name!r}, only {', '.join(features)}")
        images = [name for name, feature in features.items() if _holds_images(feature)]
        # Files that `datasets` did not write do not say that their bytes are images.
        images = images or [name for name, feature in features.items() if feature is not None and _holds_bytes(feature)]
        chosen = images if self.image is None else [self.image]
        if len(chosen) != 1:
            problem = f"several columns of images ({', '.join(chosen)})" if chosen else "no column of images"
            raise self._error(f"has {problem}; name one of {', '.join(features)} as `image` in the recipe")
        feature = features[chosen[0]]
        if _holds_text(feature):
            raise self._error(f"{chosen[0]} holds text, not images; name a table of URLs by its files")
        if not (feature is None or _holds_images(feature) or _holds_bytes(feature)):
            raise self._error(f"{chosen[0]} holds no images")
        return chosen[0]

    def _error(self, problem: str) -> SourceError:
        return SourceError(f"source dataset:{self.root}: {problem}")

    def _version(self) -> str:
        """Return the commit on the Hub; for a folder, a hash of its files' names, sizes and times."""
        if os.path.isdir(self.root):
            _, entries = list_files(self.root, follow_links=self.follow_links)
            listing = "".join(f"{entry.uri} {entry.version}\n" for entry in entries)
            return hashlib.blake2b(listing.encode(), digest_size=8).hexdigest()
        from huggingface_hub import HfApi

        with _source_errors(self.root):
            return str(HfApi().dataset_info(self.root, revision=self.revision).sha)


@functools.lru_cache(maxsize=8)
def _loaded(root: str, config: str | None, version: str, follow_links: bool) -> dict[str, Any]:
    """Return the splits of a version as streams; each process opens them once.

    Raises:
        SourceError: they cannot be opened, or one of their files is outside the data set.
    """
    import datasets

    datasets.disable_progress_bars()
    with _source_errors(root):
        if any(os.path.isfile(os.path.join(root, name)) for name in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(root)
            splits = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
            files = [str(file["filename"]) for split in splits.values() for file in split.cache_files]
            check_data_files(root, files, follow_links=follow_links)
            return {str(name): split.to_iterable_dataset(num_shards=_n_shards(split)) for name, split in splits.items()}
        revision = None if os.path.isdir(root) else version
        builder = datasets.load_dataset_builder(root, config, revision=revision)
        if hasattr(builder.config, "decode_num_threads"):
            # Otherwise `datasets` starts to decode the images of a folder before `cast_column` switches that off.
            builder.config.decode_num_threads = 0
        data_files = (builder.config.data_files or {}).values()
        files = [str(name) for part in data_files for name in part]
        if hasattr(builder.config, "drop_labels"):  # an image folder: images are refused one by one
            files = [name for name in files if os.path.splitext(name)[1].lower() in SIDECAR_SUFFIXES]
        check_data_files(root, files, follow_links=follow_links)
        return {str(name): stream for name, stream in builder.as_streaming_dataset().items()}


def _n_shards(split: Any) -> int:
    """Return into how many shards a split from `save_to_disk` is cut: about 5,000 rows each."""
    return max(1, -(-len(split) // 5000))


def _holds_images(feature: Any) -> bool:
    """Return whether a column holds images, or lists of them."""
    from datasets import Image

    return isinstance(_part_of(feature), Image)


def _holds_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in {"string", "large_string"}


def _holds_bytes(feature: Any) -> bool:
    """Return whether a column holds bytes, plain or in a struct, or lists of them."""
    part = _part_of(feature)
    if isinstance(part, Mapping):
        return "bytes" in part
    return getattr(part, "dtype", None) in {"binary", "large_binary", "binary_view"}


def _part_of(feature: Any) -> Any:
    """Return what a list consists of, in any of the forms of `datasets`; of anything else, itself."""
    from datasets import LargeList, List

    if isinstance(feature, (List, LargeList)):
        return feature.feature
    return feature[0] if isinstance(feature, list) and len(feature) == 1 else feature


def _web_address(value: Any) -> str:
    """Return the web address that a row names instead of an image; empty if it names none."""
    if not isinstance(value, Mapping) or value.get("bytes") is not None:
        return ""
    path = str(value.get("path") or "")
    return path if is_web_url(path) else ""


@contextlib.contextmanager
def _source_errors(root: str) -> Iterator[None]:
    """Turn the many error types of `datasets` and the Hub into a `SourceError` of one line."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        reason = describe_refusal(error) or f"cannot be opened: {one_line(error)}"
        raise SourceError(f"source dataset:{root}: {reason}") from error
