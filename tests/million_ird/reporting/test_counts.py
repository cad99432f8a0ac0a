"""What card and report count in a ledger."""

import pyarrow as pa
import pytest

from million_ird.reporting.counts import ValueCounts, licence_identifier
from million_ird.schema import DROPPED, KEPT
from tests.million_ird.reporting.synthetic_ledgers import decide_rows, make_recipe, scan_rows
from tests.million_ird.reporting.written_cards import folded


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("CC0-1.0", "cc0-1.0"),
        ("CC0 1.0", "cc0-1.0"),
        ("cc-by-4.0", "cc-by-4.0"),
        (" CC BY-SA 4.0 ", "cc-by-sa-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "cc-by-nc-nd-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/deed.de", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "other"),
        ("CC-BY-9.9", "other"),
        ("all rights reserved", "other"),
        ("https://evil.example/creativecommons.org/licenses/by/4.0/", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_licence_identifier(licence: str | None, name: str) -> None:
    assert licence_identifier(licence) == name


def test_largest_values_are_listed_and_the_others_added_up() -> None:
    kept, dropped = KEPT, DROPPED
    table = pa.table(
        {
            "licence": ["b", "a", "a", "b", None, "c", "d", "e"],
            "verdict": [kept, kept, dropped, kept, kept, kept, dropped, kept],
        }
    )
    counts = folded(table, ValueCounts("licence"), 3)
    named = [(one.name, one.candidates, one.kept, one.others) for one in counts.most_kept(2)]
    assert named == [("b", 2, 2, 0), ("a", 2, 1, 0), (None, 4, 3, 4)]
    assert [one.name for one in counts.most_kept(kept_only=True)] == ["b", "a", "c", "e", None]
    assert folded(table.slice(0, 0), ValueCounts("licence")).most_kept() == []


def test_sources_and_licences_are_counted() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(300, recipe), recipe)
    assert [group.candidates for group in folded(ledger, ValueCounts("source")).most_candidates()] == [100, 100, 100]
    assert [(group.name, group.candidates) for group in folded(ledger, ValueCounts("licence")).most_candidates()] == [
        (None, 150),
        ("CC0-1.0", 150),
    ]
    sources = folded(ledger, ValueCounts("source")).most_candidates()
    assert sum(g.kept for g in sources) == ledger["verdict"].to_pylist().count(KEPT)
