"""How the report writes numbers, and what it says of a measure."""

import math
import re
import sys

from million_ird.measures.registry import MEASURES

DIGITS = 4


def number(value: float, digits: int = DIGITS) -> str:
    """At least `digits` significant digits where there are so many, thousands grouped: 0.35, 12.5, 1,024, 2,081,790."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -6 or magnitude > 14:
        return f"{value:.{digits - 1}g}"
    text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def apart(value: float, limit: float) -> str:
    """`value` with as many digits as it takes to see that it is not `limit`."""
    for digits in range(DIGITS, 16):
        if number(value, digits) != number(limit, digits):
            return number(value, digits)
    return number(value)


def share(part: int, whole: int) -> str:
    """A percentage that says neither 0 nor 100 where it is not so."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, one: str, many: str) -> str:
    """`1 picture`, `2 pictures`, `1,024 pictures`."""
    return f"{count:,} {one if count == 1 else many}"


def meaning(field: str) -> str:
    """The first sentence that the measure's own module says of `field`; empty where it says nothing.

    The modules in `measure/` describe each field in a list item of their docstring, ``- `field` (range): text``.
    """
    for measure in MEASURES.values():
        if field in measure.fields:
            text = sys.modules[type(measure).__module__].__doc__ or ""
            return _from_docstring(text, field)
    return ""


def _from_docstring(text: str, field: str) -> str:
    for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        words = " ".join(item.split("\n\n")[0].split())
        head = re.match(r"(?:[^:(]|\([^)]*\))*", words)
        if head and f"`{field}`" in head[0]:
            about = re.search(rf"`{field}`[^(]*\(([^)]*)\)", head[0])
            sentence = re.split(r"(?<=[.;])\s+(?=[A-ZÄÖÜ])", words[head.end() :].lstrip(": "))[0]
            sentence = sentence.strip().rstrip(".;").replace("`", "")
            return f"{sentence[:1].upper()}{sentence[1:]}{f' ({about[1]})' if about else ''}."
    return ""
