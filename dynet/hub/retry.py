"""Calls to the Hub, tried again while that may help, and one line of ours, without secrets, where it does not.

`huggingface_hub` tries most requests again by itself, but not the commit and not the making of models and branches.
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
from dynet.runtime.hub_errors import http_error

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

TRIES = 5
FIRST_PAUSE = 1.0
"""Seconds at most; each that follows is at most twice as long as the one before."""
LONGEST_PAUSE = 120.0
"""Seconds: a server that asks for a longer one is taken at its word, and the run ends."""
HTTP_ERROR = http_error()
"""The root of the errors of the HTTP library that the client is built on, whichever that is."""


def is_absent(error: HfHubHTTPError) -> bool:
    """Whether it says that there is no such model, to a user whose token is good."""
    absent = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
    return absent and error.response.status_code == 404


class HubRetry:
    """How the calls about one model are tried again."""

    def __init__(self, repo_id: str) -> None:
        self._repo_id = repo_id

    def ask(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """What the call answers, up to `TRIES` times tried.

        Raises:
            UsageError: the Hub refuses this user. WriteError: anything else of the Hub or the network.
        """
        for tries in range(1, TRIES + 1):
            try:
                return call()
            except DyNetError:
                raise
            except (HTTP_ERROR, OSError, RuntimeError, ValueError) as error:
                cause = _cause(error)
                pause = max(_asked_pause(cause), random.uniform(0.5, 1.0) * FIRST_PAUSE * 2.0 ** (tries - 1))
                if tries == TRIES or pause > LONGEST_PAUSE or not _may_pass(cause):
                    raise self._told(cause, doing) from None  # what the client says may quote the request
                log.warning("%s: %s: %s; again in %.1f s", self._repo_id, doing, _text(cause), pause)
                time.sleep(pause)
        raise AssertionError

    def _told(self, error: BaseException, doing: str) -> DyNetError:
        repo = self._repo_id
        if isinstance(error, OfflineModeIsEnabled):
            return UsageError(f"{repo}: cannot be reached: HF_HUB_OFFLINE is set")
        if isinstance(error, GatedRepoError):
            return UsageError(f"{repo}: is gated, and this account has no access to it")
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status == 401:
            return UsageError(f"{repo}: the Hub does not take the token: renew HF_TOKEN, or run `hf auth login`")
        if status == 403:
            return UsageError(f"{repo}: this token may not write there ({_text(error)})")
        return WriteError(f"{repo}: {doing}: {_text(error)}; run the same command again to go on")


def _cause(error: BaseException) -> BaseException:
    """The error of the network beneath those that the client wraps around it; else the error itself."""
    beneath: BaseException | None = error
    while beneath is not None:
        if isinstance(beneath, (HTTP_ERROR, OfflineModeIsEnabled)):
            return beneath
        beneath = beneath.__cause__
    return error


def _may_pass(error: BaseException) -> bool:
    """What another try may change; 412 says that somebody else made a commit meanwhile."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status in {408, 412, 429} or status >= 500
    return isinstance(error, HTTP_ERROR)


def _asked_pause(error: BaseException) -> float:
    """Seconds that the server asks for; 0 where it asks for none."""
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return float(asked) if asked.isdecimal() else 0.0


def _text(error: BaseException) -> str:
    """One line, without the token and without what signs an address."""
    said = getattr(error, "server_message", None) or reason_of(error)
    if isinstance(error, HfHubHTTPError):
        said = f"{error.response.status_code} {said}"
    token = huggingface_hub.get_token()
    said = said.replace(token, "…") if token else said
    return reason_of(ValueError(re.sub(r"\?[^\s'\"]*", "", re.sub(r"(?i)bearer \S+", "…", said))))
