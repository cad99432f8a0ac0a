"""The explanation of one candidate: its ledger row, its verdict and every gate, in words."""

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import open_build
from million_ird.candidate import Drop
from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.errors import UsageError
from million_ird.ledger import SIGNATURE, Row, check_version
from million_ird.ledger_stream import LedgerStream
from million_ird.printable import printable
from million_ird.reporting.formatting import plural
from million_ird.runtime.file_names import as_typed
from million_ird.schema import DROPPED, HEADER_COLUMNS, KEPT, LEAK, NEAR, SHARED_MARK, measure_fields, null_reason
from million_ird.sources.web.links import keys_of_address
from million_ird.strict_json import json_values

SUGGESTED = 3
"""Most candidates that are suggested for a name that none has."""
COMPARED = 20_000
"""Most names that are compared by their letters, which takes a second."""
_LISTED = 5
"""Candidates that an error names."""
_LEAST_SEVERITY = 0.05
"""Least severity of a harm that is named."""
_CODED_GAPS = 0.15
"""Least severity of gaps in the tones of a file whose coding makes some of its own: WebP has 220 levels of luma."""
_MIN_BEGINNING = 4
"""Fewest characters of an id or key that may be given instead of all of them."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A candidate's ledger row, and the same in words."""

    row: Row
    text: str
    """Ends with what is due, if a stage is: the verdict, or the dataset, is of an earlier state."""

    def __str__(self) -> str:
        """Return the text, which a script or notebook prints."""
        return self.text

    def as_json(self) -> Row:
        """Return the row as a JSON object, with null for a number that is infinite or NaN."""
        return dict(json_values(self.row))


def explain(out: str, name: str) -> Explanation:
    """Explain the candidate whose id, key or uri is `name`, or whose id or key begins with it.

    Args:
        out: Output folder of a build.
        name: Id, key, uri or `source/uri`, or at least 4 characters of an id or key.

    Raises:
        UsageError: No candidate, or more than one, has this name.
    """
    folder, recipe = open_build(out)
    ledger = LedgerStream.of_build(folder)
    position, row = _find(ledger, as_typed(name), out)
    from million_ird.stages import find_stages  # loads what a mistyped name need not wait for

    note = find_stages(folder, recipe).note
    return Explanation(row, "\n".join([*_describe(position, row, ledger, recipe), *([note] if note else [])]))


class _Matches:
    """The rows that match a name: how many there are, and the first ones by number."""

    def __init__(self) -> None:
        self.total = 0
        self.first: list[int] = []

    def add(self, matching: pa.ChunkedArray, start: int) -> None:
        """Take in whether rows match; the first one is row number `start` of the ledger."""
        rows = np.flatnonzero(pc.fill_null(matching, False).to_numpy(zero_copy_only=False))
        self.first += (rows[: _LISTED - len(self.first)] + start).tolist()
        self.total += len(rows)


def _find(ledger: LedgerStream, name: str, out: str) -> tuple[int, Row]:
    """Return the one candidate of a name, with its position in the ledger."""
    exact = [_Matches() for _ in range(4)]
    beginning, sources, start = _Matches(), dict[str, None](), 0
    for table in ledger.batches(["key", "source", "uri", "id"]):
        whole = pc.binary_join_element_wise(table["source"], table["uri"], "/")
        for matches, column in zip(exact, (table["key"], table["uri"], whole, table["id"]), strict=True):
            matches.add(pc.equal(column, name), start)
        if len(name) >= _MIN_BEGINNING:
            beginning.add(_begins(table, name), start)
        sources |= dict.fromkeys(table["source"].unique().to_pylist())
        start += table.num_rows
    found = next((matches for matches in exact if matches.total), None)
    found = found or _by_address(ledger, name, list(sources)) or beginning
    rows = ledger.take(found.first, [column for column in ledger.column_names if column not in SIGNATURE])
    keys = [f"{row['source']}/{row['uri']} (key {row['key']})" for row in rows.values()]
    if not keys:
        raise UsageError(f"{out}: no candidate has the id, key or uri {name!r}{_nearest(ledger, name)}")
    if found.total > 1:
        raise UsageError(f"{name!r} is {found.total} candidates: {', '.join(keys)}; give a key")
    return found.first[0], rows[found.first[0]]


def _nearest(ledger: LedgerStream, name: str) -> str:
    """Return the candidates with the most similar names, as ` (did you mean …?)`; nothing if there are none."""
    inside: list[str] = []
    by_stem: dict[str, str] = {}
    compared = 0
    for table in ledger.batches(["uri"]):
        uris = table["uri"]
        found = uris.filter(pc.match_substring(uris, name, ignore_case=True)) if name else uris.slice(0, 0)
        inside += found.slice(0, SUGGESTED - len(inside)).to_pylist()
        for uri in uris.slice(0, COMPARED - compared).to_pylist():
            by_stem.setdefault(PurePosixPath(uri).stem, uri)
        compared = min(COMPARED, compared + len(uris))
        if len(inside) == SUGGESTED:
            break
    stems = difflib.get_close_matches(PurePosixPath(name).stem, by_stem, SUGGESTED, cutoff=0.5)
    close = inside or [by_stem[stem] for stem in stems]
    return f" (did you mean {', '.join(map(repr, close))}?)" if close else ""


def _begins(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return which rows have a key or an id that begins with a name."""
    return pc.or_(*(pc.fill_null(pc.starts_with(table[column], name), False) for column in ("key", "id")))


def _by_address(ledger: LedgerStream, name: str, sources: list[str]) -> _Matches | None:
    """Return the candidate with this whole address, of which the ledger has no parameters; None if there is none."""
    matches, start = _Matches(), 0
    keys = pa.array(keys_of_address(name, sources) if "://" in name else [], pa.string())
    for table in ledger.batches(["key"]) if len(keys) else ():
        matches.add(pc.is_in(table["key"], value_set=keys), start)
        start += table.num_rows
    matches.first, matches.total = matches.first[:1], min(1, matches.total)
    return matches if matches.total else None


def _describe(position: int, row: Row, ledger: LedgerStream, recipe: Recipe) -> list[str]:
    lines = [printable(f"{row['source']}/{row['uri']}"), f"  key {row['key']}"]
    if row["id"]:
        lines.append(f"  id  {row['id']}")
    if row["format"]:
        lines.append(f"  {row['format']} {row['mode']}, {row['width']}×{row['height']}, {row['bytes']:,} bytes")
    lines.append(f"  {printable(_verdict(position, row, ledger))}")
    lines.append("  numbers")
    gates: dict[str, list[Gate]] = {}
    for gate in in_cost_order(recipe.gates, recipe.tiers):
        gates.setdefault(gate.field, []).append(gate)
    for field in (*HEADER_COLUMNS, *measure_fields(check_version(ledger.schema, "ledger"))):
        value = row[field]
        shown = _null(field, row, recipe) if value is None else f"{value:.6g}"
        rules = "; ".join(_rule(gate, row, recipe) for gate in gates.get(field, []))
        lines.append(f"    {field:<24}{shown:>14}  {rules}".rstrip())
    return lines


def _verdict(position: int, row: Row, ledger: LedgerStream) -> str:
    if row["verdict"] == KEPT:
        copies = _Matches()
        for table in ledger.batches(["duplicate_of"]):
            copies.add(pc.equal(table["duplicate_of"], row["key"]), 0)
        return f"kept; {plural(copies.total, 'copy', 'copies')} dropped" if copies.total else "kept"
    if row["verdict"] == DROPPED:
        if row["reason"] == LEAK:
            return f"dropped: {LEAK}: shows {row['leak_of']} (correlation {row['measured']:.3f})"
        if row["reason"] == SHARED_MARK:
            clearness = f"{row['measured']:.1f} standard deviations more clearly than elsewhere"
            return (
                f"dropped: {SHARED_MARK}: has a mark that many images of its source have at the same place, {clearness}"
            )
        if row["duplicate_of"] is not None:
            kept, other = _find(ledger, str(row["duplicate_of"]), "ledger")
            why = _why_worse(ledger, position, kept) if row["reason"] == NEAR else ""
            return f"dropped: {row['reason']} of {other['source']}/{other['uri']} (key {other['key']}){why}"
        if row["limit"] is None:
            return f"dropped: {row['reason']}"
        return f"dropped: {row['reason']}, measured {row['measured']:.6g}, limit {row['limit']:.6g}"
    return f"failed: {row['failure_class']}, {row['failure_detail']}"


def _why_worse(ledger: LedgerStream, position: int, kept: int) -> str:
    """Return what a copy has lost or got, as the kept one shows it: `; is cut off, is noisier`; empty if unknown."""
    # A mistyped name need not wait for the libraries that these load.
    from million_ird.dedup.harms import HARMS
    from million_ird.dedup.preference import FINE_TRACE, QUALITY_OF_JPEG, CopyRow, judge
    from million_ird.measures.view import unpack_view

    qualities = (name for name in (*QUALITY_OF_JPEG, FINE_TRACE) if name in ledger.column_names)
    columns = (*SIGNATURE, "width", "height", *qualities)
    rows = ledger.take((position, kept), columns)
    copy = CopyRow.of(rows[position])
    verdict = judge(copy, CopyRow.of(rows[kept]), turned=True)
    if verdict is None:
        return ""
    view = unpack_view(copy.view)
    least = {"posterised": _CODED_GAPS} if view is not None and view.coding < 100 else {}
    severities = verdict.first.items()
    named = [(severity, kind) for kind, severity in severities if severity >= least.get(kind, _LEAST_SEVERITY)]
    return "; " + ", ".join(HARMS[kind] for _, kind in sorted(named, reverse=True)) if named else ""


def _null(field: str, row: Row, recipe: Recipe) -> str:
    """Return why a number is null: `not measured`, or `does not apply`."""
    tier = recipe.tiers.get(field)
    # The recipe was replaced by `decide` and does not know this column.
    return "null" if tier is None else null_reason(int(str(row["tier"])), tier)


def _rule(gate: Gate, row: Row, recipe: Recipe) -> str:
    value = row[gate.field]
    number = float(value) if isinstance(value, (int, float)) else None
    if value is None:
        result = f"{_null(gate.field, row, recipe)} for"
    else:
        result = "breaks" if isinstance(gate.judge({gate.field: number}), Drop) else "passes"
    return f"{result} {gate.drop_reason}: {gate.limits()} (tier {recipe.tiers[gate.field].name.lower()})"
