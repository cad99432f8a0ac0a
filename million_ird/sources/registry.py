"""From what a user names to sources, one line per kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import AUTO, SourceSpec
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder, as_text
from million_ird.sources.files import FilesSource, StorageOptions
from million_ird.sources.listing import has_magic
from million_ird.sources.source import Source
from million_ird.sources.tables import TableSource, is_table
from million_ird.sources.web.links import Fetching
from million_ird.sources.web.site_source import SiteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all sources of a build have in common."""

    recipe: Recipe
    out: Folder | None = None
    allow_private_hosts: bool = False
    refresh: bool = False
    """Whether sites are crawled anew."""
    crawl: bool = True
    """Whether sites may be crawled at all."""

    @property
    def fetching(self) -> Fetching:
        """How pictures are fetched from the web."""
        limit = self.recipe.limits.max_bytes
        return Fetching(web=self.recipe.web, max_bytes=limit, allow_private_hosts=self.allow_private_hosts)


Opener = Callable[[str, str, SourceSpec, Terms], Source]


def _files(label: str, root: str, spec: SourceSpec, terms: Terms) -> Source:
    excluded = terms.out.root if terms.out else None
    return FilesSource(label, root, terms.recipe.limits.max_bytes, excluded, _options(spec))


def _table(label: str, root: str, spec: SourceSpec, terms: Terms) -> Source:
    names = tuple(sorted((str(ours), theirs) for ours, theirs in spec.names.items()))
    recipe = terms.recipe
    return TableSource(label, root, terms.fetching, recipe.columns, recipe.texts, names, _options(spec))


def _archive(label: str, root: str, spec: SourceSpec, terms: Terms) -> Source:
    from million_ird.sources.archives.source import ArchiveSource

    recipe = terms.recipe
    return ArchiveSource(label, root, recipe.limits.max_bytes, recipe.columns, recipe.texts, _options(spec))


def _dataset(label: str, root: str, spec: SourceSpec, terms: Terms) -> Source:
    from million_ird.sources.hub import DatasetSource

    return DatasetSource(
        label,
        root,
        terms.recipe.limits.max_bytes,
        terms.recipe.columns,
        terms.recipe.texts,
        config=spec.config,
        split=spec.split,
        image=spec.image,
        revision=spec.revision,
        options=_options(spec),
    )


def _site(label: str, root: str, spec: SourceSpec, terms: Terms) -> Source:
    return SiteSource(
        label,
        root,
        terms.fetching,
        pages=spec.pages,
        depth=spec.depth,
        out=terms.out,
        refresh=terms.refresh,
        crawl=terms.crawl,
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source; its name in `KINDS` is the prefix by which a user asks for it."""

    open: Opener
    """Makes the source: of its label, its root, what the user named, and the terms of the build."""
    is_place: Callable[[SourceSpec], bool] = lambda spec: True
    """Whether the uri is a path or a URL of a file system, which is made absolute and must not lie in the output
    folder; if not, it stays as it was named."""


KINDS: Mapping[str, Kind] = {
    "files": Kind(_files),
    "table": Kind(_table),
    "archive": Kind(_archive),
    "dataset": Kind(_dataset, is_place=lambda spec: Folder(spec.uri).exists()),
    "site": Kind(_site, is_place=lambda spec: False),
}


def open_sources(specs: Sequence[SourceSpec], terms: Terms) -> dict[str, Source]:
    """The sources by label, each looked at so far that a missing or empty one is told before anything is written.

    Raises:
        SourceError: none is given, one is missing, holds nothing, or lies in the output folder.
    """
    if not specs:
        raise SourceError("no sources: name at least one with --sources")
    kinds = [_kind(spec) for spec in specs]
    roots = [_root(spec, kind, terms.out) for spec, kind in zip(specs, kinds, strict=True)]
    found = {
        label: KINDS[kind].open(label, root, spec, terms)
        for label, root, kind, spec in zip(labels(roots), roots, kinds, specs, strict=True)
    }
    for source in found.values():
        source.check()
    return found


def absolute(spec: SourceSpec) -> SourceSpec:
    """The same source, whatever the working directory is."""
    kind = _kind(spec)
    return spec.model_copy(update={"uri": _root(spec, kind, None), "kind": kind})


def _kind(spec: SourceSpec) -> str:
    if spec.kind != AUTO:
        return spec.kind
    if spec.names:
        return "table"
    from million_ird.sources.archives.source import is_archive

    # A folder may have any name; a pattern or an address is taken at its word.
    plain = has_magic(spec.uri) or "://" in spec.uri or not Folder(spec.uri).is_folder
    if plain and is_table(spec.uri):
        return "table"
    return "archive" if plain and is_archive(spec.uri) else "files"


def _root(spec: SourceSpec, kind: str, out: Folder | None) -> str:
    """What the user named, made absolute."""
    if not KINDS[kind].is_place(spec):
        return spec.uri
    if spec.uri.lower().startswith(("http://", "https://")) and kind == "files":
        raise SourceError(f"source {spec.uri}: a web page or picture; name a site with site:{spec.uri}")
    folder = Folder(spec.uri, spec.storage)
    if out is not None and out.holds(folder):
        raise SourceError(f"source {folder.url}: lies in the output folder")
    return folder.url


def _options(spec: SourceSpec) -> StorageOptions:
    return tuple(sorted(spec.storage.items()))


def labels(roots: Sequence[str]) -> list[str]:
    """A distinct label per source: as many trailing parts of its path as tell it from the others.

    Raises:
        SourceError: the same source twice.
    """
    paths = [PurePosixPath(as_text(root.split("://", 1)[-1])).parts for root in roots]
    for number, root in enumerate(roots):
        if root in roots[:number]:
            raise SourceError(f"source {root}: given twice")
    for depth in range(1, 1 + max(map(len, paths), default=1)):
        short = ["/".join(part for part in path[-depth:] if part != "/") for path in paths]
        if len(set(short)) == len(short):
            return short
    return [root.replace("://", "/") for root in roots]
