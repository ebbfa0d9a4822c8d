"""Whether one method is better than another on the same splits, or only came out so."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CERTAIN = 2.0
"""Standard errors of a difference that a lead has to exceed."""
FEWEST = 3
"""Splits from which a standard error says enough for that."""


@dataclass(frozen=True)
class Standing:
    """How a method stands by one score.

    Attributes:
        mean: over splits.
        difference: of it to the best method's, mean over splits; 0 of the best itself.
        error: standard error of that difference; NaN of the best itself, and where there is one split.
        best: whether no other mean is better.
        clear: whether it leads each other one by more than `CERTAIN` standard errors, which take `FEWEST` splits.
    """

    mean: float
    difference: float
    error: float
    best: bool = False
    clear: bool = False


def standings(
    values: Mapping[str, Sequence[float]], sizes: Sequence[tuple[int, int]], better: Literal["larger", "smaller"] | None
) -> dict[str, Standing]:
    """Means over splits, and paired differences to the best of them.

    Args:
        values: by method, one a split; what is not finite is worse than any number.
        sizes: rows that each split trains on, and that it scores.
        better: which values are; None: there is no best, and no differences.

    Example:
        >>> found = standings({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 2.9]}, [(80, 20)] * 3, "larger")
        >>> found["a"].clear, round(found["b"].difference, 3), round(found["b"].error, 3)
        (True, -1.033, 0.044)
    """
    means = {method: statistics.fmean(one) for method, one in values.items()}
    if better is None:
        return {method: Standing(mean, math.nan, math.nan) for method, mean in means.items()}
    sign = 1 if better == "larger" else -1
    best = max(means, key=lambda method: sign * means[method] if math.isfinite(means[method]) else -math.inf)
    if not math.isfinite(means[best]):
        return {method: Standing(mean, math.nan, math.nan) for method, mean in means.items()}
    found, clear = {}, len(means) > 1 and len(sizes) >= FEWEST
    for method, one in values.items():
        if method == best:
            continue
        differences = [value - top for value, top in zip(one, values[best], strict=True)]
        if all(map(math.isfinite, differences)):
            found[method] = Standing(means[method], statistics.fmean(differences), paired_error(differences, sizes))
            # a comparison with NaN is False
            clear &= abs(found[method].difference) > CERTAIN * found[method].error
        else:
            found[method] = Standing(means[method], math.nan, math.nan)
    return {
        method: found[method] if method != best else Standing(means[best], 0.0, math.nan, best=True, clear=clear)
        for method in values
    }


def paired_error(differences: Sequence[float], sizes: Sequence[tuple[int, int]]) -> float:
    """Standard error of the mean difference between two methods over J splits of the same rows.

        √((1/J + n_scored/n_trained) · s²),    s² the variance of the J differences

    Splits of one data set share most of their training rows, and so their differences are not independent: the usual s²/J
    would be too small, and the more so the more splits there are. Nadeau & Bengio, "Inference for the generalization error",
    2003. NaN where there is one split.

    Args:
        differences: one a split.
        sizes: rows that each split trains on, and that it scores.

    Example:
        >>> round(paired_error([1.0, 3.0], [(80, 20), (80, 20)]), 4)  # √((1/2 + 1/4)·2)
        1.2247
    """
    if len(differences) < 2:
        return math.nan
    share = statistics.fmean(scored / trained for trained, scored in sizes)
    return math.sqrt((1 / len(differences) + share) * statistics.variance(differences))
