"""Datasets with synthetic ledgers, their cards, and a Markdown reader for them."""

import io
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markdown_it import MarkdownIt

from million_ird import ledger as ledgers
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import images_schema, patches_schema
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger import ledger_schema
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.card import write_card
from million_ird.reporting.rows import Fold, fold
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT
from tests.million_ird import scenes
from tests.million_ird.reporting import synthetic_ledgers

CONFIGS = ("images", "patches", "ledger")


HOSTILE_TEXTS = (
    "a | b || c",
    "`rm -rf` ``x``",
    "two\nlines\r\n| and | a row |\n\n# and a heading\n---\n",
    "<script>alert(1)</script> <img src=x onerror=y> &lt; &copy;",
    "[click](https://evil.example) ![pixel](https://evil.example/p.png) <https://evil.example>",
    "https://evil.example www.evil.example",
    "\u202egnp.exe\u2066 hidden\u200b\u200d\ufeff\u00ad marks \U000e0041",
    "**bold** _it_ ~~no~~ \\| \\( x \\) $$\\frac{1}{2}$$ # * - +",
    "{{ name }} {% raw %} {# x #}",
    "key: [1, 2]\n- other: 'quoted\" # comment",
    "\x00\x07\x1b[31mred\x7f",
    " \t\u2028",
    "x" * 5000,
)


AnyFold = TypeVar("AnyFold", bound=Fold)


def folded(ledger: pa.Table, one: AnyFold, batch_rows: int = 50) -> AnyFold:
    """Lead a ledger through a fold."""
    fold(LedgerStream.of_table(ledger, batch_rows), [one])
    return one


def write_dataset(folder: Path, ledger: pa.Table, recipe: Recipe, held_out: int = 0) -> WriteSummary:
    """Ledger and shards of these rows, each kept picture being the same small PNG, with one patch."""
    out = Folder(str(folder))
    ledgers.save(out, [ledger], ledger.num_rows, ledger_schema(recipe.ledger_entries))
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT))
    for kind, schema in (("data", images_schema(recipe.ledger_entries)), ("patches", patches_schema())):
        columns = {name: kept[name] for name in schema.names if name in kept.column_names}
        columns["parent"] = columns["sha256"] = kept["id"]
        image = {"bytes": small_png(), "path": "picture.png"}
        columns["image"] = pa.array([image] * kept.num_rows, schema.field("image").type)
        arrays = [columns.get(one.name, pa.nulls(kept.num_rows, one.type)) for one in schema]
        table = pa.table([_cast(a, f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)
        splits = {"train": table.slice(held_out), "validation": table.slice(0, held_out)}
        for split, rows in splits.items():
            if split == "train" or held_out:
                with (
                    out.writing(f"{kind}/{split}-00000-of-00001.parquet") as file,
                    pq.ParquetWriter(file, schema) as writer,
                ):
                    if rows.num_rows:  # no group of rows where there are none, as shards are written
                        writer.write_table(rows)
    return WriteSummary(kept.num_rows, kept.num_rows, 0)


def _cast(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind)


def small_png() -> bytes:
    sink = io.BytesIO()
    scenes.photograph(0, 16, 12).save(sink, "PNG")
    return sink.getvalue()


def write_and_read_card(folder: Path, ledger: pa.Table, recipe: Recipe, **how: object) -> str:
    written = write_dataset(folder, ledger, recipe, int(str(how.pop("held_out", 0))))
    write_card(Folder(str(folder)), LedgerStream.of_table(ledger, 50), recipe, written, **how)  # type: ignore[arg-type]
    return (folder / "README.md").read_text(encoding="utf-8")


def make_ledger(recipe: Recipe, rows: int = 60) -> pa.Table:
    return synthetic_ledgers.decide_rows(synthetic_ledgers.scan_rows(rows, recipe), recipe)


def with_column(table: pa.Table, name: str, values: list[object] | pa.Array) -> pa.Table:
    field = ledger_schema(()).field(name)
    column = pa.array(values, field.type) if isinstance(values, list) else values
    place = table.column_names.index(name)
    return table.set_column(place, field, column)


class CardReader:
    """A card as a Markdown reader understands it."""

    def __init__(self, card: str) -> None:
        body = card.split("\n---\n", 1)[1]
        self.tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
        self.inline = [token for token in self.tokens if token.type == "inline"]
        children = [child for token in self.inline for child in token.children or ()]
        self.links = [str(child.attrs.get("href", child.attrs.get("src"))) for child in children
                      if child.type in {"link_open", "image"}]  # fmt: skip
        self.html = [t.content for t in [*self.tokens, *children] if t.type in {"html_inline", "html_block"}]

    def headings(self) -> list[str]:
        return [self.text(self.tokens[i + 1]) for i, t in enumerate(self.tokens) if t.type == "heading_open"]

    def rows(self) -> list[list[str]]:
        found: list[list[str]] = []
        for place, token in enumerate(self.tokens):
            if token.type == "tr_open":
                found.append([])
            elif token.type in {"td_open", "th_open"}:
                found[-1].append(self.text(self.tokens[place + 1]))
        return found

    @staticmethod
    def text(token: object) -> str:
        return "".join(child.content for child in getattr(token, "children", None) or ())
