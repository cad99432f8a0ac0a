"""Requests to the Hub, tried again while that may help, and one line of ours where it does not.

`huggingface_hub` tries most single requests again by itself, five times within half a minute, but not all: not the
commit, not the making of data sets, branches and tags. Over its attempts stand these: of whole calls, with exponential
pauses and full jitter, never shorter than the server asks for.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import huggingface_hub
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from million_ird.errors import BuildError, MillionIRDError, UsageError, one_line
from million_ird.sources.web.retries import after, backoff

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TRIES = 6
PATIENCE = 300.0
"""Seconds without a byte after which a connection counts as lost; the client alone would wait for ever."""
LONGEST_PAUSE = 900.0
"""Seconds: a server that asks for a longer pause is taken at its word, and the run ends."""
HTTP_ERROR = HfHubHTTPError.__bases__[0]
"""The root of the errors of the HTTP library that the client is built on, whichever that is."""
MOVED = 412
"""The branch is no longer where it was looked at."""


def is_absent(error: HfHubHTTPError) -> bool:
    """Whether it says that there is no such data set, to a user whose token is good."""
    absent = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
    return absent and error.response.status_code == 404


class Persistence:
    """How the calls about one data set are tried again; every error that leaves it is one line without secrets."""

    def __init__(self, endpoint: str, repo_id: str) -> None:
        self.endpoint = endpoint
        self.repo_id = repo_id

    def ask(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """What the call answers; it is made up to `TRIES` times.

        Raises:
            UsageError: the Hub refuses this user, or there is no such data set.
            BuildError: anything else.
        """
        tries = 0
        while True:
            with self.attempt(tries, doing):
                return call()
            tries += 1

    @contextmanager
    def attempt(self, tries: int, doing: str) -> Iterator[None]:
        """One try after `tries` earlier ones: swallows a failure that may pass, after a pause.

        Raises:
            UsageError, BuildError: as `ask`.
        """
        try:
            with _impatient():
                yield
        except MillionIRDError:
            raise
        except Exception as error:
            cause = _cause(error)
            pause = max(_asked_pause(cause), backoff(tries))
            if tries + 1 >= TRIES or pause > LONGEST_PAUSE or not self._may_pass(cause):
                raise self._told(cause, doing) from None  # what the client says may quote the request
            log.warning("%s: %s: %s; again in %.1f s", self.repo_id, doing, self._text(cause), pause)
            time.sleep(pause)

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            # The address that a store has signed runs out; another try gets another.
            stale = status == 403 and not str(error.response.url).startswith(self.endpoint)
            return status in {408, 429, MOVED} or status >= 500 or stale
        return isinstance(error, (HTTP_ERROR, json.JSONDecodeError))

    def _told(self, error: BaseException, doing: str) -> MillionIRDError:
        repo = self.repo_id
        if isinstance(error, OfflineModeIsEnabled):
            return UsageError(f"{repo}: cannot be reached: HF_HUB_OFFLINE is set")
        if isinstance(error, GatedRepoError):
            return UsageError(f"{repo}: is gated, and this account has no access to it")
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status == 401:
            return UsageError(f"{repo}: the Hub does not take the token; renew HF_TOKEN, or run `hf auth login`")
        if status == 403:
            return UsageError(f"{repo}: this token may not write there ({self._text(error)})")
        if isinstance(error, RepositoryNotFoundError):
            return UsageError(f"{repo}: is not on the Hub, or this token may not see it")
        return BuildError(f"{repo}: {doing}: {self._text(error)}; run the same command again to go on")

    def _text(self, error: BaseException) -> str:
        """One line, without the token and without what signs an address."""
        said = getattr(error, "server_message", None) or one_line(error, 1000)
        if isinstance(error, HfHubHTTPError):
            said = f"{error.response.status_code} {said}"
        token = huggingface_hub.get_token()
        said = said.replace(token, "…") if token else said
        said = re.sub(r"\?[^\s'\"]*", "", re.sub(r"(?i)bearer \S+", "…", said))
        return one_line(ValueError(said), 300)


def _cause(error: BaseException) -> BaseException:
    """The first error of the network beneath those that the client wraps around it; else the error itself."""
    beneath: BaseException | None = error
    while beneath is not None:
        if isinstance(beneath, (HTTP_ERROR, OfflineModeIsEnabled, json.JSONDecodeError)):
            return beneath
        beneath = beneath.__cause__
    return error


def _asked_pause(error: BaseException) -> float:
    """Seconds that the server asks for, in either of its ways; 0 where it asks for nothing."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers) if error.response.status_code == 429 else None
    used_up = float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 0.0
    return max(after(headers.get("Retry-After")), used_up)


@contextmanager
def _impatient() -> Iterator[None]:
    """Lets the client give up connections that are silent for `PATIENCE`."""
    session = huggingface_hub.get_session()
    before, session.timeout = session.timeout, PATIENCE
    try:
        yield
    finally:
        session.timeout = before
