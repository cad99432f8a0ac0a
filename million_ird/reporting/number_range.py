"""What an axis has to know of the numbers of one measure, worked out batch by batch."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SKEWED = 50
"""An axis is logarithmic where the largest number is more than this many times the median of those above zero."""


class NumberRange:
    """The range of some numbers, and whether most of them are small.

    Numbers are added twice: where the median lies is counted in the second round, when the largest number is known.
    NaN and infinite numbers are left out.
    """

    def __init__(self, limits: Sequence[float] = ()) -> None:
        """Expect numbers; these limits of a recipe are to be shown beside them."""
        self.limits = tuple(limits)
        self.count = 0
        self.whole = True
        """Whether all numbers are whole numbers."""
        self.least_positive = math.inf
        self._least, self._most = math.inf, -math.inf
        self._positive = 0
        self._small, self._largest_small, self._least_other = 0, 0.0, math.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in some numbers, (n,), for the first time."""
        finite = values[np.isfinite(values)]
        if not finite.size:
            return
        self.count += finite.size
        self._least, self._most = min(self._least, float(finite.min())), max(self._most, float(finite.max()))
        self.whole = self.whole and bool(np.all(finite == np.rint(finite)))
        positive = finite[finite > 0]
        if positive.size:
            self._positive += positive.size
            self.least_positive = min(self.least_positive, float(positive.min()))

    def add_again(self, values: NDArray[np.float64]) -> None:
        """Take in some numbers, (n,), for the second time, after all numbers were added once."""
        if not self.may_be_skewed:
            return
        positive = values[np.isfinite(values) & (values > 0)]
        small = self.shown[1] > SKEWED * positive
        self._small += int(small.sum())
        self._largest_small = max(self._largest_small, float(positive[small].max(initial=0.0)))
        self._least_other = min(self._least_other, float(positive[~small].min(initial=math.inf)))

    @property
    def shown(self) -> tuple[float, float]:
        """The smallest and the largest of the numbers and the limits."""
        return min([self._least, *self.limits]), max([self._most, *self.limits])

    @property
    def constant(self) -> float | None:
        """The number that all of them are; None if they differ, or if there are none."""
        return self._least if self.count and self._least == self._most else None

    @property
    def may_be_skewed(self) -> bool:
        """Whether the second round matters."""
        least, most = self.shown
        return least >= 0 and self._positive > 0 and most > SKEWED * self.least_positive

    @property
    def is_skewed(self) -> bool:
        """Whether the largest number is more than `SKEWED` times the median of those above zero."""
        if not self.may_be_skewed or 2 * self._small < self._positive:
            return False
        if 2 * self._small > self._positive:
            return True
        # The median is between the largest of the small numbers and the least of the others.
        return self.shown[1] > SKEWED * float(np.mean([self._largest_small, self._least_other]))
