"""What robots.txt and X-Robots-Tag mean for this program."""

import time

import pytest

from million_ird.sources.web import robots


def test_the_group_for_this_program_wins_over_the_general_one() -> None:
    rules = robots.parse(
        "User-agent: *\nDisallow: /\n\nUser-agent: million-ird\nDisallow: /private/\nAllow: /private/open*.jpg$\n"
        "Crawl-delay: 3\nSitemap: https://x.org/s.xml\n"
    )
    assert rules.allow("https://x.org/a.jpg")
    assert not rules.allow("https://x.org/private/a.jpg")
    assert rules.allow("https://x.org/private/open1.jpg")
    assert rules.delay == 3
    assert rules.sitemaps == ("https://x.org/s.xml",)


@pytest.mark.parametrize("agent", ["*", "Million-IRD", "million-ird/1.0"])
def test_groups_that_apply_to_this_program(agent: str) -> None:
    expected = agent != "million-ird/1.0"  # a product token has no version: RFC 9309, 2.2.1
    assert robots.parse(f"User-agent: {agent}\nDisallow: /\n").allow("http://x.org/a") is not expected


@pytest.mark.parametrize("text", ["", "   \n", "<html>not found</html>", "User-agent: otherbot\nDisallow: /\n"])
def test_a_robots_txt_without_a_matching_group_allows_everything(text: str) -> None:
    assert robots.parse(text).allow("http://x.org/a.jpg")
    assert robots.parse(text).delay == 0


def test_a_request_rate_is_a_delay() -> None:
    assert robots.parse("User-agent: *\nRequest-rate: 1/10\nCrawl-delay: 2\n").delay == 10


def test_a_hostile_robots_txt_does_not_hang() -> None:
    started = time.monotonic()
    rules = robots.parse("User-agent: *\n" + "Disallow: /" + "*a" * 5000 + "b$\n" + "Disallow: /*x\n" * 20_000)
    rules.allow("http://x.org/" + "a" * 5000)
    assert time.monotonic() - started < 10


def test_a_pattern_with_many_wildcards_is_matched_in_linear_time() -> None:
    """protego before 0.7 compiled patterns to regular expressions, and this one took seconds, then minutes."""
    rules = robots.parse("User-agent: *\nDisallow: /" + "*a" * 20 + "*b\n")
    started = time.process_time()
    assert rules.allow("http://x.org/" + "a" * 200)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["noai, NoImageAI"], {"noai", "noimageai"}),
        (["noindex", "noai"], {"noindex", "noai"}),
        (["none"], {"noindex", "nofollow"}),
        (["all"], set()),
        (["otherbot: noai, noindex"], set()),
        (["million-ird: noai"], {"noai"}),
        (["Million-IRD : noai , nofollow"], {"noai", "nofollow"}),
        (["otherbot: noindex, million-ird: noai"], {"noai"}),
        (["otherbot: noindex", "noai"], {"noai"}),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], set()),
        (["unavailable_after: Tuesday, 25 Jun 2030 15:00:00 PST, noai"], {"noai"}),
        (["max-snippet: 5, noai"], {"noai"}),
        ([""], set()),
    ],
)
def test_directives(headers: list[str], expected: set[str]) -> None:
    known = {"noai", "noimageai", "noindex", "noml", "nofollow"}
    assert robots.directives(headers) & known == expected  # a date's comma leaves words that mean nothing


def test_only_directives_of_the_recipe_refuse_an_image() -> None:
    names = robots.directives(["noindex, noai"])
    assert robots.refusal(names, ("noai", "noimageai", "noindex")) == "noai, noindex"
    assert robots.refusal(names, ("noml",)) is None
