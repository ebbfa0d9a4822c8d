"""Splits partition the rows as they say, and the gap is the middle along the axis along which rows differ most."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from yuragi.comparison.splits import (
    Split,
    folds,
    gap_of,
    gaps_of,
    principal_positions,
    random_split,
    random_splits,
    splits_of,
)

LABELS = np.array([0] * 30 + [1] * 10)


def test_random_splits_hold_the_share_out_and_differ() -> None:
    splits = random_splits(50, 4, 0.2, seed=3)
    for split in splits:
        assert sorted([*split.train, *split.test]) == list(range(50))
        assert len(split.test) == 10
    assert len({tuple(split.test) for split in splits}) == 4
    again = random_splits(50, 4, 0.2, seed=3)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(splits, again, strict=True))
    assert np.array_equal(splits[1].test, random_split(50, 0.2, seed=4).test)


def test_every_class_has_its_share() -> None:
    split = random_split(40, 0.2, labels=LABELS)
    assert np.bincount(LABELS[split.test]).tolist() == [6, 2]
    for fold in folds(40, 5, labels=LABELS):
        assert np.bincount(LABELS[fold.test]).tolist() == [6, 2]


def test_folds_score_every_row_once() -> None:
    parts = folds(23, 4, seed=1)
    assert sorted(np.concatenate([fold.test for fold in parts])) == list(range(23))
    assert {len(fold.test) for fold in parts} == {5, 6}
    for fold in parts:
        assert sorted([*fold.train, *fold.test]) == list(range(23))


def test_splits_of_scikit_learn_and_our_own_are_taken_as_they_are() -> None:
    theirs = list(KFold(3).split(np.zeros((9, 1))))
    for found in (splits_of(theirs, 9), splits_of(folds(9, 3), 9)):
        assert len(found) == 3
    for split, (train, test) in zip(splits_of(theirs, 9), theirs, strict=True):
        assert np.array_equal(split.train, train)
        assert np.array_equal(split.test, test)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([], "splits is empty"),
        ([([0, 1], [2], [3])], "split 1 has 3 parts"),
        ([([0, 1], [2]), ([0, 1], [1])], "split 2 scores 1 rows that it trains on, the first of them row 1"),
        ([([0, 1], [9])], "split 1 has row 9, of 5 rows"),
        ([([-1, 1], [2])], "split 1 has row -1, of 5 rows"),
        ([([0, 1], [])], "two lists of row numbers"),
        ([([True, False], [2])], "np.flatnonzero"),
    ],
)
def test_splits_that_are_none_are_refused(splits: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        splits_of(splits, 5)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 rows are too few to hold 0.2 of them out"):
        random_splits(4, 2, 0.2)
    with pytest.raises(ValueError, match="splits must be at least 1, got 0"):
        random_splits(40, 0)
    with pytest.raises(ValueError, match="held_out must lie strictly between 0 and 1, got 1"):
        random_splits(40, 2, 1.0)
    with pytest.raises(ValueError, match="at most as many as the 4 rows, got 5"):
        folds(4, 5)


@pytest.mark.parametrize("rows", [40, 4])  # more rows than columns, and fewer
def test_the_axis_is_that_of_principal_components(rows: int) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 6)) @ random.normal(size=(6, 6)) * np.array([1, 10, 0.1, 1, 5, 1])
    x[:, 3] = 7  # a constant column
    columns = np.delete(x, 3, 1)
    expected = PCA(1).fit_transform((columns - columns.mean(0)) / columns.std(0))[:, 0]
    found = principal_positions(torch.from_numpy(x).reshape(rows, 2, 3)).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)
    assert abs(np.corrcoef(found, expected)[0, 1]) == pytest.approx(1)


def test_x_that_has_no_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x is of torch.int64: give a gap of 0"):
        principal_positions(torch.arange(4).reshape(4, 1))
    with pytest.raises(ValueError, match="x is a dict"):
        principal_positions({"a": torch.zeros(4, 1)})
    with pytest.raises(ValueError, match="all rows have the same x"):
        principal_positions(torch.ones(4, 2))


def test_the_gap_is_the_middle_of_the_training_rows() -> None:
    random = np.random.default_rng(1)
    at = torch.from_numpy(random.normal(size=200))
    split = random_split(200, 0.25)
    gap = gap_of(split, at, 1 / 3)
    low, high = at[gap.gap].min(), at[gap.gap].max()
    for beside in (gap.train, gap.inside):
        assert not bool(((low <= at[beside]) & (at[beside] <= high)).any())
    assert sorted([*gap.train, *gap.inside, *gap.gap]) == list(range(200))
    assert set(gap.train) <= set(split.train)
    assert set(gap.inside) <= set(split.test)
    assert len(gap.train) == pytest.approx(100, abs=2)
    # as many of them below it as above it
    assert int((at[gap.train] < low).sum()) == pytest.approx(50, abs=1)


def test_rows_that_no_part_of_a_split_has_are_not_in_its_gap() -> None:
    gap = gap_of(Split(np.arange(0, 9), np.array([9])), torch.tensor([float(i) for i in range(9)] + [8.5, 4.0]), 0.4)
    assert 10 not in gap.gap


def test_every_split_has_a_gap_of_its_own_or_none_has() -> None:
    splits, x = random_splits(60, 3), torch.linspace(0, 1, 60).reshape(-1, 1)
    gaps = gaps_of(splits, x, 0.3)
    for split, gap in zip(splits, gaps, strict=True):
        assert np.array_equal(gap.gap, gap_of(split, x[:, 0], 0.3).gap)
    assert gaps_of(splits, {"ids": torch.arange(60)}, 0) == []


def test_a_gap_that_leaves_nothing_is_refused() -> None:
    at = torch.arange(10.0)
    with pytest.raises(ValueError, match=r"a gap of 0.99 leaves 2 rows to train on, 0 like them and 6 in it"):
        gap_of(Split(np.arange(8) + 1, np.array([5, 6])), at, 0.99)
    with pytest.raises(ValueError, match="from 0 for none to below 1, got 1"):
        gap_of(Split(np.arange(8), np.array([8])), at, 1.0)
