"""Which columns measuring fills here: compared between the program, its workers and their measuring processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from million_ird.config.user_measures import UserMeasure, import_measure
from million_ird.errors import VersionMismatch
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import MeasureSpec
from million_ird.measures.registry import MEASURES, Measure
from million_ird.schema import MEASURES_REVISION, SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringIdentity:
    """The program's version, and every measure with its tier and columns.

    Made from the specifications (`expected`), it says which columns the ledger will have; made from the code that
    measures (`here`), which columns this process would fill. A column that is in the ledger but filled by nobody would
    be null in every row, and a null passes every gate: so the two must be equal before the first image is measured.
    """

    version: str
    revision: int
    schema: int
    measures: Mapping[str, tuple[int, tuple[str, ...]]]
    """Tier and columns by name."""
    user: tuple[UserMeasure, ...] = ()

    @classmethod
    def expected(cls, user: Sequence[UserMeasure]) -> Self:
        """Return the identity that the specifications of built-in and user measures ask for."""
        specs = {**MEASURE_SPECS, **{measure.measure: measure.spec for measure in user}}
        return cls._of({name: _of_spec(spec) for name, spec in specs.items()}, user)

    @classmethod
    def here(cls, user: Sequence[UserMeasure]) -> Self:
        """Return the identity of the code that this process has.

        Raises:
            VersionMismatch: a user's measure cannot be imported here.
        """
        measures: dict[str, Measure] = {**MEASURES, **user_measures(user)}
        return cls._of({name: (int(measure.tier), measure.fields) for name, measure in measures.items()}, user)

    @classmethod
    def _of(cls, measures: Mapping[str, tuple[int, tuple[str, ...]]], user: Sequence[UserMeasure]) -> Self:
        return cls(
            version=version("million-ird"),
            revision=MEASURES_REVISION,
            schema=SCHEMA_VERSION,
            measures=dict(measures),
            user=tuple(user),
        )

    def require_here(self, where: str) -> None:
        """Make sure that this process measures what is expected.

        Args:
            where: names the process in the error: `the measuring process`.

        Raises:
            VersionMismatch: it would fill other columns, or has another version of the program.
        """
        difference = self._difference(type(self).here(self.user))
        if difference:
            raise VersionMismatch(f"{where} has other code than this program: {difference}")

    def _difference(self, other: Self) -> str:
        """Return the first difference in words; empty where there is none."""
        for name in ("version", "revision", "schema"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"million-ird {name} {theirs} instead of {mine}"
        for name in (*self.measures, *other.measures):
            mine, theirs = self.measures.get(name), other.measures.get(name)
            if mine != theirs:
                return f"measure {name} is {_described(theirs)} there and {_described(mine)} here"
        return ""


def user_measures(user: Sequence[UserMeasure]) -> dict[str, Measure]:
    """Import the measures of users' modules, by name.

    Raises:
        VersionMismatch: one cannot be imported here, or is another revision.
    """
    measures: dict[str, Measure] = {}
    for spec in user:
        try:
            measure = import_measure(spec.measure)
        except ValueError as error:
            raise VersionMismatch(str(error)) from error
        revision = getattr(measure, "revision", 1)
        if revision != spec.revision:
            raise VersionMismatch(f"{spec.measure} is of revision {revision}, the recipe was read with {spec.revision}")
        measures[spec.measure] = measure
    return measures


def _of_spec(spec: MeasureSpec) -> tuple[int, tuple[str, ...]]:
    return int(spec.tier), spec.fields


def _described(measure: tuple[int, tuple[str, ...]] | None) -> str:
    if measure is None:
        return "unknown"
    tier, fields = measure
    return f"of tier {tier} with the columns {', '.join(fields)}"
