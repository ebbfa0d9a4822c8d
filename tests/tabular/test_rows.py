"""Rows and their units: order, weights, standardisation, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from yuragi.tabular.rows import Rows, standardised

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2))
WEIGHT = RNG.integers(0, 4, size=30)


def same(one: Rows, other: Rows) -> bool:
    weights = (one.weight is None and other.weight is None) or np.array_equal(one.weight, other.weight)  # type: ignore[arg-type]
    return np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y) and weights


@pytest.mark.parametrize("weight", [None, RNG.random(30)])
def test_the_order_in_which_rows_come_does_not_matter(weight: Any) -> None:
    order = RNG.permutation(30)
    shuffled = Rows.of(X[order], Y[order], "regression", None if weight is None else weight[order])
    assert same(Rows.of(X, Y, "regression", weight), shuffled)
    assert sorted(map(tuple, shuffled.x)) == sorted(map(tuple, X))


def test_a_row_of_weight_two_is_the_row_twice_and_one_of_weight_zero_is_none() -> None:
    repeated = Rows.of(X.repeat(WEIGHT, 0), Y.repeat(WEIGHT, 0), "regression")
    assert same(Rows.of(X, Y, "regression", WEIGHT), repeated)
    assert same(Rows.of(np.asfortranarray(X), Y, "regression", WEIGHT.astype(float)), repeated)
    many = Rows.of(X, Y, "regression", 1000 * WEIGHT)  # not 40,000 rows
    assert len(many) == (WEIGHT > 0).sum()
    assert many.weight is not None
    assert many.weight.sum() == 1000 * WEIGHT.sum()


@pytest.mark.parametrize(
    "weight", [np.ones(30), WEIGHT, RNG.random(30), 1000 * WEIGHT], ids=["1", "0-3", "real", "large"]
)
def test_units_standardise_by_weight(weight: Any) -> None:
    rows = Rows.of(1e6 + 1e-3 * X, 5 * Y - 3, "regression", weight)
    units = rows.units()
    share = np.full(len(rows), 1 / len(rows)) if rows.weight is None else rows.weight / rows.weight.sum()
    for part in (standardised(rows.x, units.x_loc, units.x_scale), rows.targets(units)):
        assert part.dtype == torch.float64
        np.testing.assert_allclose(share @ part.numpy(), 0, atol=1e-6)
        np.testing.assert_allclose(share @ part.numpy() ** 2, 1, rtol=1e-6)


def test_a_common_scale_is_the_root_mean_square() -> None:
    y = Y - Y.mean(0)
    units = Rows.of(X, y * [3, 4], "regression").units(common=True)
    np.testing.assert_allclose(units.scale, np.full(2, np.sqrt(((y * [3, 4]) ** 2).mean())))


def test_what_is_constant_has_a_scale_still() -> None:
    x = np.column_stack([X, np.full(30, 0.1)])
    y = np.column_stack([Y[:, 0], np.full(30, -0.3), np.zeros(30)])
    rows = Rows.of(x, y, "regression")
    units = rows.units()
    assert units.x_scale[3] == 1
    assert units.scale[1:].tolist() == pytest.approx([0.003, 0.01])
    np.testing.assert_allclose(rows.targets(units)[:, 1:], np.zeros((30, 2)), atol=1e-12)
    assert rows.varied == 29
    assert Rows.of(X, np.full(30, 3.0), "regression").varied == 0
    assert Rows.of(X, np.arange(30) // 25, "regression").varied == 5


def test_labels_stay_as_they_are_and_are_counted() -> None:
    labels = np.arange(30) % 3
    rows = Rows.of(X, labels, "classification")
    assert rows.targets(rows.units()).dtype == torch.int64
    assert rows.classes(None) == 3
    assert rows.classes(5) == 5
    with pytest.raises(ValueError, match="labels go up to 2, but there are 2 classes"):
        rows.classes(2)
    with pytest.raises(ValueError, match="of one class"):
        Rows.of(X, 0 * labels, "classification").classes(None)


@pytest.mark.parametrize(
    ("x", "y", "task", "weight", "message"),
    [
        (X[:5], Y, "regression", None, "x has 5 rows, but y has 30"),
        (X[0], Y, "regression", None, r"x must be \[N, D\] .* got shape \(3,\)"),
        (X[:, :0], Y, "regression", None, "at least one row and one column"),
        (np.where(X > 2, np.nan, X), Y, "regression", None, "x holds .* NaN or infinite"),
        (X, np.where(Y > 1, np.inf, Y), "regression", None, "y holds .* NaN or infinite"),
        (X, Y[:, :, None], "regression", None, r"y must be \[N\] or \[N, outputs\]"),
        (X, Y[:, 0], "classification", None, "labels must be integers"),
        (X, np.arange(30) - 1, "classification", None, "labels must be 0, 1, …, got -1"),
        (X, Y, "regression", [1.0], r"sample_weight has shape \(1,\), but there are 30 rows"),
        (X, Y, "regression", np.zeros(30), "not zero for all rows"),
        (X, Y, "regression", -np.ones(30), "finite and not negative"),
    ],
)
def test_bad_rows_are_refused(x: Any, y: Any, task: str, weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rows.of(x, y, task, weight)


def test_values_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match="column 1 of x has values too large"):
        Rows.of(X * [1, 1e200, 1], Y, "regression").units()
