"""The explanation of one candidate: its ledger row, its verdict and every gate, in words."""

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import open_build
from million_ird.candidate import Drop
from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.errors import UsageError
from million_ird.ledger import Row, check_version, load
from million_ird.printable import printable
from million_ird.reporting.formatting import plural
from million_ird.schema import DROPPED, HEADER_COLUMNS, KEPT, LEAK, measure_fields, null_reason
from million_ird.sources.web.links import keys_of_address

SUGGESTED = 3
"""At most so many candidates are suggested for a name that none has."""
COMPARED = 20_000
"""At most so many names are compared by their letters: a second for these."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A candidate's ledger row, and the same in words."""

    row: Row
    text: str
    """Ends with what is due, if a stage is: the verdict, or the dataset, is of an earlier state."""

    def as_json(self) -> Row:
        """Return the row as a JSON object."""
        return self.row


def explain(out: str, name: str) -> Explanation:
    """Explain the candidate whose id, key or uri is `name`, or whose id or key begins with it.

    Args:
        out: Output folder of a build.
        name: Id, key, uri or `source/uri`, or at least 4 characters of an id or key.

    Raises:
        UsageError: No candidate, or more than one, has this name.
    """
    folder, recipe = open_build(out)
    ledger = load(folder)
    row = _find(ledger, name, out)
    from million_ird.stages import find_stages  # loads what a mistyped name need not wait for

    note = find_stages(folder, recipe).note
    return Explanation(row, "\n".join([*_describe(row, ledger, recipe), *([note] if note else [])]))


def _find(ledger: pa.Table, name: str, out: str) -> Row:
    columns = {
        "key": ledger["key"],
        "uri": ledger["uri"],
        "source/uri": pc.binary_join_element_wise(ledger["source"], ledger["uri"], "/"),
        "id": ledger["id"],
    }
    for column in columns.values():
        matches = ledger.filter(pc.equal(column, name))
        if matches.num_rows:
            break
    else:
        name = _key_of_address(ledger, name) or name
        prefixed = [pc.fill_null(pc.starts_with(ledger[c], name), False) for c in ("key", "id")]
        matches = ledger.filter(pc.or_(*prefixed)) if len(name) >= 4 else ledger.slice(0, 0)
    keys = [f"{row['source']}/{row['uri']} (key {row['key']})" for row in matches.slice(0, 5).to_pylist()]
    if not keys:
        raise UsageError(f"{out}: no candidate has the id, key or uri {name!r}{_nearest(ledger, name)}")
    if matches.num_rows > 1:
        raise UsageError(f"{name!r} is {matches.num_rows} candidates: {', '.join(keys)}; give a key")
    row: Row = matches.to_pylist()[0]
    return row


def _nearest(ledger: pa.Table, name: str) -> str:
    """Return the candidates with the most similar names, as ` (did you mean …?)`; nothing if there are none."""
    uris = ledger["uri"]
    found = uris.filter(pc.match_substring(uris, name, ignore_case=True)) if name else uris.slice(0, 0)
    inside = found.slice(0, SUGGESTED).to_pylist()
    by_stem = {PurePosixPath(uri).stem: uri for uri in reversed(uris.slice(0, COMPARED).to_pylist())}
    stems = difflib.get_close_matches(PurePosixPath(name).stem, by_stem, SUGGESTED, cutoff=0.5)
    close = inside or [by_stem[stem] for stem in stems]
    return f" (did you mean {', '.join(map(repr, close))}?)" if close else ""


def _key_of_address(ledger: pa.Table, name: str) -> str | None:
    """Return the key of the candidate with this whole address, of which the ledger has no parameters."""
    keys = keys_of_address(name, ledger["source"].unique().to_pylist()) if "://" in name else []
    found = ledger["key"].filter(pc.is_in(ledger["key"], value_set=pa.array(keys, pa.string())))
    return str(found[0].as_py()) if len(found) else None


def _describe(row: Row, ledger: pa.Table, recipe: Recipe) -> list[str]:
    lines = [printable(f"{row['source']}/{row['uri']}"), f"  key {row['key']}"]
    if row["id"]:
        lines.append(f"  id  {row['id']}")
    if row["format"]:
        lines.append(f"  {row['format']} {row['mode']}, {row['width']}×{row['height']}, {row['bytes']:,} bytes")
    lines.append(f"  {printable(_verdict(row, ledger))}")
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


def _verdict(row: Row, ledger: pa.Table) -> str:
    if row["verdict"] == KEPT:
        copies = pc.sum(pc.fill_null(pc.equal(ledger["duplicate_of"], row["key"]), False)).as_py() or 0
        return f"kept; {plural(copies, 'copy', 'copies')} dropped" if copies else "kept"
    if row["verdict"] == DROPPED:
        if row["reason"] == LEAK:
            return f"dropped: {LEAK}: shows {row['leak_of']} (correlation {row['measured']:.3f})"
        if row["duplicate_of"] is not None:
            other = ledger.filter(pc.equal(ledger["key"], row["duplicate_of"])).to_pylist()[0]
            return f"dropped: {row['reason']} of {other['source']}/{other['uri']} (key {other['key']})"
        if row["limit"] is None:
            return f"dropped: {row['reason']}"
        return f"dropped: {row['reason']}, measured {row['measured']:.6g}, limit {row['limit']:.6g}"
    return f"failed: {row['failure_class']}, {row['failure_detail']}"


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
