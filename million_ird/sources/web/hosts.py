"""What is remembered of web hosts: their robots.txt, when they may be asked again, and whether they answer at all.

Times are the wall clock's, since they outlive the process; no wait is trusted to be longer than it can have been meant.
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
"""Seconds for which a robots.txt holds: RFC 9309, 2.4."""
UNREACHABLE_SECONDS = 300.0
"""Seconds for which a robots.txt that could not be had forbids everything."""
MAX_FAILURES = 10
"""Consecutive failures of a host after which it is left alone."""
COOL_DOWN_SECONDS = 60.0
"""Seconds for which it is; then a single request finds out whether it answers again."""
MAX_ROBOTS_TEXT = 4_000_000
"""Characters of all robots.txt together in one file, which is read and written with every unit; the oldest go first."""
MAX_HOSTS = 10_000
_SCHEMA = 1


@dataclass(slots=True)
class HostState:
    """One host: a name, with a port where it is not the usual one."""

    next_at: float = 0.0
    """The earliest time of the next request, for its delay."""
    hushed_until: float = 0.0
    """When its last Retry-After ends."""
    failures: int = 0
    """Connections and server errors in a row that came to nothing."""
    open_until: float = 0.0
    """Until then it is left alone."""
    seen: float = 0.0
    delay: float = 0.0
    """Seconds between the beginnings of two requests."""

    def wait(self, now: float, longest: float) -> float:
        """Seconds until the next request may begin; 0 also where it would fail at once."""
        if self.is_circuit_open(now) or self.is_paused_too_long(now, longest):
            return 0.0
        # After the clock was set back, a remembered time may lie far ahead.
        return max(0.0, self.hushed_until - now, min(self.next_at - now, self.delay))

    def record_start(self, now: float) -> None:
        """A request begins."""
        self.seen = now
        self.next_at = now + self.delay

    def pause_for(self, now: float, seconds: float) -> None:
        """It asked to be left alone for a while."""
        self.hushed_until = max(self.hushed_until, now + min(seconds, DAY))

    def is_paused_too_long(self, now: float, longest: float) -> bool:
        """Whether it asked to be left alone for longer than anyone here waits."""
        return longest < self.hushed_until - now <= DAY

    def record_success(self) -> None:
        """It answered."""
        self.failures = 0

    def record_failure(self, now: float) -> None:
        """It did not answer, or with a server error."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.open_until = now + COOL_DOWN_SECONDS

    def is_circuit_open(self, now: float) -> bool:
        """Whether its circuit is open: it failed too often, and is left alone."""
        return self.failures >= MAX_FAILURES and 0 < self.open_until - now <= COOL_DOWN_SECONDS

    @property
    def is_on_probation(self) -> bool:
        """Whether one request at a time is enough until it has answered."""
        return self.failures >= MAX_FAILURES


@dataclass(slots=True)
class RobotsRecord:
    """The answer of one origin to the question for its robots.txt."""

    at: float
    text: str = ""
    failed: Failed | None = None
    """Why there is no answer; everything is forbidden then."""
    _rules: robots.RobotsRules | None = field(default=None, repr=False, compare=False)

    @property
    def rules(self) -> robots.RobotsRules:
        """The rules, compiled when first asked for."""
        if self._rules is None:
            self._rules = robots.parse(self.text)
        return self._rules

    def holds(self, now: float) -> bool:
        """Whether it is fresh enough to be relied on."""
        return 0 <= now - self.at < (UNREACHABLE_SECONDS if self.failed else ROBOTS_SECONDS)


class HostMemory:
    """What is known of hosts, between units of work and between runs. Used by one event loop at a time."""

    def __init__(self, folder: Folder | None = None, name: str = "") -> None:
        """With no folder nothing outlives the process."""
        self._folder = folder
        self._name = name
        self._hosts: dict[str, HostState] = {}
        self._robots: dict[str, RobotsRecord] = {}

    @classmethod
    def of_host_group(cls, out: Folder, host_group: str) -> "HostMemory":
        """What a build knows of the hosts in a lane."""
        return cls.load(out, f".work/hosts/{host_group}.json")

    @classmethod
    def load(cls, folder: Folder, name: str) -> "HostMemory":
        """What `save` wrote under that name, or nothing yet.

        Raises:
            DamagedFile: it is something else.
        """
        memory = cls(folder, name)
        content = folder.read_json(name)
        if content is None:
            return memory
        try:
            if content["schema"] != _SCHEMA:
                log.info("%s: of another version, hosts are asked anew", folder.path(name))
                return memory
            memory._hosts = {key: _host(value) for key, value in content["hosts"].items()}
            memory._robots = {key: _robots(value) for key, value in content["robots"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFile(f"{folder.path(name)}: damaged; remove it and run the build again") from error
        return memory

    def save(self) -> None:
        """Forgets what is older than a day, and the oldest beyond the bounds; writes the rest down, if anywhere."""
        self._forget(time.time())
        if self._folder is None:
            return
        content = {
            "schema": _SCHEMA,
            "hosts": {key: asdict(host) for key, host in self._hosts.items()},
            "robots": {
                key: {
                    "at": one.at,
                    "text": one.text,
                    "failed": [one.failed.failure_class, one.failed.detail] if one.failed else None,
                }
                for key, one in self._robots.items()
            },
        }
        self._folder.write_json(self._name, content)

    def host(self, key: str) -> HostState:
        """What is known of a host; from now on it is remembered."""
        return self._hosts.setdefault(key, HostState())

    def robots(self, origin: str, now: float) -> RobotsRecord | None:
        """The origin's robots.txt, if it was asked for not too long ago."""
        found = self._robots.get(origin)
        return found if found is not None and found.holds(now) else None

    def save_robots(self, origin: str, answer: RobotsRecord) -> None:
        """Remembers an origin's robots.txt."""
        self._robots[origin] = answer

    def _forget(self, now: float) -> None:
        fresh = [(key, host) for key, host in self._hosts.items() if now - host.seen < DAY]
        self._hosts = dict(sorted(fresh, key=lambda one: -one[1].seen)[:MAX_HOSTS])
        kept: dict[str, RobotsRecord] = {}
        room = MAX_ROBOTS_TEXT
        for key, one in sorted(self._robots.items(), key=lambda one: -one[1].at):
            room -= len(one.text)
            if not one.holds(now) or room < 0 or len(kept) >= MAX_HOSTS:
                continue
            kept[key] = one
        self._robots = kept


def _host(value: Mapping[str, Any]) -> HostState:
    host = HostState(**value)
    numbers = (host.next_at, host.hushed_until, host.failures, host.open_until, host.seen, host.delay)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError
    return host


def _robots(value: Mapping[str, Any]) -> RobotsRecord:
    failed = Failed(*map(str, value["failed"])) if value["failed"] else None
    return RobotsRecord(at=float(value["at"]), text=str(value["text"]), failed=failed)
