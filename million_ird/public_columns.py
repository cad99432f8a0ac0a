"""Whole columns of addresses and texts, with the results of `public_addresses`; most values need no Python code."""

from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.public_addresses import public_text, public_value

_ESCAPED = r"%(?:2[0-246-9A-Ea-e]|3[0-9C-Ec-e]|4[1-9A-Fa-f]|[015-9A-Fa-f][0-9A-Fa-f])"
"""An encoded character other than `#`, `%`, `/`, `:`, `;`, `?` and `@`."""
_PLAIN = rf"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.-]+(?::[0-9]*)?(?:/(?:[\pL\pM\pN!$()*+,./:=_~-]|{_ESCAPED})*)?"
"""An address without user info, parameter or fragment, also encoded or of an address in its path. It has a host, which
ends its slashes, and no quotation mark, behind which a text may have another address."""
_WHOLE = rf"^{_PLAIN}$"
_WITH_QUERY = rf"^({_PLAIN})[?#](?s:.*)$"
_SLASHES = r"[/\\]{2}"
"""Without two slashes there is no address."""


def public_values(column: pa.ChunkedArray, keep: Collection[str] = ()) -> pa.ChunkedArray:
    """Return what `public_value` makes of each value of a column of texts; null stays null."""
    if not keep:
        column = pc.replace_substring_regex(column, _WITH_QUERY, r"\1")
    return _changed(column, public_value, keep)


def public_texts(column: pa.ChunkedArray, keep: Collection[str] = ()) -> pa.ChunkedArray:
    """Return what `public_text` makes of each value of a column of texts; null stays null."""
    return _changed(column, public_text, keep)


def _changed(
    column: pa.ChunkedArray, publish: Callable[[str, Collection[str]], str], keep: Collection[str]
) -> pa.ChunkedArray:
    plain = pc.match_substring_regex(column, _WHOLE)
    others = pc.fill_null(pc.and_not(pc.match_substring_regex(column, _SLASHES), plain), False)
    if not pc.any(others).as_py():
        return column
    values = column.filter(others).to_pylist()
    published = {value: publish(value, keep) for value in set(values)}
    changed = pa.array([published[value] for value in values], column.type)
    return pc.replace_with_mask(column, others.combine_chunks(), changed)
