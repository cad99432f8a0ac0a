"""What is known of web hosts: their robots.txt, when the next request may start, and whether they respond.

Times are those of the wall clock, since they outlive the process; a wait from a file is never longer than its setting.
"""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from million_ird.candidate import Failed
from million_ird.errors import DamagedFile
from million_ird.runtime.storage import Folder
from million_ird.sources.web import robots

log = logging.getLogger(__name__)

DAY = 86_400.0
ROBOTS_SECONDS = DAY
"""How long a robots.txt is valid: RFC 9309, 2.4."""
UNREACHABLE_SECONDS = 300.0
"""How long a robots.txt that could not be fetched forbids everything."""
MAX_FAILURES = 10
"""Consecutive failures after which a host gets no requests for a while (its circuit is open)."""
COOL_DOWN_SECONDS = 60.0
"""How long it gets none; then a single request tests whether it responds again."""
MAX_ROBOTS_TEXT = 4_000_000
"""Characters of all robots.txt in one file, which is rewritten with every chunk; the oldest are dropped first."""
MAX_HOSTS = 10_000
_SCHEMA = 1


@dataclass(slots=True)
class HostState:
    """What is known of one host: a name, with its port unless that is the default. Saved as JSON by field names."""

    next_at: float = 0.0
    """The earliest time of the next request, because of the delay."""
    hushed_until: float = 0.0
    """When its Retry-After ends."""
    failures: int = 0
    """Consecutive requests that failed to connect or got a server error."""
    open_until: float = 0.0
    """When its circuit closes again."""
    seen: float = 0.0
    """When the last request started."""
    delay: float = 0.0
    """Seconds between the starts of two requests."""

    def wait_seconds(self, now: float, longest: float) -> float:
        """Return the seconds until the next request may start; 0 also if it would fail at once."""
        if self.is_circuit_open(now) or self.is_paused_too_long(now, longest):
            return 0.0
        # If the clock was set back, a saved time may be far in the future.
        return max(0.0, self.hushed_until - now, min(self.next_at - now, self.delay))

    def record_start(self, now: float) -> None:
        """Record that a request starts."""
        self.seen = now
        self.next_at = now + self.delay

    def pause_for(self, now: float, seconds: float) -> None:
        """Record that the host asked for no requests for a while (Retry-After)."""
        self.hushed_until = max(self.hushed_until, now + min(seconds, DAY))

    def is_paused_too_long(self, now: float, longest: float) -> bool:
        """Return whether the host asked for a longer pause than `longest`, so that its requests fail."""
        return longest < self.hushed_until - now <= DAY

    def record_success(self) -> None:
        """Record that the host responded."""
        self.failures = 0

    def record_failure(self, now: float) -> None:
        """Record that the host did not respond, or with a server error."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.open_until = now + COOL_DOWN_SECONDS

    def is_circuit_open(self, now: float) -> bool:
        """Return whether the host failed so often that it gets no requests for now."""
        return self.failures >= MAX_FAILURES and 0 < self.open_until - now <= COOL_DOWN_SECONDS

    @property
    def is_on_probation(self) -> bool:
        """Whether it gets only one request at a time until it has responded."""
        return self.failures >= MAX_FAILURES


@dataclass(slots=True)
class RobotsRecord:
    """The robots.txt of one origin, or why it could not be fetched."""

    fetched_at: float
    text: str = ""
    failed: Failed | None = None
    """Why it could not be fetched; then everything is forbidden."""
    rules: robots.RobotsRules | None = field(default=None, repr=False, compare=False)
    """The text as it was parsed, at first use."""

    def is_valid(self, now: float) -> bool:
        """Return whether the record is recent enough to use."""
        return 0 <= now - self.fetched_at < (UNREACHABLE_SECONDS if self.failed else ROBOTS_SECONDS)


class HostMemory:
    """What is known of hosts, kept between chunks and between runs. Used by one event loop at a time."""

    def __init__(self, folder: Folder | None = None, name: str = "") -> None:
        """Create an empty memory; without a folder nothing outlives the process."""
        self._folder = folder
        self._name = name
        self._hosts: dict[str, HostState] = {}
        self._robots: dict[str, RobotsRecord] = {}

    @classmethod
    def of_host_group(cls, out: Folder, host_group: str) -> "HostMemory":
        """Load what a build knows of the hosts in a group."""
        return cls.load(out, f".work/hosts/{host_group}.json")

    @classmethod
    def load(cls, folder: Folder, name: str) -> "HostMemory":
        """Load what `save` wrote under this name, or an empty memory.

        Raises:
            DamagedFile: the file holds something else.
        """
        memory = cls(folder, name)
        content = folder.read_json(name)
        if content is None:
            return memory
        try:
            if content["schema"] != _SCHEMA:
                log.info("%s: written by another version, ignored", folder.path(name))
                return memory
            memory._hosts = {key: _load_host(value) for key, value in content["hosts"].items()}
            memory._robots = {key: _load_robots(value) for key, value in content["robots"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFile(f"{folder.path(name)}: damaged; remove it and run the build again") from error
        return memory

    def save(self) -> None:
        """Forget what is older than a day, or beyond the limits; write the rest to the folder, if there is one."""
        self._forget(time.time())
        if self._folder is None:
            return
        content = {
            "schema": _SCHEMA,
            "hosts": {key: asdict(host) for key, host in self._hosts.items()},
            "robots": {
                key: {
                    "at": record.fetched_at,
                    "text": record.text,
                    "failed": [record.failed.failure_class, record.failed.detail] if record.failed else None,
                }
                for key, record in self._robots.items()
            },
        }
        self._folder.write_json(self._name, content)

    def host(self, key: str) -> HostState:
        """Return the state of a host; a new host is added."""
        return self._hosts.setdefault(key, HostState())

    def robots(self, origin: str, now: float) -> RobotsRecord | None:
        """Return the origin's robots.txt if it was fetched recently enough."""
        record = self._robots.get(origin)
        return record if record is not None and record.is_valid(now) else None

    def save_robots(self, origin: str, record: RobotsRecord) -> None:
        """Keep an origin's robots.txt."""
        self._robots[origin] = record

    def _forget(self, now: float) -> None:
        fresh = [(key, host) for key, host in self._hosts.items() if now - host.seen < DAY]
        self._hosts = dict(sorted(fresh, key=lambda item: -item[1].seen)[:MAX_HOSTS])
        kept: dict[str, RobotsRecord] = {}
        room = MAX_ROBOTS_TEXT
        for key, record in sorted(self._robots.items(), key=lambda item: -item[1].fetched_at):
            room -= len(record.text)
            if not record.is_valid(now) or room < 0 or len(kept) >= MAX_HOSTS:
                continue
            kept[key] = record
        self._robots = kept


def _load_host(value: Mapping[str, Any]) -> HostState:
    host = HostState(**value)
    numbers = (host.next_at, host.hushed_until, host.failures, host.open_until, host.seen, host.delay)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError
    return host


def _load_robots(value: Mapping[str, Any]) -> RobotsRecord:
    failed = Failed(*map(str, value["failed"])) if value["failed"] else None
    return RobotsRecord(fetched_at=float(value["at"]), text=str(value["text"]), failed=failed)
