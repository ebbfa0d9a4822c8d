"""The levels of a category, counted as they come, and the targets of the rows that have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yuragi.tables.cells import Floats
from yuragi.tables.columns import LEVELS

FOLDS = 5
"""Parts of the training rows; a level's mean target in the rows of one is that of the others."""
_MOST = 4 * LEVELS  # levels that are counted; beyond them the rarest are forgotten
_MISSING, _FORGOTTEN = 0, 1  # places beside those of the levels


class Levels:
    """Counts of the levels of one column, and sums over the targets of their training rows, by fold.

    Args:
        outputs: numbers in a target.
    """

    def __init__(self, outputs: int) -> None:
        self.places: dict[str | None, int] = {None: _MISSING}
        self.counts = np.zeros(2)
        self.sums = np.zeros((2, FOLDS, 1 + 2 * outputs))  # of 1, y, and y²

    def see(self, texts: Sequence[str | None], learnt: np.ndarray, fold: np.ndarray, y: Floats) -> None:
        """Count the levels of some rows, None where one is missing.

        Args:
            texts: [N].
            learnt: which rows are training rows, [N].
            fold: of each training row.
            y: their targets, [training rows, outputs].
        """
        places = self.places
        codes = np.array([places.setdefault(text, len(places) + (text is not None)) for text in texts], dtype=np.int64)
        more = len(places) + 1 - len(self.counts)
        self.counts = np.pad(self.counts, (0, more)) + np.bincount(codes, minlength=len(places) + 1)
        self.sums = np.pad(self.sums, ((0, more), (0, 0), (0, 0)))
        cell = codes[learnt] * FOLDS + fold
        for place, values in enumerate([np.ones(len(y)), *y.T, *(y.T**2)]):
            found = np.bincount(cell, values, minlength=self.sums[..., place].size)
            self.sums[..., place] += found.reshape(-1, FOLDS)
        if len(places) > _MOST:
            self._forget()

    @property
    def missing(self) -> int:
        """How many rows miss the level."""
        return int(self.counts[_MISSING])

    def most_frequent(self) -> dict[str, int]:
        """The levels that are kept, with the numbers of their rows, the most frequent first."""
        found = [(text, int(self.counts[place])) for text, place in self.places.items() if text is not None]
        return dict(sorted(found, key=lambda level: (-level[1], level[0]))[:LEVELS])

    def encodings(self, levels: Sequence[str], apart: int | None = None) -> Floats:
        """Mean targets of these levels, of rows without a level and of those with another, [outputs, levels + 2].

        They are shrunk to the mean of all rows, by λ = nσ²/(nσ² + s²), where σ² is the variance of all targets, and s² that
        of the n of the level, as scikit-learn's `TargetEncoder` does. Micci-Barreca, "A preprocessing scheme for
        high-cardinality categorical attributes", 2001.

        Args:
            levels: of `most_frequent`.
            apart: the fold whose rows are left out; None for none.
        """
        folds = [fold for fold in range(FOLDS) if fold != apart]
        sums = self.sums[:, folds].sum(1)
        places = np.array([self.places[level] for level in levels], dtype=np.int64)
        other = np.ones(len(sums), dtype=bool)
        other[[_MISSING, *places]] = False
        rows = np.concatenate([sums[places], sums[[_MISSING]], sums[other].sum(0, keepdims=True)])
        count, total, squares = np.split(rows, [1, 1 + (rows.shape[1] - 1) // 2], axis=1)
        everything = rows.sum(0)
        mean, square = np.split(everything[1:] / max(everything[0], 1), 2)
        n = np.maximum(count, 1)
        own = total / n
        spread = np.maximum(squares / n - own**2, 0.0)
        weight = count * np.maximum(square - mean**2, 0.0)
        share = np.divide(weight, weight + spread, out=np.zeros_like(spread), where=weight + spread > 0)
        found: Floats = (share * own + (1 - share) * mean).T
        return found

    def _forget(self) -> None:
        kept = list(self.most_frequent())
        places = np.array([self.places[level] for level in kept], dtype=np.int64)
        gone = np.ones(len(self.counts), dtype=bool)
        gone[[_MISSING, *places]] = False
        forgotten = self.sums[gone].sum(0, keepdims=True)
        self.counts = np.concatenate([self.counts[[_MISSING]], [self.counts[gone].sum()], self.counts[places]])
        self.sums = np.concatenate([self.sums[[_MISSING]], forgotten, self.sums[places]])
        self.places = {None: _MISSING} | {level: place + 2 for place, level in enumerate(kept)}
