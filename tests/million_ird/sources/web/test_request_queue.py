"""Whose turn it is, told without a network: the time is a number."""

from million_ird.sources.web.addresses import FetchUrl, parse_url
from million_ird.sources.web.hosts import MAX_FAILURES, HostState
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue

LIMIT = 2


def schedule() -> RequestQueue:
    return RequestQueue(limit=lambda request: 1 if request.host.is_on_probation else LIMIT, longest_wait=60)


def request(url: str, host: HostState) -> QueuedRequest:
    target = parse_url(url)
    assert isinstance(target, FetchUrl)
    return QueuedRequest(target=target, host=host, want="image", max_bytes=1, on_done=lambda end: None, keep_open=False)


def taken(line: RequestQueue, now: float) -> list[QueuedRequest]:
    return list(iter(lambda: line.take(now), None))


def paths(requests: list[QueuedRequest]) -> list[str]:
    return [one.target.url.path for one in requests]


def test_hosts_take_turns_and_none_goes_over_its_limit() -> None:
    line, a, b = schedule(), HostState(), HostState()
    for number in range(5):
        line.put(request(f"http://a.org/a{number}", a))
    line.put(request("http://b.org/b0", b))
    first = taken(line, 0)
    assert paths(first) == ["/a0", "/b0", "/a1"]
    line.release(first[0])
    assert paths(taken(line, 0)) == ["/a2"]
    assert line.has_more(first[2])


def test_a_host_with_a_delay_sleeps_and_holds_up_nobody() -> None:
    line, slow, quick = schedule(), HostState(delay=10.0), HostState()
    slow.record_start(0)
    for number in range(2):
        line.put(request(f"http://slow.org/s{number}", slow))
        line.put(request(f"http://quick.org/q{number}", quick))
    assert paths(taken(line, 1)) == ["/q0", "/q1"]
    assert line.next_wake == 10
    assert paths(taken(line, 9.9)) == []
    (one,) = (line.take(10),)
    assert one is not None
    assert one.target.url.path == "/s0"
    slow.record_start(10)
    assert line.take(10) is None
    line.release(one)
    assert line.take(19) is None
    assert paths(taken(line, 20)) == ["/s1"]


def test_a_trip_that_waits_for_its_next_try_is_in_nobodys_way_and_comes_first_then() -> None:
    line, host = schedule(), HostState()
    late = request("http://a.org/late", host)
    late.not_before = 5
    line.put(late)
    for number in range(3):
        line.put(request(f"http://a.org/{number}", host))
    first = taken(line, 0)
    assert paths(first) == ["/0", "/1"]
    for one in first:
        line.release(one)
    assert paths(taken(line, 5)) == ["/late", "/2"]


def test_all_gone_is_empty() -> None:
    line, host = schedule(), HostState()
    line.put(request("http://a.org/", host))
    (only,) = taken(line, 0)
    assert line.waiting == 0
    line.release(only)
    assert (line.take(0), line.waiting) == (None, 0)


def test_a_host_on_probation_is_asked_once_and_one_that_is_open_fails_at_once() -> None:
    line, host = schedule(), HostState(failures=MAX_FAILURES, open_until=50, delay=5)
    host.next_at = 1000
    for number in range(3):
        line.put(request(f"http://a.org/{number}", host))
    assert paths(taken(line, 10)) == ["/0"]  # no wait: whoever takes it will be told that the circuit is open


def test_a_limit_that_rises_is_used_as_soon_as_it_is_told() -> None:
    line, host = schedule(), HostState(failures=MAX_FAILURES)
    for number in range(3):
        line.put(request(f"http://a.org/{number}", host))
    (probe,) = taken(line, 0)
    host.record_success()
    line.recheck(probe)
    assert paths(taken(line, 0)) == ["/1"]
