"""Images by their web addresses: what tables of URLs and crawled sites have in common."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, urljoin, urlsplit, urlunsplit

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.config.rules import WebSettings
from million_ird.errors import one_line
from million_ird.sources.cells import bad_row
from million_ird.sources.files import CHUNK_SIZE as FILES_PER_CHUNK
from million_ird.sources.files import MAX_CHUNK_SIZE as MAX_FILES_PER_CHUNK
from million_ird.sources.source import Deliver, DescribedEntry, SourceChunk, StreamContext, candidate_of

LINKS_PER_CHUNK = 256
"""Average number of links in a chunk."""
MAX_CHUNK_SIZE = 4 * LINKS_PER_CHUNK
_SECRET = frozenset(
    {
        *("signature", "sig", "token", "access_token", "api_key", "apikey", "expires", "policy", "key-pair-id"),
        *("awsaccesskeyid", "googleaccessid", "hdnts", "hdnea", "oh", "oe", "_nc_ohc"),
    }
)
"""Lower-case names of query parameters that sign an address or grant access, as far as they are known: these alone may
change while the image stays the same."""
_AZURE = frozenset({"se", "sp", "sv", "sr", "st", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv"})
"""Parameters of a shared access signature; they have other, harmless meanings unless `sig` is there, too."""
_SECRET_PREFIXES = ("x-amz-", "x-goog-", "x-ms-", "x-oss-")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntry(DescribedEntry):
    """An image that a table or a page names, with its metadata."""

    address: str
    """The complete address with its signature, or a path. Never published."""
    failed: Failed | None = None
    """Why it is not even requested: the page of a site that cannot be read."""

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        failed = f", failed={self.failed!r}" if self.failed else ""
        return f"LinkEntry({self._described}, address={self.address!r}{failed})"


def is_web_url(address: str) -> bool:
    """Return whether an address is fetched from a web server."""
    return address[:8].lower().startswith(("http://", "https://"))


def join_address(base: str, address: str) -> str:
    """Return the address that a row of the table at `base` means.

    Raises:
        ReadError: `bad_row`: it cannot be read, such as `//[`.
    """
    try:
        return urljoin(base, address)
    except ValueError as error:
        raise bad_row(f"is no address: {one_line(error)}") from error


def address_identity(address: str) -> str:
    """Return what tells an address from others: without user info and credentials, so that signing changes nothing.

    Addresses that differ in other parameters are different images. Never published: see `public_addresses`.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    host = parts.netloc.rpartition("@")[2]
    if not parts.query:
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    pairs = parts.query.split("&")
    names = [unquote_plus(pair.split("=", 1)[0]).lower() for pair in pairs]
    secret = _SECRET | _AZURE if "sig" in names else _SECRET
    kept = [p for p, n in zip(pairs, names, strict=True) if n not in secret and not n.startswith(_SECRET_PREFIXES)]
    return urlunsplit((parts.scheme, host, parts.path, "&".join(kept), ""))


def keys_of_address(address: str, sources: Iterable[str]) -> list[str]:
    """Return the keys that the candidate with this whole address has, in any of the sources with these labels."""
    return [candidate_key(source, address_identity(address)) for source in sources]


def host_group_of(address: str, lanes: int) -> str:
    """Return the group of an address's host, one of `lanes` groups."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return _group_of_host(host, lanes)


@functools.lru_cache(maxsize=4096)
def _group_of_host(host: str, lanes: int) -> str:
    number = int.from_bytes(hashlib.blake2b(host.rstrip(".").encode(errors="replace"), digest_size=8).digest()) % lanes
    return f"{number:04d}"


@dataclass(slots=True)
class LinkChunker:
    """Distributes entries over host groups and cuts each group into chunks where a key hashes to a boundary.

    An entry that is added or removed changes its own chunk and no other.
    """

    label: str
    root: str
    _entries: dict[str, list[LinkEntry]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    """The uri that names the current chunk of each group: that of its first entry, empty for a group's first chunk."""

    def add(self, host_group: str, key: str, entry: LinkEntry, *, local: bool = False) -> SourceChunk | None:
        """Add an entry; return the chunk before it if the entry starts a new one."""
        average, largest = chunk_sizes(local=local)
        entries = self._entries.setdefault(host_group, [])
        boundary = int(key[-4:], 16) % average == 0
        ended = self._chunk(host_group, local) if entries and (boundary or len(entries) >= largest) else None
        if ended or (boundary and not entries):
            self._names[host_group] = entry.uri
        if ended:
            entries = self._entries[host_group] = []
        entries.append(entry)
        return ended

    def rest(self, *, local: str = "") -> Iterator[SourceChunk]:
        """Yield the last chunk of every group; `local` is the group of local files."""
        yield from (
            self._chunk(host_group, host_group == local)
            for host_group in sorted(self._entries)
            if self._entries[host_group]
        )

    def _chunk(self, host_group: str, local: bool) -> SourceChunk:
        entries, name = tuple(self._entries[host_group]), self._names.get(host_group, "")
        return link_chunk(self.label, self.root, name, host_group, entries, local=local)


def chunk_sizes(*, local: bool) -> tuple[int, int]:
    """Return the average and the largest number of entries of a chunk."""
    return (FILES_PER_CHUNK, MAX_FILES_PER_CHUNK) if local else (LINKS_PER_CHUNK, MAX_CHUNK_SIZE)


def link_chunk(
    label: str, root: str, name: str, host_group: str, entries: tuple[LinkEntry, ...], *, local: bool
) -> SourceChunk:
    """Return a chunk of a host group.

    Args:
        label: Label of its source.
        root: Root of its source.
        name: The uri of the entry that it starts at; empty for the first of a group, if it does not start at one.
        host_group: The group, or what stands for it where the entries are files.
        entries: What it holds.
        local: Whether the entries are files of this machine.
    """
    slot = candidate_key(label, name, host_group)
    group = "" if local else host_group
    return SourceChunk(source=label, root=root, slot=slot, entries=entries, remote=not local, host_group=group)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFetcher:
    """Fetches images from the web with the settings of a recipe."""

    web: WebSettings
    max_bytes: int
    allow_private_hosts: bool = False

    def stream(
        self,
        label: str,
        entries: Sequence[LinkEntry],
        host_group: str,
        wanted: Callable[[Candidate], bool],
        deliver: Deliver,
        context: StreamContext,
    ) -> None:
        """Fetch the wanted entries of a host group; what is learned of its hosts is saved for the next chunk."""
        wanted_entries = [(candidate_of(label, entry), entry) for entry in entries]
        wanted_entries = [pair for pair in wanted_entries if wanted(pair[0])]
        for candidate, entry in wanted_entries:
            if entry.failed is not None:
                deliver(candidate, entry.failed)
        pairs = [(candidate, entry.address) for candidate, entry in wanted_entries if entry.failed is None]

        def deliver_index(index: int, content: bytes | Failed) -> None:
            deliver(pairs[index][0], content)

        self._fetch([address for _, address in pairs], host_group, deliver_index, context)

    def fetch(self, addresses: Sequence[str], context: StreamContext) -> list[bytes | Failed]:
        """Fetch addresses of any hosts, one host group after another, with the same checks and limits as `stream`.

        For sources whose rows name addresses now and then: unlike chunks of links, two such calls may ask one host at
        the same time.
        """
        results: dict[int, bytes | Failed] = {}
        groups: dict[str, list[int]] = {}
        for number, address in enumerate(addresses):
            groups.setdefault(host_group_of(address, self.web.lanes), []).append(number)
        for host_group, numbers in sorted(groups.items()):

            def deliver(index: int, content: bytes | Failed, numbers: list[int] = numbers) -> None:
                results[numbers[index]] = content

            self._fetch([addresses[number] for number in numbers], host_group, deliver, context)
        return [results[number] for number in range(len(addresses))]

    def _fetch(
        self,
        addresses: Sequence[str],
        host_group: str,
        deliver: Callable[[int, bytes | Failed], None],
        context: StreamContext,
    ) -> None:
        from million_ird.sources.web.client import fetch_all  # aiohttp takes time to import
        from million_ird.sources.web.hosts import HostMemory

        memory = HostMemory.of_host_group(context.out, host_group)
        try:
            fetch_all(
                addresses,
                self.web,
                max_bytes=self.max_bytes,
                concurrency=context.concurrency,
                allow_private_hosts=self.allow_private_hosts,
                memory=memory,
                deliver=deliver,
            )
        finally:
            memory.save()
