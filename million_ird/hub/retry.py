"""Calls to the Hub, repeated while that may help; where it does not, one line says why.

`huggingface_hub` repeats most requests by itself, five times within half a minute, but not the commit and not the
creation of datasets, branches and tags. The retries here are around whole calls: with exponential pauses and full
jitter, never shorter than the server asks for.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from million_ird.errors import BuildError, MillionIRDError, UsageError, one_line
from million_ird.runtime.hub_errors import describe_refusal
from million_ird.sources.web.retries import backoff, retry_after

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TRIES = 6
PATIENCE = 300.0
"""Seconds without a byte after which a connection counts as lost; the client alone would wait forever."""
LONGEST_PAUSE = 900.0
"""Seconds: where a server asks for a longer pause, the run ends."""
HTTP_ERROR = HfHubHTTPError.__bases__[0]
"""Base class of the errors of the HTTP library that the client is built on."""
BRANCH_MOVED = 412
"""Status of a commit whose parent is no longer the newest commit of the branch."""


def is_absent(error: HfHubHTTPError) -> bool:
    """Return whether the error says, to a user with a valid token, that there is no such dataset."""
    absent = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
    return absent and error.response.status_code == 404


class DatasetHubRetry:
    """Repeats calls about one dataset; the message of every error that it raises is one line without secrets."""

    def __init__(self, endpoint: str, repo_id: str) -> None:
        self.endpoint = endpoint
        self.repo_id = repo_id

    def call(self, action: str, function: Callable[[], Answer]) -> Answer:
        """Call a function up to `TRIES` times, and return its result.

        Args:
            action: What the function does, for messages: "reading the tags".
            function: Talks to the Hub.

        Raises:
            UsageError: The Hub refuses this user, or there is no such dataset.
            BuildError: Any other failure that stays.
        """
        tries = 0
        while True:
            with self.attempt(tries, action):
                return function()
            tries += 1

    @contextmanager
    def attempt(self, tries: int, action: str) -> Iterator[None]:
        """Run the block as one attempt after `tries` earlier ones.

        A failure that may be temporary is swallowed after a pause; the caller then has to try again.

        Raises:
            UsageError: As `call`.
            BuildError: As `call`.
        """
        try:
            with _read_timeout():
                yield
        except MillionIRDError:
            raise
        except Exception as error:
            cause = _cause(error)
            pause = max(_requested_pause(cause), backoff(tries))
            if tries + 1 >= TRIES or pause > LONGEST_PAUSE or not self._may_be_temporary(cause):
                raise self._translate(cause, action) from None  # the client's message may quote the request
            log.warning("%s: %s: %s; again in %.1f s", self.repo_id, action, self._message(cause), pause)
            time.sleep(pause)

    def _may_be_temporary(self, error: BaseException) -> bool:
        if isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            # A signed upload address expires; the next attempt gets a new one.
            expired = status == 403 and not str(error.response.url).startswith(self.endpoint)
            return status in {408, 429, BRANCH_MOVED} or status >= 500 or expired
        return isinstance(error, (HTTP_ERROR, json.JSONDecodeError))

    def _translate(self, error: BaseException, action: str) -> MillionIRDError:
        refusal = None if isinstance(error, RevisionNotFoundError) else describe_refusal(error)
        if refusal is not None:
            return UsageError(f"{self.repo_id}: {refusal}")
        if isinstance(error, HfHubHTTPError) and error.response.status_code in {401, 403}:
            return UsageError(f"{self.repo_id}: this token may not write there ({self._message(error)})")
        return BuildError(f"{self.repo_id}: {action}: {self._message(error)}; run the same command again to continue")

    def _message(self, error: BaseException) -> str:
        """Return one line, without the token and without the signature of an address."""
        message = getattr(error, "server_message", None) or one_line(error, 1000)
        if isinstance(error, HfHubHTTPError):
            message = f"{error.response.status_code} {message}"
        token = huggingface_hub.get_token()
        message = message.replace(token, "…") if token else message
        message = re.sub(r"\?[^\s'\"]*", "", re.sub(r"(?i)bearer \S+", "…", message))
        return one_line(ValueError(message), 300)


def _cause(error: BaseException) -> BaseException:
    """Return the network error that the client's own errors wrap, or the error itself if there is none."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, (HTTP_ERROR, OfflineModeIsEnabled, json.JSONDecodeError)):
            return inner
        inner = inner.__cause__
    return error


def _requested_pause(error: BaseException) -> float:
    """Return the seconds that the server asks for with `Retry-After` or `RateLimit`; 0 where it does not ask."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers) if error.response.status_code == 429 else None
    until_reset = float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 0.0
    return max(retry_after(headers.get("Retry-After")), until_reset)


@contextmanager
def _read_timeout() -> Iterator[None]:
    """Let the client give up connections that are silent for `PATIENCE` seconds."""
    session = huggingface_hub.get_session()
    before, session.timeout = session.timeout, PATIENCE
    try:
        yield
    finally:
        session.timeout = before
