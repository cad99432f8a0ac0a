"""A recipe: everything that a build depends on beside its sources, as a frozen model."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from million_ird.config.gates import Gate
from million_ird.config.rules import (
    BuildLimits,
    DuplicateRules,
    LicenceRules,
    PatchRules,
    PrivacyRules,
    RecipeSection,
    ShardRules,
    WebSettings,
)
from million_ird.config.source_spec import SourceSpec
from million_ird.config.user_measures import UserMeasure
from million_ird.measure_specs import MEASURE_SPECS, OFFICIAL_SCORES
from million_ird.measure_types import MeasureSpec, Tier
from million_ird.schema import HEADER_COLUMNS, RESERVED, RULES, TEXT, numeric_fields

HEADER_LINE = "# million-ird recipe, as resolved"


class Recipe(RecipeSection):
    """Everything that a build depends on beside its sources."""

    name: str = "million_ird"
    sources: tuple[SourceSpec, ...] = Field(default=(), exclude=True)
    """Sources with their options; those of `--sources` come after. Never written to `recipe.yaml`, which is published,
    and not part of the recipe's digest."""
    benchmarks: tuple[str, ...] = Field(default=(), exclude=True)
    """Evaluation sets, each `NAME=PATH`, whose images are dropped, as with `--exclude-benchmark`. Their fingerprints
    are published with the dataset, the paths are not."""
    measures: tuple[UserMeasure, ...] = ()
    """Measures of your own modules, each `package.module:Class` (docs/extending.md), beside the built-in ones."""
    scores: tuple[str, ...] = ()
    """Quality scores that need parameters from elsewhere: `niqe`, `brisque`, or the name of a pyiqa metric without
    reference. The built-in measures are always taken."""
    columns: tuple[str, ...] = ()
    """Numeric columns of source tables that are passed through to the ledger, where gates may name them."""
    texts: tuple[str, ...] = ()
    """Columns of source tables that are passed through as text: captions, titles, …"""
    uri_parameters: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Parameters of web addresses that are published, by name: `[id, w]`. Others may be secrets and are left out."""
    licences: LicenceRules = LicenceRules()
    measure_all: bool = False
    """Measure every image completely, also those that an early gate drops: to calibrate."""
    gates: tuple[Gate, ...] = ()
    shared_marks: Literal["keep", "drop"] = "keep"
    """Images with a mark, such as the logo of a stock site, that many images of their source have at the same place."""
    duplicates: DuplicateRules = DuplicateRules()
    patches: PatchRules = PatchRules()
    privacy: PrivacyRules = PrivacyRules()
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the kept images that is held out as the split `validation`; groups of near-duplicates stay together."""
    shards: ShardRules = ShardRules()
    limits: BuildLimits = BuildLimits()
    web: WebSettings = WebSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> "Recipe":
        known = numeric_fields(MEASURE_SPECS)
        added = (*(name for measure in self.measures for name in measure.columns), *self.scores, *self.passed)
        for name in added:
            if name in known or name in RESERVED or added.count(name) > 1:
                raise ValueError(f"{name!r} is already the name of a ledger column")
        for name in (*self.scores, *self.passed):
            taken = name not in self.texts and (name in MEASURE_SPECS or name.endswith((TEXT, "]")))
            if taken or not name or "," in name:  # the ledger's list of measures would say something else
                raise ValueError(f"{name!r} cannot be the name of a ledger column")
        known = numeric_fields(self.ledger_entries)
        for number, gate in enumerate(self.gates):
            if gate.field not in known:
                hint = nearest(gate.field, known) or "; scores and columns of tables must be listed as such"
                raise ValueError(f"gates.{number}.field: unknown field {gate.field!r}{hint}")
            if gate.drop_reason in RULES:
                raise ValueError(f"gates.{number}.reason: {gate.drop_reason!r} is the name of another rule")
        return self

    @model_validator(mode="after")
    def _groups_are_known(self) -> "Recipe":
        if self.validation and self.duplicates.radius is None:
            raise ValueError("validation: needs duplicates.radius, or near-duplicates would be in both splits")
        return self

    @model_serializer(mode="wrap")
    def _without_unused_sections(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out newer keys where they are empty: digests and files of recipes that never had them stay the same."""
        content: dict[str, Any] = serialize(self)
        for name in ("measures", "uri_parameters"):
            if not getattr(self, name):
                content.pop(name, None)
        if self.shared_marks == "keep":
            content.pop("shared_marks", None)
        return content

    @property
    def ledger_entries(self) -> tuple[str, ...]:
        """What the ledger has columns for, in order: measures, scores, and columns of tables (see `columns_of`)."""
        own = (measure.entry for measure in self.measures)
        return (*MEASURE_SPECS, *own, *self.scores, *self.columns, *(name + TEXT for name in self.texts))

    @property
    def passed(self) -> tuple[str, ...]:
        """All columns of source tables that are passed through, numbers and texts."""
        return (*self.columns, *self.texts)

    @cached_property
    def specs(self) -> Mapping[str, MeasureSpec]:
        """The specifications of all measures that are always taken, built-in and the user's, by name."""
        return {**MEASURE_SPECS, **{measure.measure: measure.spec for measure in self.measures}}

    @cached_property
    def tiers(self) -> Mapping[str, Tier]:
        """The tier in which each numeric column is measured."""
        tiers = dict.fromkeys(HEADER_COLUMNS, Tier.HEADER)
        tiers |= {field: spec.tier for spec in self.specs.values() for field in spec.fields}
        tiers |= {name: Tier.QUALITY if name in OFFICIAL_SCORES else Tier.NEURAL for name in self.scores}
        return tiers | dict.fromkeys(self.columns, Tier.DECLARED)

    def description(self, column: str) -> str:
        """Return the sentence that reports and cards show of a column; empty where there is none."""
        fields = (field for spec in self.specs.values() for field in spec.columns)
        return next((field.description for field in fields if field.name == column), "")

    def dump(self) -> str:
        """Return the recipe as YAML with every default written out; it reads back as the same recipe."""
        body = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
        return f"{HEADER_LINE}\n{body}"

    @property
    def digest(self) -> str:
        """16 hex digits; equal recipes have equal digests."""
        return digest(self.model_dump(mode="json"))


def digest(value: object) -> str:
    """Return 16 hex digits: BLAKE2b of the value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` for the most similar known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
