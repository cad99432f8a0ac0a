"""One candidate's whole story, from the ledger."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import open_build
from million_ird.candidate import Drop
from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import gate_tier, in_cost_order
from million_ird.errors import UsageError
from million_ird.ledger import DROPPED, HEADER_COLUMNS, KEPT, LEAK, Row, check_version, load, measure_fields


@dataclass(frozen=True, slots=True)
class Story:
    """A candidate's ledger row and the same in words."""

    row: Row
    text: str

    def as_json(self) -> Row:
        """For a script."""
        return self.row


def explain(out: str, name: str) -> Story:
    """Finds the candidate whose id, key or uri is `name`, or whose id or key begins with it.

    Raises:
        UsageError: none, or more than one, goes by that name.
    """
    folder, recipe = open_build(out)
    ledger = load(folder)
    row = _find(ledger, name, out)
    return Story(row, "\n".join(_tell(row, ledger, recipe)))


def _find(ledger: pa.Table, name: str, out: str) -> Row:
    named = {
        "key": ledger["key"],
        "uri": ledger["uri"],
        "source/uri": pc.binary_join_element_wise(ledger["source"], ledger["uri"], "/"),
        "id": ledger["id"],
    }
    for column in named.values():
        found = ledger.filter(pc.equal(column, name))
        if found.num_rows:
            break
    else:
        begins = [pc.fill_null(pc.starts_with(ledger[c], name), False) for c in ("key", "id")]
        found = ledger.filter(pc.or_(*begins)) if len(name) >= 4 else ledger.slice(0, 0)
    keys = [f"{row['source']}/{row['uri']} (key {row['key']})" for row in found.slice(0, 5).to_pylist()]
    if not keys:
        raise UsageError(f"{out}: no candidate has the id, key or uri {name!r}")
    if found.num_rows > 1:
        raise UsageError(f"{name!r} is {found.num_rows} candidates: {', '.join(keys)}; give a key")
    row: Row = found.to_pylist()[0]
    return row


def _tell(row: Row, ledger: pa.Table, recipe: Recipe) -> list[str]:
    lines = [f"{row['source']}/{row['uri']}", f"  key {row['key']}"]
    if row["id"]:
        lines.append(f"  id  {row['id']}")
    if row["format"]:
        lines.append(f"  {row['format']} {row['mode']}, {row['width']}×{row['height']}, {row['bytes']:,} bytes")
    lines.append(f"  {_verdict(row, ledger)}")
    lines.append("  numbers (null: not measured or does not apply)")
    gates: dict[str, list[Gate]] = {}
    for gate in in_cost_order(recipe.gates, recipe.columns):
        gates.setdefault(gate.field, []).append(gate)
    for field in (*HEADER_COLUMNS, *measure_fields(check_version(ledger.schema, "ledger"))):
        value = row[field]
        shown = "null" if value is None else f"{value:.6g}"
        rules = "; ".join(_rule(gate, row, recipe) for gate in gates.get(field, []))
        lines.append(f"    {field:<24}{shown:>12}  {rules}".rstrip())
    return lines


def _verdict(row: Row, ledger: pa.Table) -> str:
    if row["verdict"] == KEPT:
        others = pc.sum(pc.fill_null(pc.equal(ledger["duplicate_of"], row["key"]), False)).as_py() or 0
        return f"kept; {others} copies of it were dropped" if others else "kept"
    if row["verdict"] == DROPPED:
        if row["reason"] == LEAK:
            return f"dropped: {LEAK}: shows {row['leak_of']} (likeness {row['measured']:.3f})"
        if row["duplicate_of"] is not None:
            other = ledger.filter(pc.equal(ledger["key"], row["duplicate_of"])).to_pylist()[0]
            return f"dropped: {row['reason']} of {other['source']}/{other['uri']} (key {other['key']})"
        if row["limit"] is None:
            return f"dropped: {row['reason']}"
        return f"dropped: {row['reason']}, measured {row['measured']:.6g}, limit {row['limit']:.6g}"
    return f"failed: {row['failure_class']}, {row['failure_detail']}"


def _rule(gate: Gate, row: Row, recipe: Recipe) -> str:
    value = row[gate.field]
    number = float(value) if isinstance(value, (int, float)) else None
    if value is None:
        says = "was not measured for"
    else:
        says = "breaks" if isinstance(gate.judge({gate.field: number}), Drop) else "passes"
    return f"{says} {gate.called}: {gate.limits()} (tier {gate_tier(gate, recipe.columns).name.lower()})"
