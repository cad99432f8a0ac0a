"""A column of addresses or texts is published as its values are one by one."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from million_ird.public_addresses import public_text, public_value
from million_ird.public_columns import public_texts, public_values

_PIECES = [
    *"ab:/?#;&=@%\\ .\n\t~'(_",
    *("https://", "s3://", "//", "/\\", "host.org", ":80", ":p"),
    *("%2F", "%40", "%41", "%20", "%253F", "%3b", "é", "\u2003", "\x85"),
    *("id=7", "?id=7", "&x=", "user:s3cret@", "https:", "%C3%B6"),
]  # fmt: skip
_TEXTS = st.lists(st.sampled_from(_PIECES), max_size=10).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.none() | _TEXTS | _TEXTS.map("https://host.org/".__add__), max_size=6), st.sampled_from([(), ("id",)])
)
def test_a_column_is_published_as_its_values_are(values: list[str | None], keep: tuple[str, ...]) -> None:
    half = len(values) // 2
    column = pa.chunked_array([pa.array(values[:half], pa.string()), pa.array(values[half:], pa.string())])
    for published, one in ((public_values, public_value), (public_texts, public_text)):
        expected = [value if value is None else one(value, keep) for value in values]
        assert published(column, keep).to_pylist() == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://host.org/a/%20b.jpg", "https://host.org/a/%20b.jpg"),
        ("https://host.org/a.jpg?token=s3cret\n", "https://host.org/a.jpg"),
        ("https://host.org/größe.jpg#x\ny", "https://host.org/größe.jpg"),
        ("/\\user:s3cret@host.org/a", "/\\host.org/a"),
        ("s3:///:s3cret", "s3:///"),
        ("see 'https://host.org/a'//host.org:s3cret", "see 'https://host.org/a'//"),
        ("https://host.org/a'//host.org:s3cret", "https://host.org/a'//host.org:s3cret"),
        ("photos/a#1.jpg", "photos/a#1.jpg"),
    ],
)
def test_known_addresses(address: str, expected: str) -> None:
    assert public_values(pa.chunked_array([[address]])).to_pylist() == [expected]
    assert public_value(address) == expected
