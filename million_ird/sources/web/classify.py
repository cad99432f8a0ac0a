"""Decides what a response means for a request: a result, a failure, another try or a redirect."""

import time
from collections.abc import Callable
from dataclasses import replace

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import robots
from million_ird.sources.web.addresses import FetchUrl, redirect_target
from million_ird.sources.web.cookies import cookies_after
from million_ird.sources.web.hosts import HostState
from million_ird.sources.web.request_queue import QueuedRequest
from million_ird.sources.web.response import FetchResult, HttpResponse
from million_ird.sources.web.retries import backoff, is_host_failure, is_retriable, retry_after

REDIRECTS = frozenset({301, 302, 303, 307, 308})


def classify_response(
    request: QueuedRequest, response: HttpResponse | Failed, web: WebSettings, host_of: Callable[[FetchUrl], HostState]
) -> FetchResult | Failed | QueuedRequest:
    """Return the result of a request, or the request to make next; record in its host whether it answered."""
    if isinstance(response, HttpResponse) and response.status in (200, 203):
        request.host.record_success()
        if not response.body:
            return Failed("empty", f"{request.target.host}: an answer of 0 bytes")
        values = response.headers.getall("X-Robots-Tag", ())
        return FetchResult(str(request.target.url), response.body, robots.directives(values) if values else frozenset())
    if isinstance(response, HttpResponse) and response.status in REDIRECTS:
        request.host.record_success()
        return _follow_redirect(request, response, web, host_of)
    return _fail_or_retry(request, response, web)


def _follow_redirect(
    request: QueuedRequest, response: HttpResponse, web: WebSettings, host_of: Callable[[FetchUrl], HostState]
) -> Failed | QueuedRequest:
    host, location = request.target.host, response.headers.get("Location", "")
    if len(request.hops) >= web.redirects:
        return Failed("redirects", f"{host}: more than {web.redirects} redirects")
    target = redirect_target(request.target.url, location)
    if not location or isinstance(target, Failed):
        return Failed("redirects", f"{host}: to nowhere{f' ({target.detail})' if isinstance(target, Failed) else ''}")
    hops = (*request.hops, request.target)
    cookies = cookies_after(request.cookies, response.headers.getall("Set-Cookie", ()), request.target)
    # With a new cookie, the same address may answer otherwise.
    if any(target.url == hop.url for hop in hops) and cookies == request.cookies:
        return Failed("redirects", f"{host}: in a circle")
    return replace(request, target=target, host=host_of(target), hops=hops, cookies=cookies, tries=0)


def _fail_or_retry(request: QueuedRequest, response: HttpResponse | Failed, web: WebSettings) -> Failed | QueuedRequest:
    now = time.time()
    if isinstance(response, Failed):
        failed = response
    elif response.status in (204, 205):
        failed = Failed("empty", f"{request.target.host}: an answer without a body")
    else:
        failed = Failed(f"http_{response.status}", f"{request.target.host} answered {response.status}")
    if is_host_failure(failed):
        request.host.record_failure(now)
    elif failed.failure_class != "private_address":
        request.host.record_success()
    if isinstance(response, HttpResponse) and response.status in (429, 503):
        pause = retry_after(response.headers.get("Retry-After"))
        request.host.pause_for(now, pause)
        if pause > web.longest_wait:
            return Failed("rate_limited", f"{request.target.host}: asked to be left alone for {pause:.0f} s")
    if request.tries >= web.retries or not is_retriable(failed):
        return failed
    return replace(request, tries=request.tries + 1, seconds_spent=0.0, not_before=now + backoff(request.tries))
