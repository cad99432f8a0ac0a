"""Pictures by their web addresses: what tables of URLs and crawled sites have in common."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.config.recipe import Web
from million_ird.sources.files import LARGEST_UNIT as LARGEST_OF_FILES
from million_ird.sources.files import UNIT_SIZE as FILES_PER_UNIT
from million_ird.sources.source import Deliver, Journey, ToldEntry, Unit, candidate_of

LINKS_PER_UNIT = 256
"""On average."""
LARGEST_UNIT = 4 * LINKS_PER_UNIT
_SECRET = frozenset(
    {
        *("signature", "sig", "token", "access_token", "api_key", "apikey", "expires", "policy", "key-pair-id"),
        *("awsaccesskeyid", "googleaccessid", "hdnts", "hdnea", "oh", "oe", "_nc_ohc"),
    }
)
"""Names of query parameters that sign an address or let somebody in, in small letters."""
_AZURE = frozenset({"se", "sp", "sv", "sr", "st", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv"})
"""Those of a shared access signature, which are others' names for harmless things: only beside `sig`."""
_SECRET_PREFIXES = ("x-amz-", "x-goog-", "x-ms-", "x-oss-")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntry(ToldEntry):
    """A picture that a table or a page names, and what it says of it."""

    address: str
    """Where its bytes are, whole: an address with its signature, a path. Never published."""

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        return f"LinkEntry({self._described}, address={self.address!r})"


def is_link(address: str) -> bool:
    """Whether something is to be fetched from a web server."""
    return address[:8].lower().startswith(("http://", "https://"))


def published(address: str) -> str:
    """An address without user names, passwords, signatures and tokens: the same however often it is signed anew."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    host = parts.netloc.rpartition("@")[2]
    if not parts.query:
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    pairs = parts.query.split("&")
    names = [pair.split("=", 1)[0].lower() for pair in pairs]
    secret = _SECRET | _AZURE if "sig" in names else _SECRET
    kept = [p for p, n in zip(pairs, names, strict=True) if n not in secret and not n.startswith(_SECRET_PREFIXES)]
    return urlunsplit((parts.scheme, host, parts.path, "&".join(kept), ""))


def lane_of(address: str, lanes: int) -> str:
    """The lane that an address' host is in."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    number = int.from_bytes(hashlib.blake2b(host.rstrip(".").encode(errors="replace"), digest_size=8).digest()) % lanes
    return f"{number:04d}"


@dataclass(slots=True)
class Lanes:
    """Deals entries to lanes and cuts each lane into units where a key says so.

    An entry that is added or removed changes the unit that it is in and no other.
    """

    label: str
    root: str
    _chunks: dict[str, list[LinkEntry]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    """What the unit at hand of each lane is named by: the entry that it begins with, nothing for a lane's first."""

    def add(self, lane: str, key: str, entry: LinkEntry, *, local: bool = False) -> Unit | None:
        """The unit that this entry ends, if it does."""
        every, most = (FILES_PER_UNIT, LARGEST_OF_FILES) if local else (LINKS_PER_UNIT, LARGEST_UNIT)
        chunk = self._chunks.setdefault(lane, [])
        boundary = int(key[-4:], 16) % every == 0
        ended = self._unit(lane, local) if chunk and (boundary or len(chunk) >= most) else None
        if ended or (boundary and not chunk):
            self._names[lane] = entry.uri
        if ended:
            chunk = self._chunks[lane] = []
        chunk.append(entry)
        return ended

    def rest(self, *, local: str = "") -> Iterator[Unit]:
        """The units that nothing has ended; `local` is the lane of local files."""
        yield from (self._unit(lane, lane == local) for lane in sorted(self._chunks) if self._chunks[lane])

    def _unit(self, lane: str, local: bool) -> Unit:
        entries = tuple(self._chunks[lane])
        slot = candidate_key(self.label, self._names.get(lane, ""), lane)
        lane = "" if local else lane
        return Unit(source=self.label, root=self.root, slot=slot, entries=entries, remote=not local, lane=lane)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """The terms on which pictures are fetched from the web."""

    web: Web
    max_bytes: int
    allow_private_hosts: bool = False

    def stream(
        self,
        label: str,
        entries: Sequence[LinkEntry],
        lane: str,
        wanted: Callable[[Candidate], bool],
        deliver: Deliver,
        journey: Journey,
    ) -> None:
        """Fetches the wanted ones among the entries of a lane; what is learned of its hosts is kept for the next."""
        from million_ird.sources.web.client import Memory, fetch_all

        pairs = [(candidate_of(label, entry), entry.address) for entry in entries]
        pairs = [pair for pair in pairs if wanted(pair[0])]

        def delivered(index: int, found: bytes | Failed) -> None:
            deliver(pairs[index][0], found)

        memory = Memory.of_lane(journey.out, lane)
        try:
            fetch_all(
                [address for _, address in pairs],
                self.web,
                max_bytes=self.max_bytes,
                concurrency=journey.concurrency,
                allow_private_hosts=self.allow_private_hosts,
                memory=memory,
                deliver=delivered,
            )
        finally:
            memory.save()
