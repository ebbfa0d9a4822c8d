"""Mean and standard deviation of columns whose rows come a part at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from yuragi.tables.cells import Floats


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of some values, column by column; those of two sets of values add up.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: deviations
    from the mean itself are added, so that nothing cancels where the mean is large.

    Args:
        count: how many values, [D].
        mean: of each column, [D]; 0 where there are none.
        squares: Σ(value − mean)², [D].

    Example:
        >>> first, rest = Moments.of(np.array([[1e9], [1e9 + 1]])), Moments.of(np.array([[1e9 + 2]]))
        >>> first.plus(rest).mean - 1e9, first.plus(rest).std
        (array([1.]), array([0.81649658]))
    """

    count: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Of all values that are not NaN, [N, D]."""
        known = ~np.isnan(values)
        count = known.sum(0).astype(np.float64)
        mean = np.where(known, values, 0.0).sum(0) / np.maximum(count, 1)
        return cls(count, mean, np.where(known, (values - mean) ** 2, 0.0).sum(0))

    @classmethod
    def repeated(cls, value: Floats, count: Floats) -> Self:
        """Of one value of each column, [D], so many times."""
        return cls(count, np.where(count > 0, value, 0.0), np.zeros_like(value))

    def plus(self, other: Moments) -> Moments:
        """Of the values of both."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        apart = other.mean - self.mean
        return Moments(count, self.mean + share * apart, self.squares + other.squares + self.count * share * apart**2)

    @property
    def std(self) -> Floats:
        """Standard deviation, divided by the count, [D]; 0 where there are no values."""
        found: Floats = np.sqrt(self.squares / np.maximum(self.count, 1))
        return found
