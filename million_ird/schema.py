"""The columns of a ledger, the values of some of them, and what a null means."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier

SCHEMA_VERSION = 4
MEASURES_REVISION = 13
"""Goes up when the numbers of a built-in measure change: rows of an earlier revision are measured again."""
MAX_PIXELS = 250_000_000
"""Images with more pixels are refused by default, before anything is allocated."""

DataType: TypeAlias = Literal["string", "binary", "bool", "int8", "int32", "int64", "float64"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the ledger."""

    name: str
    type: DataType
    required: bool = False
    """Whether every row has a value."""


IDENTITY_COLUMNS = (
    Column("key", "string", required=True),
    Column("source", "string", required=True),
    Column("uri", "string", required=True),
    Column("licence", "string"),
    Column("attribution", "string"),
    Column("id", "string"),
    Column("bytes", "int64"),
    Column("format", "string"),
    Column("mode", "string"),
    Column("bits", "int8"),
    Column("orientation", "int8"),
    Column("icc", "string"),
    Column("width", "int32"),
    Column("height", "int32"),
    Column("phash", "string"),
    Column("pixels_id", "string"),
    Column("frame", "binary"),
    Column("points", "binary"),
    Column("view", "binary"),
)
VERSION_COLUMNS = (Column("version", "string", required=True),)
"""Of scanned rows alone."""
OUTCOME_COLUMNS = (
    Column("tier", "int8", required=True),
    Column("failure_class", "string"),
    Column("failure_detail", "string"),
)
VERDICT_COLUMNS = (
    Column("verdict", "string", required=True),
    Column("reason", "string"),
    Column("measured", "float64"),
    Column("limit", "float64"),
    Column("cluster", "string"),
    Column("duplicate_of", "string"),
    Column("leak_of", "string"),
    Column("split", "string"),
    Column("vanished", "bool", required=True),
)
HEADER_COLUMNS = ("bytes", "width", "height")
"""Numbers that every readable candidate has, whatever is measured."""
RESERVED = frozenset(
    column.name for column in (*IDENTITY_COLUMNS, *VERSION_COLUMNS, *OUTCOME_COLUMNS, *VERDICT_COLUMNS)
) | {"image"}
"""Column names that no score and no column of a table may take."""

KEPT, DROPPED, FAILED = "kept", "dropped", "failed"
TRAIN, VALIDATION = "train", "validation"
"""Splits of the kept images."""
VANISHED, NOT_MEASURED, LICENCE = "vanished", "not_measured", "licence"
REMOVED, LEAK, SHARED_MARK = "removed", "benchmark_leak", "shared_mark"
EXACT, PIXELS, NEAR = "duplicate_exact", "duplicate_pixels", "duplicate_near"
SCENE = "near_scene"
REPLACED = (EXACT, PIXELS, NEAR, SCENE)
"""Reasons of images instead of which another one is kept, which `duplicate_of` names; in the order of the rules."""
RULES = frozenset({VANISHED, NOT_MEASURED, LICENCE, REMOVED, LEAK, SHARED_MARK, *REPLACED})
"""Drop reasons that no gate may use."""
PATCH_FIELDS = ("laplacian_variance", "sobel_variance")
"""What is measured of every patch, for its gates and its columns."""

TEXT = ":text"
"""Suffix of a passed-through text column in a list of measures."""


def columns_of(entry: str) -> tuple[str, ...]:
    """Return the columns that one entry of a ledger's list of measures fills.

    An entry is the name of a built-in measure, a score or a numeric column of a table (one column of that name), a
    text column (`caption:text`), or a measure of a user's module with its revision and columns
    (`package.module:Class@1[column|column]`), so that a ledger can be read where the module is not installed.
    """
    if entry.endswith("]"):
        return tuple(entry[entry.index("[") + 1 : -1].split("|"))
    if entry in MEASURE_SPECS:
        return MEASURE_SPECS[entry].fields
    return (entry.removesuffix(TEXT),)


def measure_fields(entries: Iterable[str]) -> list[str]:
    """Return the numeric columns that the listed measures fill, in order."""
    return [column for entry in entries if not entry.endswith(TEXT) for column in columns_of(entry)]


def numeric_fields(entries: Iterable[str]) -> set[str]:
    """Return the columns that a gate can name."""
    return {*measure_fields(entries), *HEADER_COLUMNS}


def null_reason(reached: int, tier: Tier) -> Literal["not measured", "does not apply"]:
    """Tell the two meanings of a null in the ledger apart.

    Args:
        reached: the row's `tier` column: the last tier that the candidate was measured in.
        tier: the tier of the measure whose column is null.

    Returns:
        `not measured`: the candidate failed or was dropped before this tier. `does not apply`: the measure has looked
        at the image and has no number for it, such as `jpeg_quality` of a PNG. Measuring fills every column of every
        measure of a tier that it reaches, or raises (`million_ird.scan.cascade`), so there is no third case.
    """
    return "does not apply" if reached >= tier else "not measured"
