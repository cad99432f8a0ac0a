"""Which failures are worth another try, when, and which say that a whole host is down."""

import math
import random
import time
from email.utils import parsedate_to_datetime

from million_ird.candidate import Failed

FIRST_BACKOFF = 0.5
"""Seconds: the longest pause before the second try; it doubles with each."""
MAX_BACKOFF = 30.0

RETRIED = frozenset({"timeout", "reset", "truncated", "http_429", "http_500", "http_502", "http_503", "http_504"})
_NO_CONNECTION = frozenset({"dns", "refused", "timeout", "tls", "reset"})


def is_retriable(failed: Failed) -> bool:
    """Whether the same request may well succeed a little later."""
    return failed.failure_class in RETRIED


def is_host_failure(failed: Failed) -> bool:
    """Whether a row of such failures says that the host does not serve at all."""
    return failed.failure_class in _NO_CONNECTION or failed.failure_class.startswith("http_5")


def backoff(tries: int) -> float:
    """Seconds before the next try after `tries` earlier ones: exponential with full jitter, so that not all return."""
    return random.uniform(0.0, min(MAX_BACKOFF, FIRST_BACKOFF * 2.0**tries))


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 where it asks for nothing."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
