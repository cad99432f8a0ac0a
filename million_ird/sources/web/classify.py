"""What an answer means for a trip: its end, another try or another place."""

import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urljoin

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import robots
from million_ird.sources.web.addresses import FetchUrl, parse_url
from million_ird.sources.web.hosts import HostState
from million_ird.sources.web.request_queue import QueuedRequest
from million_ird.sources.web.response import FetchResult, HttpResponse
from million_ird.sources.web.retries import backoff, is_host_failure, is_retriable, retry_after

REDIRECTS = frozenset({301, 302, 303, 307, 308})


def classify_response(
    trip: QueuedRequest, reply: HttpResponse | Failed, web: WebSettings, host_of: Callable[[FetchUrl], HostState]
) -> FetchResult | Failed | QueuedRequest:
    """What is to become of the trip; what the answer says of its host is noted there."""
    if isinstance(reply, HttpResponse) and reply.status in (200, 203):
        trip.host.record_success()
        if not reply.body:
            return Failed("empty", f"{trip.place.host}: an answer of 0 bytes")
        values = reply.headers.getall("X-Robots-Tag", ())
        return FetchResult(str(trip.place.url), reply.body, robots.directives(values) if values else frozenset())
    if isinstance(reply, HttpResponse) and reply.status in REDIRECTS:
        trip.host.record_success()
        return _elsewhere(trip, reply.headers.get("Location", ""), web, host_of)
    return _failed(trip, reply, web)


def _elsewhere(
    trip: QueuedRequest, location: str, web: WebSettings, host_of: Callable[[FetchUrl], HostState]
) -> Failed | QueuedRequest:
    host = trip.place.host
    if len(trip.hops) >= web.redirects:
        return Failed("redirects", f"{host}: more than {web.redirects} redirects")
    try:
        place = parse_url(urljoin(str(trip.place.url), location))
    except ValueError:
        place = Failed("bad_url", "its host or port cannot be read")
    if not location or isinstance(place, Failed):
        return Failed("redirects", f"{host}: to nowhere{f' ({place.detail})' if isinstance(place, Failed) else ''}")
    hops = (*trip.hops, trip.place)
    if any(place.url == hop.url for hop in hops):
        return Failed("redirects", f"{host}: in a circle")
    return replace(trip, place=place, host=host_of(place), hops=hops, tries=0)


def _failed(trip: QueuedRequest, reply: HttpResponse | Failed, web: WebSettings) -> Failed | QueuedRequest:
    now = time.time()
    if isinstance(reply, Failed):
        failed = reply
    elif reply.status in (204, 205):
        failed = Failed("empty", f"{trip.place.host}: an answer without a body")
    else:
        failed = Failed(f"http_{reply.status}", f"{trip.place.host} answered {reply.status}")
    if is_host_failure(failed):
        trip.host.record_failure(now)
    elif failed.failure_class != "private_address":
        trip.host.record_success()
    if isinstance(reply, HttpResponse) and reply.status in (429, 503):
        pause = retry_after(reply.headers.get("Retry-After"))
        trip.host.pause_for(now, pause)
        if pause > web.longest_wait:
            return Failed("rate_limited", f"{trip.place.host}: asked to be left alone for {pause:.0f} s")
    if trip.tries >= web.retries or not is_retriable(failed):
        return failed
    return replace(trip, tries=trip.tries + 1, spent=0.0, not_before=now + backoff(trip.tries))
