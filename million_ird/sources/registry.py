"""Opens the sources that a user names: one line per kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TypeAlias

from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import AUTO, SourceKind, SourceSpec
from million_ird.errors import SourceError
from million_ird.public_addresses import public_address
from million_ird.runtime.file_names import as_text
from million_ird.runtime.storage import Folder
from million_ird.sources.archives.source import ArchiveSource, is_archive
from million_ird.sources.archives.warcs import WARC
from million_ird.sources.containment import holds
from million_ird.sources.files import FilesSource, StorageOptions
from million_ird.sources.hub import DatasetSource
from million_ird.sources.listing import has_magic
from million_ird.sources.source import Source
from million_ird.sources.table_formats import is_table
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher
from million_ird.sources.web.site_source import SiteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What all sources of a build have in common. Only this file knows the whole recipe; sources get parts of it."""

    recipe: Recipe
    out: Folder | None = None
    """The output folder."""
    allow_private_hosts: bool = False
    refresh: bool = False
    """Whether sites are crawled again."""
    crawl: bool = True
    """Whether sites may be crawled at all."""

    @property
    def max_bytes(self) -> int:
        """The size beyond which a file fails as `too_large`."""
        return self.recipe.limits.max_bytes

    @property
    def columns(self) -> tuple[str, ...]:
        """Numeric columns to pass through to the ledger."""
        return self.recipe.columns

    @property
    def texts(self) -> tuple[str, ...]:
        """Text columns to pass through to the ledger."""
        return self.recipe.texts

    @property
    def fetcher(self) -> LinkFetcher:
        """How images are fetched from the web."""
        return LinkFetcher(web=self.recipe.web, max_bytes=self.max_bytes, allow_private_hosts=self.allow_private_hosts)


Open: TypeAlias = Callable[[str, str, SourceSpec, SourceContext], Source]
"""Makes a source of its label, its root, the user's specification, and the context of the build."""


def _files(label: str, root: str, spec: SourceSpec, context: SourceContext) -> Source:
    return FilesSource(label, root, context.max_bytes, context.out, _options(spec), spec.follow_links)


def _table(label: str, root: str, spec: SourceSpec, context: SourceContext) -> Source:
    names = tuple(sorted((str(ours), theirs) for ours, theirs in spec.names.items()))
    return TableSource(
        label,
        root,
        context.fetcher,
        context.columns,
        context.texts,
        names,
        _options(spec),
        inside=None if spec.root is None else Folder(spec.root, spec.storage).url,
        follow_links=spec.follow_links,
        excluded=context.out,
    )


def _archive(label: str, root: str, spec: SourceSpec, context: SourceContext) -> ArchiveSource:
    return ArchiveSource(
        label,
        root,
        context.max_bytes,
        context.columns,
        context.texts,
        _options(spec),
        follow_links=spec.follow_links,
        excluded=context.out,
    )


def _warc(label: str, root: str, spec: SourceSpec, context: SourceContext) -> Source:
    return replace(_archive(label, root, spec, context), suffixes=WARC)


def _dataset(label: str, root: str, spec: SourceSpec, context: SourceContext) -> Source:
    return DatasetSource(
        label,
        root,
        context.max_bytes,
        context.columns,
        context.texts,
        config=spec.config,
        split=spec.split,
        image=spec.image,
        revision=spec.revision,
        options=_options(spec),
        fetcher=context.fetcher,
        follow_links=spec.follow_links,
    )


def _site(label: str, root: str, spec: SourceSpec, context: SourceContext) -> Source:
    return SiteSource(
        label,
        root,
        context.fetcher,
        pages=spec.pages,
        depth=spec.depth,
        out=context.out,
        refresh=context.refresh,
        crawl=context.crawl,
    )


@dataclass(frozen=True, slots=True)
class Opener:
    """How one kind of source is opened."""

    open: Open
    is_path: Callable[[SourceSpec], bool] = lambda spec: True
    """Whether the uri is a path or a URL of a file system: it is made absolute and must not be inside the output
    folder. Any other uri stays as the user wrote it."""


OPENERS: Mapping[SourceKind, Opener] = MappingProxyType(
    {
        "files": Opener(_files),
        "table": Opener(_table),
        "archive": Opener(_archive),
        "warc": Opener(_warc),
        "dataset": Opener(_dataset, is_path=lambda spec: Folder(spec.uri).exists()),
        "site": Opener(_site, is_path=lambda spec: False),
    }
)
"""Every kind of `million_ird.config.source_spec.SourceKind`."""


_OTHER_KINDS = MappingProxyType(
    {
        "table": "a table",
        "archive": "an archive",
        "warc": "a web archive",
        "dataset": "a dataset",
        "site": "a website",
    }
)
"""What is no file or folder of images, in words."""


def image_path(named: str, *, by_name: bool = True) -> str:
    """Return the path of images as the commands read it that take no sources; its prefix may be `files:`.

    Args:
        named: What the user wrote: a file, a folder, a pattern or a URL.
        by_name: Whether a file with the name of a table or an archive is refused, too.

    Raises:
        SourceError: It is another kind of source, which only builds read.
    """
    spec = SourceSpec.named(named)
    is_there = has_magic(spec.uri) or "://" in spec.uri or Folder(spec.uri).exists()
    kind = _kind(spec) if by_name and is_there else spec.kind
    if kind in _OTHER_KINDS:
        reason = f"is {_OTHER_KINDS[kind]}, which only a build reads; name images, or a folder of them"
        raise SourceError(f"{named}: {reason}")
    return spec.uri


def source_specs(recipe: Recipe, named: Sequence[str | SourceSpec], *, follow_links: bool = False) -> list[SourceSpec]:
    """Return the sources of a build, those of the recipe first; `follow_links` sets the option of each."""
    specs = [*recipe.sources, *map(SourceSpec.named, named)]
    return [spec.model_copy(update={"follow_links": True}) for spec in specs] if follow_links else specs


def open_sources(specs: Sequence[SourceSpec], context: SourceContext) -> dict[str, Source]:
    """Open sources and check each, so that a missing or empty one is reported before anything is written.

    Returns:
        The sources by label.

    Raises:
        SourceError: there is none, or one is missing, is empty, or is inside the output folder.
    """
    if not specs:
        raise SourceError("no sources: name at least one with --sources")
    kinds = [_kind(spec) for spec in specs]
    roots = [_root(spec, kind, context.out) for spec, kind in zip(specs, kinds, strict=True)]
    sources = {
        label: OPENERS[kind].open(label, root, spec, context)
        for label, root, kind, spec in zip(labels(roots), roots, kinds, specs, strict=True)
    }
    for source in sources.values():
        source.check()
    return sources


def absolute(spec: SourceSpec) -> SourceSpec:
    """Return the same source independent of the working directory, with its kind settled."""
    kind = _kind(spec)
    changes = {"uri": _root(spec, kind, None), "kind": kind}
    if spec.root is not None:
        changes["root"] = Folder(spec.root, spec.storage).url
    return spec.model_copy(update=changes)


def _kind(spec: SourceSpec) -> SourceKind:
    if spec.kind != AUTO:
        return spec.kind
    if spec.names:
        return "table"
    # A folder may have any name; of a pattern or an address, only the name is known.
    goes_by_name = has_magic(spec.uri) or "://" in spec.uri or not Folder(spec.uri).is_folder
    if goes_by_name and is_table(spec.uri):
        return "table"
    return "archive" if goes_by_name and is_archive(spec.uri) else "files"


def _root(spec: SourceSpec, kind: SourceKind, out: Folder | None) -> str:
    """Return the uri, made absolute if it is a path."""
    if not OPENERS[kind].is_path(spec):
        return spec.uri
    if spec.uri.lower().startswith(("http://", "https://")) and kind == "files":
        raise SourceError(f"source {spec.uri}: a web page or image; name a site with site:{spec.uri}")
    folder = Folder(spec.uri, spec.storage)
    if out is not None and holds(out, folder):
        raise SourceError(f"source {folder.url}: is inside the output folder")
    if out is not None and kind == "dataset" and holds(folder, out):
        raise SourceError(f"source dataset:{folder.url}: holds the output folder; choose one outside it")
    return folder.url


def _options(spec: SourceSpec) -> StorageOptions:
    return tuple(sorted(spec.storage.items()))


def labels(roots: Sequence[str]) -> list[str]:
    """Return a distinct label per source: as few trailing parts of its path as distinguish it from the others.

    Raises:
        SourceError: the same source twice.
    """
    public = [public_address(root) if "://" in root else root for root in roots]
    paths = [PurePosixPath(as_text(root.split("://", 1)[-1])).parts for root in public]
    for number, root in enumerate(roots):
        if root in roots[:number]:
            raise SourceError(f"source {root}: given twice")
    for depth in range(1, 1 + max(map(len, paths), default=1)):
        short = ["/".join(part for part in path[-depth:] if part != "/") for path in paths]
        if len(set(short)) == len(short):
            return short
    distinct = [root.replace("://", "/") for root in public]
    # Addresses that differ only in parameters that are not published are numbered.
    return [
        name if distinct.index(name) == number else f"{name} ({1 + distinct[:number].count(name)})"
        for number, name in enumerate(distinct)
    ]
