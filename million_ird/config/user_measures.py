"""Measures of a user's own module: named in a recipe as `package.module:Class`, imported wherever measuring happens."""

import importlib
from typing import Any, Literal

from pydantic import model_validator

from million_ird.config.rules import RecipeSection
from million_ird.errors import one_line
from million_ird.measure_types import Field, MeasureSpec, Tier

TierName = Literal["header", "thumbnail", "pixels", "quality"]


class UserMeasure(RecipeSection):
    """What a recipe knows of a user's measure. Written as `package.module:Class`, it is completed by importing that.

    A resolved recipe holds all of it, so that a ledger can be read and decided where the module is not installed.
    """

    measure: str
    """`package.module:Class`."""
    columns: tuple[str, ...]
    """The ledger columns that it fills: the class's `fields`."""
    tier: TierName
    revision: int = 1
    """Of its numbers: another one measures every image again."""
    descriptions: tuple[str, ...] = ()
    """A sentence for each column, for report and card."""

    @model_validator(mode="before")
    @classmethod
    def _from_reference(cls, value: Any) -> Any:
        return described(value) if isinstance(value, str) else value

    @property
    def entry(self) -> str:
        """Its entry in a ledger's list of measures; see `million_ird.schema.columns_of`."""
        return f"{self.measure}@{self.revision}[{'|'.join(self.columns)}]"

    @property
    def spec(self) -> MeasureSpec:
        """Its tier and columns."""
        texts = self.descriptions or ("",) * len(self.columns)
        fields = (Field(name, text=text.rstrip(".")) for name, text in zip(self.columns, texts, strict=True))
        return MeasureSpec(Tier[self.tier.upper()], tuple(fields))


def import_measure(reference: str) -> Any:
    """Import a user's measure and make one.

    Args:
        reference: `package.module:Class`; the class takes no arguments.

    Raises:
        ValueError: not such a reference, not importable here, or not a measure; the text says which.
    """
    module, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(f"{reference!r} is not of the form package.module:Class")
    try:
        measure = getattr(importlib.import_module(module), name)()
    except Exception as error:  # an import runs a user's code, which may raise anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{reference}: cannot be imported; is it installed or on PYTHONPATH? ({reason})") from error
    _check(reference, measure)
    return measure


def described(reference: str) -> dict[str, object]:
    """Import a user's measure and return the content of a `UserMeasure`.

    Raises:
        ValueError: as `import_measure`.
    """
    measure = import_measure(reference)
    texts = getattr(measure, "descriptions", {})
    return {
        "measure": reference,
        "columns": tuple(measure.fields),
        "tier": Tier(measure.tier).name.lower(),
        "revision": getattr(measure, "revision", 1),
        "descriptions": tuple(texts.get(name, "") for name in measure.fields) if texts else (),
    }


def _check(reference: str, measure: Any) -> None:
    fields = getattr(measure, "fields", None)
    if not isinstance(fields, tuple) or not fields or not all(isinstance(name, str) for name in fields):
        raise ValueError(f"{reference}: `fields` must be a tuple of column names")
    for name in fields:
        if not name.isidentifier() or fields.count(name) > 1:
            raise ValueError(f"{reference}: {name!r} cannot be a column; use each name once, letters and digits and _")
    if getattr(measure, "tier", None) not in (Tier.HEADER, Tier.THUMBNAIL, Tier.PIXELS, Tier.QUALITY):
        raise ValueError(f"{reference}: `tier` must be Tier.HEADER, THUMBNAIL, PIXELS or QUALITY")
    if not callable(getattr(measure, "measure", None)):
        raise ValueError(f"{reference}: has no method `measure(image)`")
