"""What is kept about hosts, and for how long."""

import time
from pathlib import Path

import pytest

from million_ird.candidate import Failed
from million_ird.errors import DamagedFile
from million_ird.runtime.storage import Folder
from million_ird.sources.web import hosts, robots
from million_ird.sources.web.hosts import COOL_DOWN_SECONDS, DAY, MAX_FAILURES, HostMemory, HostState, RobotsRecord

NAME = ".work/hosts/07.json"


def test_requests_start_a_delay_apart() -> None:
    host = HostState(delay=2.0)
    assert host.wait_seconds(100, 60) == 0
    host.record_start(100)
    assert host.wait_seconds(100.5, 60) == 1.5
    assert host.wait_seconds(102, 60) == 0


def test_a_clock_that_was_set_back_does_not_cause_long_waits() -> None:
    host = HostState(delay=2.0)
    host.record_start(10_000)
    assert host.wait_seconds(100, 60) == 2.0


def test_a_retry_after_is_waited_for_or_fails_the_requests() -> None:
    host = HostState()
    host.pause_for(100, 30)
    assert (host.wait_seconds(110, 60), host.is_paused_too_long(110, 60)) == (20, False)
    assert (host.wait_seconds(110, 10), host.is_paused_too_long(110, 10)) == (0, True)
    host.pause_for(100, 10)
    assert host.wait_seconds(100, 60) == 30
    assert not host.is_paused_too_long(131, 10)


def test_a_host_that_fails_repeatedly_gets_no_requests_then_one() -> None:
    host = HostState()
    for _ in range(MAX_FAILURES - 1):
        host.record_failure(100)
    host.record_success()
    for _ in range(MAX_FAILURES - 1):
        host.record_failure(100)
    assert not host.is_circuit_open(100)
    host.record_failure(100)
    assert host.is_circuit_open(100)
    assert host.is_circuit_open(100 + COOL_DOWN_SECONDS - 1)
    assert not host.is_circuit_open(100 + COOL_DOWN_SECONDS)
    assert host.is_on_probation
    host.record_failure(200)
    assert host.is_circuit_open(201)
    host.record_success()
    assert not host.is_circuit_open(201)
    assert not host.is_on_probation


def test_memory_outlives_the_process(tmp_path: Path) -> None:
    folder, now = Folder(str(tmp_path)), time.time()
    memory = HostMemory.load(folder, NAME)
    memory.host("x.org").record_start(now)
    memory.host("x.org").pause_for(now, 50)
    memory.save_robots("http://x.org", RobotsRecord(now, "User-agent: *\nDisallow: /a"))
    memory.save_robots("http://y.org", RobotsRecord(now, failed=Failed("dns", "y.org: unknown")))
    memory.save()
    again = HostMemory.load(folder, NAME)
    assert again.host("x.org") == memory.host("x.org")
    record = again.robots("http://x.org", now + DAY - 1)
    assert record is not None
    assert not robots.parse(record.text).allow("http://x.org/a")
    assert again.robots("http://x.org", now + DAY) is None
    failed = again.robots("http://y.org", now + 100)
    assert failed is not None
    assert failed.failed == Failed("dns", "y.org: unknown")
    assert again.robots("http://y.org", now + hosts.UNREACHABLE_SECONDS) is None


def test_entries_older_than_a_day_are_forgotten(tmp_path: Path) -> None:
    folder, now = Folder(str(tmp_path)), time.time()
    memory = HostMemory.load(folder, NAME)
    memory.host("old.org").record_start(now - DAY - 1)
    memory.host("new.org").record_start(now)
    memory.save_robots("http://old.org", RobotsRecord(now - DAY - 1, "x"))
    memory.save()
    content = folder.read_json(NAME)
    assert (list(content["hosts"]), content["robots"]) == (["new.org"], {})


def test_the_file_is_bounded_and_the_oldest_entries_are_dropped_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MAX_ROBOTS_TEXT", 1000)
    monkeypatch.setattr(hosts, "MAX_HOSTS", 3)
    folder, now = Folder(str(tmp_path)), time.time()
    memory = HostMemory.load(folder, NAME)
    for number in range(5):
        memory.host(f"{number}.org").record_start(now - number)
        memory.save_robots(f"http://{number}.org", RobotsRecord(now - number, "x" * 400))
    memory.save()
    content = folder.read_json(NAME)
    assert sorted(content["hosts"]) == ["0.org", "1.org", "2.org"]
    assert sorted(content["robots"]) == ["http://0.org", "http://1.org"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 1}', '{"schema": 1, "hosts": {"x": {"nonsense": 1}}, "robots": {}}']
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    folder = Folder(str(tmp_path))
    folder.write(NAME, text.encode())
    with pytest.raises(DamagedFile, match=r"07\.json"):
        HostMemory.load(folder, NAME)


def test_a_file_of_another_version_is_ignored(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write_json(NAME, {"schema": 99, "hosts": {"x.org": {}}})
    HostMemory.load(folder, NAME).save()
    assert folder.read_json(NAME)["hosts"] == {}
