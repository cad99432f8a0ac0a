"""How reports and cards write numbers."""

import math

DIGITS = 4


def number(value: float, digits: int = DIGITS) -> str:
    """Return a number with at least `digits` significant digits where it has so many: 0.35, 12.5, 1,024, 2,081,790."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -6 or magnitude > 14:
        return f"{value:.{digits - 1}g}"
    text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def apart(value: float, limit: float) -> str:
    """Return `value` with as many digits as it takes to see that it differs from `limit`."""
    for digits in range(DIGITS, 16):
        if number(value, digits) != number(limit, digits):
            return number(value, digits)
    return number(value)


def share(part: int, whole: int) -> str:
    """Return a percentage that is 0 or 100 only where the share is exactly that."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Return seconds, minutes or hours: `0.50 s`, `1 min 30 s`, `2 h 01 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, singular: str, many: str = "") -> str:
    """Return a count with its noun: `1 image`, `2 images`, `1,024 copies`; without `many` the plural takes an `s`."""
    return f"{count:,} {singular if count == 1 else many or f'{singular}s'}"
