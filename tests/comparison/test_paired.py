"""A lead is told from chance as the differences over splits allow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from yuragi.comparison.paired import paired_error, standings

SIZES = [(80, 20)] * 5
WORSE = [0.1, 0.2, 0.15, 0.1, 0.2]
VALUES = {"a": [1.0, 2.0, 3.0, 4.0, 5.0]}
VALUES["b"] = [value - lead for value, lead in zip(VALUES["a"], WORSE, strict=True)]


def test_the_error_is_that_of_a_paired_test_where_no_training_rows_are_shared() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    # 20 rows scored and very many trained on: n_scored/n_trained is 0, and what is left is the usual paired error
    error = paired_error((a - b).tolist(), [(10**12, 20)] * 7)
    assert float(np.mean(a - b)) / error == pytest.approx(stats.ttest_rel(a, b).statistic)


def test_shared_training_rows_make_it_larger() -> None:
    differences = [0.3, -0.1, 0.5, 0.2]
    naive = paired_error(differences, [(10**12, 20)] * 4)
    assert paired_error(differences, [(80, 20)] * 4) == pytest.approx(naive * math.sqrt((1 / 4 + 1 / 4) / (1 / 4)))


def test_it_is_the_spread_of_the_mean_difference_over_data_sets() -> None:
    """Squared errors of the training rows' mean and of 0 as predictions; what a split's error cannot see is in between."""
    random = np.random.default_rng(0)
    rows, held, splits, repeats = 50, 10, 10, 400
    means, corrected, naive = [], [], []
    for _ in range(repeats):
        y = random.normal(0.5, 1, rows)
        differences = []
        for _ in range(splits):
            order = random.permutation(rows)
            test, train = y[order[:held]], y[order[held:]]
            differences.append(float(np.mean((test - train.mean()) ** 2 - test**2)))
        means.append(np.mean(differences))
        corrected.append(paired_error(differences, [(rows - held, held)] * splits))
        naive.append(paired_error(differences, [(10**12, held)] * splits))
    spread = np.std(means)
    assert math.sqrt(np.mean(np.square(corrected))) == pytest.approx(spread, rel=0.2)
    assert math.sqrt(np.mean(np.square(naive))) < 0.7 * spread


def test_standings() -> None:
    found = standings(VALUES, SIZES, "larger")
    assert found["a"].best
    assert found["a"].mean == 3.0
    assert found["a"].clear
    assert found["b"].difference == pytest.approx(-np.mean(WORSE))
    assert found["b"].error == pytest.approx(paired_error(WORSE, SIZES))
    # although the two differ by less than either does over splits
    assert np.std(VALUES["a"]) > 5 * np.mean(WORSE)


def test_smaller_is_better_of_an_error() -> None:
    found = standings(VALUES, SIZES, "smaller")
    assert found["b"].best
    assert found["b"].clear
    assert found["a"].difference == pytest.approx(np.mean(WORSE))


def test_a_lead_within_its_error_is_not_clear() -> None:
    noisy = [value + off for value, off in zip(VALUES["a"], [-1, 1, -1, 1, -0.1], strict=True)]
    found = standings({**VALUES, "c": noisy}, SIZES, "larger")
    assert found["a"].best
    assert not found["a"].clear
    assert abs(found["c"].difference) < 2 * found["c"].error


def test_a_lead_over_the_next_is_not_enough_where_another_may_be_better() -> None:
    """`c` is third on average, and so uncertain that it may be the best."""
    uncertain = [-2.0, 6.0, -2.0, 7.0, 2.0]
    found = standings({**VALUES, "c": uncertain}, SIZES, "larger")
    means = sorted(found, key=lambda method: -found[method].mean)
    assert means == ["a", "b", "c"]
    assert abs(found["b"].difference) > 2 * found["b"].error
    assert not found["a"].clear


def test_what_is_not_finite_is_worse_than_any_number() -> None:
    found = standings({**VALUES, "c": [9.0, 9.0, -math.inf, 9.0, 9.0], "d": [math.nan] * 5}, SIZES, "larger")
    assert found["a"].best
    assert found["a"].clear
    assert math.isnan(found["c"].difference)
    lost = standings({"c": [-math.inf] * 5, "d": [math.nan] * 5}, SIZES, "larger")
    assert not any(standing.best for standing in lost.values())


def test_few_splits_and_one_method_have_no_clear_best() -> None:
    assert not standings({"a": [1.0, 1.1], "b": [0.0, 0.1]}, SIZES[:2], "larger")["a"].clear
    assert not standings({"a": [1.0, 1.1, 1.2]}, SIZES[:3], "larger")["a"].clear
    one = standings({"a": [1.0], "b": [0.0]}, SIZES[:1], "larger")
    assert one["b"].difference == -1.0
    assert math.isnan(one["b"].error)


def test_a_score_without_a_best_value_has_means_alone() -> None:
    found = standings(VALUES, SIZES, None)
    assert [standing.mean for standing in found.values()] == [3.0, pytest.approx(2.85)]
    assert not any(standing.best for standing in found.values())
