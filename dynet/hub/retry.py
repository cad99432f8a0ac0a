"""Calls to the Hub with retries, and errors of one line without secrets.

`huggingface_hub` retries most requests itself, but not the commit and not the creation of models and branches.
"""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

import huggingface_hub
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from dynet.errors import DyNetError, UsageError, WriteError, reason_of
from dynet.runtime.hub_errors import access_problem, http_error, is_temporary, status_of

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 5
FIRST_PAUSE = 1.0
"""The longest first pause in seconds; each further one is at most twice as long as the one before."""
LONGEST_PAUSE = 120.0
"""In seconds. If the server requests a longer one, the run ends."""
_COMMIT_CONFLICT = 412
HTTP_ERROR = http_error()


def is_absent(error: HfHubHTTPError) -> bool:
    """Return whether the error means that the model does not exist, for a user whose token is valid."""
    absent = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
    return absent and status_of(error) == 404


class HubRetry:
    """Retries for the calls that concern one model."""

    def __init__(self, repo_id: str) -> None:
        self._repo_id = repo_id

    def call(self, action: str, function: Callable[[], T]) -> T:
        """Return the result of a function that calls the Hub, tried up to `TRIES` times.

        Args:
            action: What the function does, for messages.
            function: The calls; all of them are repeated.

        Raises:
            UsageError: The Hub refuses this user.
            WriteError: Any other error of the Hub or the network.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return function()
            except DyNetError:
                raise
            except (HTTP_ERROR, OSError, RuntimeError, ValueError) as error:
                cause = _cause(error)
                pause = max(_requested_pause(cause), random.uniform(0.5, 1.0) * FIRST_PAUSE * 2.0 ** (attempt - 1))
                if attempt == TRIES or pause > LONGEST_PAUSE or not _may_succeed_later(cause):
                    raise self._as_own_error(cause, action) from None  # the client's text may contain the request
                log.warning("%s: %s: %s; next attempt in %.1f s", self._repo_id, action, _redacted(cause), pause)
                time.sleep(pause)
        raise AssertionError

    def _as_own_error(self, error: BaseException, action: str) -> DyNetError:
        if isinstance(error, OfflineModeIsEnabled):
            return UsageError(f"{self._repo_id}: the Hub cannot be reached: HF_HUB_OFFLINE is set")
        if (problem := access_problem(error, self._repo_id)) is not None:
            return UsageError(problem)
        if status_of(error) == 403:
            return UsageError(f"{self._repo_id}: this token has no permission to write there ({_redacted(error)})")
        return WriteError(f"{self._repo_id}: {action}: {_redacted(error)}; run the same command again to continue")


def _cause(error: BaseException) -> BaseException:
    """Return the network error that the client wrapped in others, or the error itself."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, (HTTP_ERROR, OfflineModeIsEnabled)):
            return inner
        inner = inner.__cause__
    return error


def _may_succeed_later(error: BaseException) -> bool:
    status = status_of(error)
    if status is None:
        return isinstance(error, HTTP_ERROR)
    return is_temporary(status) or status == _COMMIT_CONFLICT  # the next attempt uses the new parent commit


def _requested_pause(error: BaseException) -> float:
    """Return the seconds that the server asks to wait; 0 if it does not ask."""
    header = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return float(header) if header.isdecimal() else 0.0


def _redacted(error: BaseException) -> str:
    """Return the error as one line, without the token and without the signatures of URLs."""
    text = getattr(error, "server_message", None) or reason_of(error)
    if (status := status_of(error)) is not None:
        text = f"{status} {text}"
    token = huggingface_hub.get_token()
    text = text.replace(token, "…") if token else text
    return reason_of(ValueError(re.sub(r"\?[^\s'\"]*", "", re.sub(r"(?i)bearer \S+", "…", text))))
