"""The results of protocol `harm` on a model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dynet.evaluation.evaluate import INPUT
from dynet.evaluation.harm import SHIFTS


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHarmRow:
    """The figures of one variant, or of the input, on one task."""

    label: str
    variant: str
    images: int
    psnr: float
    """In dB, capped as the protocol does."""
    gain: float | None
    """In dB against the input, mean over images; None for the input itself."""
    worst_gain: float | None
    shifts: tuple[float, ...]
    """The mean shifts in levels of 255, in the order of SHIFTS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHarm:
    """The table and the verdicts of one evaluation by protocol `harm`."""

    rows: tuple[CardHarmRow, ...]
    verdicts: Mapping[str, tuple[str, ...]]
    """By variant: the limits that it exceeds, in words; none if it passes."""
    limits: Mapping[str, float]

    @classmethod
    def from_results(cls, results: Mapping[str, Any]) -> Self | None:
        """Return the content of results.json for a card; None of another protocol.

        Raises:
            KeyError, TypeError, ValueError: The protocol writes no such file.
        """
        if "harm" not in results:
            return None
        return cls(
            rows=tuple(_row(row) for row in results["results"]),
            verdicts={
                str(variant): tuple(map(str, verdict["reasons"]))
                for variant, verdict in dict(results["harm"]["variants"]).items()
            },
            limits={str(name): float(limit) for name, limit in dict(results["harm"]["limits"]).items()},
        )


def _row(row: Mapping[str, Any]) -> CardHarmRow:
    is_input = row["variant"] == INPUT
    return CardHarmRow(
        label=f"{row['benchmark']} {row['degradation']}",
        variant=str(row["variant"]),
        images=int(row["images"]),
        psnr=float(row["psnr"]["mean"]),
        gain=None if is_input else float(row["gain"]["mean"]),
        worst_gain=None if is_input else float(row["gain"]["worst"]),
        shifts=tuple(float(row[name]["mean"]) for name in SHIFTS),
    )
