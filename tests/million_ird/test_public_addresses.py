"""No parameter, user info or fragment of an address is published unless a recipe names it."""

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.errors import BuildError, ReadError, SourceError, one_line
from million_ird.public_addresses import public_address, public_text, public_value
from million_ird.runtime.public_logs import PublicFormatter, print_public_traceback

S = "s3cret"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"https://user:{S}@x.org/a.jpg", "https://x.org/a.jpg"),
        (f"https://{S}@x.org:8080/a.jpg#top", "https://x.org:8080/a.jpg"),
        (f"https://a@b:{S}@x.org/a.jpg", "https://x.org/a.jpg"),
        (f"https://a%40b%3A{S}%40x.org/a.jpg", "https://x.org/a.jpg"),
        (f"https://user:p?{S}@x.org/a.jpg", "https://"),
        (f"https://[::1]:80/a?x={S}", "https://[::1]:80/a"),
        (f"https://x.org/a/;jsessionid={S}/b.jpg;v=1?q={S}", "https://x.org/a//b.jpg"),
        (f"https://x.org/a%3Bjsessionid={S}/b.jpg", "https://x.org/a/b.jpg"),
        (f"https://x.org/a.jpg%253Ftoken%253D{S}", "https://x.org/a.jpg"),
        ("https://x.org/Who%3F.jpg", "https://x.org/Who%3F.jpg"),
        ("https://x.org/a@2x.jpg", "https://x.org/a@2x.jpg"),
        (f"https://proxy.org/https://user:{S}@x.org/a.jpg", "https://proxy.org/https://x.org/a.jpg"),
        (f"https://proxy.org/https:/user:{S}@x.org/a.jpg", "https://proxy.org/https:/x.org/a.jpg"),
        (f"https://proxy.org/https%3A%2F%2Fuser%3A{S}%40x.org%2Fa", "https://proxy.org/https%3A%2F%2Fx.org%2Fa"),
        (f"zip://a.jpg::https://user:{S}@x.org/a.zip?k={S}", "zip:////x.org/a.zip"),
        (f"//user:{S}@x.org/a.jpg?k={S}", "//x.org/a.jpg"),
        (f"user:{S}@x.org/a.jpg?k={S}", "x.org/a.jpg"),
        (f"https:\\\\user:{S}@x.org\\a.jpg?k={S}", "https:\\\\x.org\\a.jpg"),
        (f"a.jpg?k={S}", "a.jpg"),
        (f"s3://key:{S}@bucket/a b.jpg?versionId={S}", "s3://bucket/a b.jpg"),
        ("https://x.org:8080/ä b.jpg", "https://x.org:8080/ä b.jpg"),
    ],
)  # fmt: skip
def test_what_is_published_of_an_address(address: str, expected: str) -> None:
    assert public_address(address) == expected
    assert public_address(expected) == expected
    if "//" in address:
        assert S not in public_value(f"see {address} and {address}.")


def test_named_parameters_are_kept_and_compared_decoded() -> None:
    keep = {"id", "w", "größe"}
    assert public_address(f"https://x.org/a?id=7&token={S}&w=2", keep) == "https://x.org/a?id=7&w=2"
    assert public_address(f"https://x.org/a?%69d=7;%74oken={S}&gr%C3%B6%C3%9Fe=1#{S}", keep) == (
        "https://x.org/a?%69d=7&gr%C3%B6%C3%9Fe=1"
    )
    assert public_address(f"https://x.org/a;id=7;jsessionid={S}/b?ID={S}&id", keep) == "https://x.org/a;id=7/b"
    assert public_address(f"https://x.org/a?id=https://u:{S}@y.org/", keep) == "https://x.org/a?id=https://y.org/"
    assert public_value(f"at https://x.org/a?id=7&token={S}", keep) == "at https://x.org/a?id=7"


@given(st.text("ab:/?#;&=@%[]\\. 3bfF2540", max_size=40), st.sampled_from(["", "https://", "s3://", "//", "x "]))
def test_publishing_twice_changes_nothing(text: str, beginning: str) -> None:
    once = public_address(beginning + text)
    assert public_address(once) == once
    assert "#" not in once
    assert "?" not in once
    assert ";" not in once
    value = public_value(beginning + text)
    assert public_value(value) == value


@pytest.mark.parametrize("kind", [SourceError, BuildError])
def test_messages_of_errors_and_logs_have_no_secrets(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    address = f"https://user:{S}@x.org/my list.csv?token={S}"
    assert S not in str(kind(f"source {address}: HTTPError: 403 for url: {address}"))
    assert S not in str(ReadError("unreadable", address))
    assert S not in one_line(OSError(f"404, message='no', url='{address}'"))
    assert str(kind("what?: a#b; c=d is no file")) == "what?: a#b; c=d is no file"
    assert str(kind("s3://bucket/out: no space left; free some")) == "s3://bucket/out: no space left; free some"
    try:
        raise OSError(address)
    except OSError:
        print_public_traceback(*sys.exc_info())  # type: ignore[arg-type]
        record = logging.getLogger("any").makeRecord("any", 40, "f", 1, "at %s", (address,), sys.exc_info())
    assert S not in PublicFormatter().format(record)
    assert "x.org" in PublicFormatter().format(record)
    printed = capsys.readouterr().err
    assert "OSError: https://x.org/my list.csv" in printed
    assert S not in printed


def test_a_local_path_is_left_alone() -> None:
    for path in ("/home/me/what?x=1.jpg", "C:\\photos\\a#1.jpg", "a/b;c=1.jpg"):
        assert public_text(path) == path
