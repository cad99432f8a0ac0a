"""Which failures are retried and when, and which mean that a whole host is down."""

import math
import random
import time
from email.utils import parsedate_to_datetime

from million_ird.candidate import Failed

FIRST_BACKOFF = 0.5
"""Upper limit of the pause before the second try, in seconds; it doubles with each further try."""
MAX_BACKOFF = 30.0

RETRIED = frozenset({"timeout", "reset", "truncated", "http_429", "http_500", "http_502", "http_503", "http_504"})
_NO_CONNECTION = frozenset({"dns", "refused", "timeout", "tls", "reset"})


def is_retriable(failed: Failed) -> bool:
    """Return whether the same request may succeed a little later."""
    return failed.failure_class in RETRIED


def is_host_failure(failed: Failed) -> bool:
    """Return whether a series of such failures means that the host does not respond at all."""
    return failed.failure_class in _NO_CONNECTION or failed.failure_class.startswith("http_5")


def backoff(tries: int) -> float:
    """Return the seconds to wait after `tries` earlier tries: exponential with full jitter, to spread clients."""
    return random.uniform(0.0, min(MAX_BACKOFF, FIRST_BACKOFF * 2.0**tries))


def retry_after(header: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or a date; 0 without a valid header."""
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
