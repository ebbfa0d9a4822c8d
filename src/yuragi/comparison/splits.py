"""Which rows are trained on and which are scored: repeated random splits, folds, and a gap in the middle of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the rows to train on, and of those to score; int64, in order."""

    train: Positions
    test: Positions

    def __iter__(self) -> Iterator[Positions]:
        """The two parts, as scikit-learn's splitters give them."""
        return iter((self.train, self.test))


@dataclass(frozen=True, eq=False)
class Gap:
    """A training set without its middle, and rows that it has not: those in the gap, and others like its own; int64."""

    train: Positions
    inside: Positions
    gap: Positions


def random_split(rows: int, held_out: float, seed: int = 0, labels: Any = None) -> Split:
    """Hold a share of the rows out at random, of each class where there are labels.

    Args:
        rows: N.
        held_out: share of the rows to score, rounded down.
        seed: of the choice; the global random state is left alone.
        labels: [N], whose classes are each split alike; None: one class.

    Example:
        >>> split = random_split(10, 0.2)
        >>> len(split.train), len(split.test)
        (8, 2)
    """
    test = [group[: int(held_out * len(group))] for group in _shuffled(rows, seed, labels)]
    return _without(rows, np.concatenate(test))


def random_splits(rows: int, count: int = 5, held_out: float = 0.2, seed: int = 0, labels: Any = None) -> list[Split]:
    """So many splits of the same rows, each by itself: those of `random_split` with the seeds from `seed` on.

    Raises:
        ValueError: there is no split, or nothing to train on or to score in one.
    """
    if count < 1:
        raise ValueError(f"splits must be at least 1, got {count}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie strictly between 0 and 1, got {held_out}")
    splits = [random_split(rows, held_out, seed + number, labels) for number in range(count)]
    if not len(splits[0].test):
        raise ValueError(f"{rows} rows are too few to hold {held_out:g} of them out: give more, or a larger held_out")
    return splits


def folds(rows: int, count: int = 5, seed: int = 0, labels: Any = None) -> list[Split]:
    """Cross-validation: every row is scored once, in one of so many parts of nearly equal size, of each class alike.

    Args:
        rows: N.
        count: parts, at least 2.
        seed: of the order of the rows.
        labels: [N], as for `random_split`.

    Raises:
        ValueError: there are fewer than two parts, or more than rows.

    Example:
        >>> sorted(int(row) for fold in folds(5, 2) for row in fold.test)
        [0, 1, 2, 3, 4]
    """
    if not 2 <= count <= rows:
        raise ValueError(f"folds must be at least 2 and at most as many as the {rows} rows, got {count}")
    order = np.concatenate(_shuffled(rows, seed, labels))
    return [_without(rows, order[part::count]) for part in range(count)]


def splits_of(
    splits: int | Iterable[Any], rows: int, held_out: float = 0.2, seed: int = 0, labels: Any = None
) -> list[Split]:
    """Splits as `yuragi.compare` takes them: their number, or pairs of positions to train on and to score.

    Args:
        splits: a number, for `random_splits`, or the pairs.
        rows: N.
        held_out: as for `random_splits`.
        seed: as for `random_splits`.
        labels: as for `random_splits`.

    Raises:
        ValueError: there is none, or one is no such pair, is empty, has rows that there are not, or scores what it trains on.
    """
    if not isinstance(splits, Iterable):
        return random_splits(rows, splits, held_out, seed, labels)
    found = []
    for number, given in enumerate(splits, 1):
        parts = tuple(given)
        if len(parts) != 2:
            raise ValueError(f"split {number} has {len(parts)} parts: give pairs of rows to train on and rows to score")
        train, test = (_positions(part, rows, number) for part in parts)
        both = np.intersect1d(train, test)
        if len(both):
            raise ValueError(
                f"split {number} scores {len(both)} rows that it trains on, the first of them row {both[0]}"
            )
        found.append(Split(train, test))
    if not found:
        raise ValueError("splits is empty: give a number, or pairs of rows to train on and rows to score")
    return found


def principal_positions(x: Any) -> Tensor:
    """Where each row lies along the first principal axis of the standardised inputs: [N], float64.

    Args:
        x: inputs, one floating-point tensor [N, ...], whose axes after the first are taken as one; constant ones count for
            nothing.

    Raises:
        ValueError: x is not one tensor of floating-point numbers, or is the same in all rows.

    Example:
        >>> principal_positions(torch.tensor([[3.0], [1.0], [2.0]])).diff().sign()
        tensor([-1.,  1.], dtype=torch.float64)
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = f"of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(
            f"a gap is along an axis of inputs that are one tensor of numbers, and x is {what}: give a gap of 0"
        )
    columns = x.detach().cpu().double().reshape(len(x), -1)
    columns = columns - columns.mean(0)
    spread = columns.square().mean(0).sqrt()
    white = columns[:, spread > 0] / spread[spread > 0]
    if not white.shape[1]:
        raise ValueError("all rows have the same x: there is no gap to make; give a gap of 0")
    if white.shape[1] <= len(white):
        axis = torch.linalg.eigh(white.T @ white).eigenvectors[:, -1]
    else:
        axis = white.T @ torch.linalg.eigh(white @ white.T).eigenvectors[:, -1]
    axis = axis / axis.norm() * axis[axis.abs().argmax()].sign()  # either sign is an eigenvector
    positions: Tensor = white @ axis
    return positions


def gaps_of(splits: Sequence[Split], x: Any, share: float) -> list[Gap]:
    """The gap of each split along `principal_positions` of x, as `gap_of` has it; none where the share is 0."""
    if share == 0:
        return []
    positions = principal_positions(x)
    return [gap_of(split, positions, share) for split in splits]


def gap_of(split: Split, positions: Tensor, share: float) -> Gap:
    """Take the middle of the training rows away: those between two quantiles of their positions.

    The gap goes from the quantile (1 − share)/2 of the training rows' positions to (1 + share)/2. Rows in it, of both parts
    of the split, are those in the gap; rows beside it are trained on, or, if the split scores them, are like the data. Foong
    et al., "'In-between' uncertainty in Bayesian neural networks", 2019 (who take the middle third along each input).

    Args:
        split: of which rows.
        positions: of all rows along some axis, [N].
        share: of the training rows, between 0 and 1.

    Raises:
        ValueError: too few rows are left on a side.

    Example:
        >>> gap = gap_of(Split(np.arange(8), np.arange(8, 10)), torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 0.5, 3.2]), 0.5)
        >>> gap.train.tolist(), gap.inside.tolist(), gap.gap.tolist()
        ([0, 1, 6, 7], [8], [2, 3, 4, 5, 9])
    """
    if not 0 < share < 1:
        raise ValueError(f"gap must be a share of the rows, from 0 for none to below 1, got {share}")
    at = positions.cpu().double().numpy()
    low, high = np.quantile(at[split.train], [(1 - share) / 2, (1 + share) / 2])
    missing = (low <= at) & (at <= high)
    gap = Gap(
        split.train[~missing[split.train]],
        split.test[~missing[split.test]],
        np.flatnonzero(missing & _in(split, len(at))),
    )
    if not (len(gap.train) and len(gap.inside) and len(gap.gap)):
        raise ValueError(
            f"a gap of {share:g} leaves {len(gap.train)} rows to train on, {len(gap.inside)} like them and {len(gap.gap)} in "
            "it: give more rows, or a smaller gap, 0 for none"
        )
    return gap


def _shuffled(rows: int, seed: int, labels: Any) -> list[Positions]:
    random = np.random.default_rng(seed)
    places = np.arange(rows)
    if labels is None:
        return [random.permutation(places)]
    classes = np.asarray(labels)
    return [random.permutation(places[classes == label]) for label in np.unique(classes)]


def _without(rows: int, test: Positions) -> Split:
    return Split(np.setdiff1d(np.arange(rows), test), np.sort(test))


def _positions(part: Any, rows: int, number: int) -> Positions:
    given = np.asarray(part.cpu() if isinstance(part, Tensor) else part)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not len(given):
        raise ValueError(
            f"split {number} must be two lists of row numbers, got {given.dtype} of shape {given.shape}: a mask is "
            "one after np.flatnonzero"
        )
    if given.min() < 0 or given.max() >= rows:
        raise ValueError(f"split {number} has row {given.min() if given.min() < 0 else given.max()}, of {rows} rows")
    return np.unique(given.astype(np.int64))


def _in(split: Split, rows: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    known = np.zeros(rows, dtype=bool)
    known[split.train] = known[split.test] = True
    return known
