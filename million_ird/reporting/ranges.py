"""The first two rounds of a histogram: the range of a column, then the side on which its median lies."""

from collections.abc import Sequence

from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.number_range import NumberRange
from million_ird.reporting.rows import LedgerBatch


class FieldRange:
    """A fold: the range of one column."""

    def __init__(self, field: str, limits: Sequence[float]) -> None:
        """Look at a column, and at the limits that are to be shown beside it."""
        self.columns: Sequence[str] = (field,)
        self.field = field
        self.numbers = NumberRange(limits)

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self.numbers.add(batch.values(self.field))

    def axis(self) -> FigureAxis:
        """Return the axis, after both rounds."""
        return FigureAxis.of(self.numbers)


class SecondLook:
    """A fold: the second round of a `FieldRange`."""

    def __init__(self, first: FieldRange) -> None:
        """Continue after the first round."""
        self.columns: Sequence[str] = (first.field,)
        self._first = first

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self._first.numbers.add_again(batch.values(self._first.field))
