"""The order of requests, tested without a network: the time is a number."""

from million_ird.sources.web.addresses import FetchUrl, parse_url
from million_ird.sources.web.hosts import MAX_FAILURES, HostState
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue

LIMIT = 2


def new_queue() -> RequestQueue:
    return RequestQueue(limit=lambda request: 1 if request.host.is_on_probation else LIMIT, longest_wait=60)


def request(url: str, host: HostState) -> QueuedRequest:
    target = parse_url(url)
    assert isinstance(target, FetchUrl)
    return QueuedRequest(target=target, host=host, want="image", max_bytes=1, on_done=lambda end: None, keep_open=False)


def take_all(queue: RequestQueue, now: float) -> list[QueuedRequest]:
    return list(iter(lambda: queue.take(now), None))


def paths(requests: list[QueuedRequest]) -> list[str]:
    return [request_.target.url.path for request_ in requests]


def test_hosts_take_turns_and_none_exceeds_its_limit() -> None:
    queue, a, b = new_queue(), HostState(), HostState()
    for number in range(5):
        queue.put(request(f"http://a.org/a{number}", a))
    queue.put(request("http://b.org/b0", b))
    first = take_all(queue, 0)
    assert paths(first) == ["/a0", "/b0", "/a1"]
    queue.release(first[0])
    assert paths(take_all(queue, 0)) == ["/a2"]
    assert queue.has_more(first[2])


def test_a_host_with_a_delay_sleeps_and_delays_no_other() -> None:
    queue, slow, quick = new_queue(), HostState(delay=10.0), HostState()
    slow.record_start(0)
    for number in range(2):
        queue.put(request(f"http://slow.org/s{number}", slow))
        queue.put(request(f"http://quick.org/q{number}", quick))
    assert paths(take_all(queue, 1)) == ["/q0", "/q1"]
    assert queue.next_wake == 10
    assert paths(take_all(queue, 9.9)) == []
    (request_,) = (queue.take(10),)
    assert request_ is not None
    assert request_.target.url.path == "/s0"
    slow.record_start(10)
    assert queue.take(10) is None
    queue.release(request_)
    assert queue.take(19) is None
    assert paths(take_all(queue, 20)) == ["/s1"]


def test_a_request_that_waits_for_its_next_try_blocks_no_other_and_comes_first_then() -> None:
    queue, host = new_queue(), HostState()
    late = request("http://a.org/late", host)
    late.not_before = 5
    queue.put(late)
    for number in range(3):
        queue.put(request(f"http://a.org/{number}", host))
    first = take_all(queue, 0)
    assert paths(first) == ["/0", "/1"]
    for request_ in first:
        queue.release(request_)
    assert paths(take_all(queue, 5)) == ["/late", "/2"]


def test_an_emptied_queue_holds_nothing() -> None:
    queue, host = new_queue(), HostState()
    queue.put(request("http://a.org/", host))
    (only,) = take_all(queue, 0)
    assert queue.waiting == 0
    queue.release(only)
    assert (queue.take(0), queue.waiting) == (None, 0)


def test_a_host_on_probation_gets_one_request_and_an_open_circuit_fails_at_once() -> None:
    queue, host = new_queue(), HostState(failures=MAX_FAILURES, open_until=50, delay=5)
    host.next_at = 1000
    for number in range(3):
        queue.put(request(f"http://a.org/{number}", host))
    assert paths(take_all(queue, 10)) == ["/0"]  # no wait: the client will see that the circuit is open


def test_a_higher_limit_is_used_as_soon_as_it_is_announced() -> None:
    queue, host = new_queue(), HostState(failures=MAX_FAILURES)
    for number in range(3):
        queue.put(request(f"http://a.org/{number}", host))
    (probe,) = take_all(queue, 0)
    host.record_success()
    queue.recheck(probe)
    assert paths(take_all(queue, 0)) == ["/1"]
