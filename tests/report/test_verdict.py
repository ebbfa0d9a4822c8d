"""The headline, of predictions whose error bars are right, too short and too long by construction."""

import numpy as np
import pytest
from scipy import stats

from yuragi.report.rows import ClassRows, NumericRows
from yuragi.report.verdict import doubtful, of_classes, of_numbers
from yuragi.report.words import Words

WORDS = Words("en")


def numbers(rows: int, true_std: float, spread: float = 3.0) -> NumericRows:
    """Predictions N(mean, 1) of values that are N(mean, true_std²)."""
    rng = np.random.default_rng(0)
    mean = spread * rng.normal(size=rows)
    y = mean + true_std * rng.normal(size=rows)
    one = np.ones(rows)
    return NumericRows(mean, one, 0.1 * one, one, y, stats.norm.cdf(y - mean), stats.norm.logpdf(y - mean))


@pytest.mark.parametrize(("true_std", "status"), [(1.0, "good"), (2.0, "bad"), (0.4, "warn")])
def test_error_bars_are_judged_by_what_they_hold(true_std: float, status: str) -> None:
    rows = numbers(1000, true_std)
    found = {one.name: one for one in of_numbers(WORDS, rows, np.zeros(1000, dtype=bool), "y")}
    assert found["bars"].status == status
    inside = np.abs(rows.error) <= stats.norm.ppf(0.95)
    assert f"{100 * inside.mean():.1f}" in found["bars"].says


def test_few_rows_are_not_judged() -> None:
    assert of_numbers(WORDS, numbers(10, 5.0), np.zeros(10, dtype=bool), "y")[0].status == "info"


@pytest.mark.parametrize(("spread", "status"), [(10.0, "good"), (1.0, "warn"), (0.01, "bad")])
def test_use_is_the_error_against_that_of_the_average(spread: float, status: str) -> None:
    rows = numbers(1000, 1.0, spread)
    found = {one.name: one for one in of_numbers(WORDS, rows, np.zeros(1000, dtype=bool), "y")}
    ratio = np.sqrt((rows.error**2).mean()) / rows.y.std()
    assert found["use"].status == status
    assert (ratio < 0.6, ratio < 0.95) == (status == "good", status != "bad")


def test_rows_of_twice_the_usual_doubt_are_named() -> None:
    rows = numbers(100, 1.0)
    rows.epistemic[:3] = 0.21
    assert np.flatnonzero(doubtful(rows)).tolist() == [0, 1, 2]
    outside = np.zeros(100, dtype=bool)
    outside[2:5] = True
    found = of_numbers(WORDS, rows, outside, "y")[-1]
    assert found.answer.startswith("5 of 100")
    assert of_numbers(WORDS, numbers(100, 1.0), np.zeros(100, dtype=bool), "y")[-1].status == "good"


@pytest.mark.parametrize(("right", "status"), [(0.8, "good"), (0.5, "bad"), (0.99, "warn")])
def test_probabilities_are_judged_by_how_often_they_are_right(right: float, status: str) -> None:
    count = 1000
    y = (np.arange(count) >= right * count).astype(np.int64)
    probs = np.tile([0.8, 0.2], (count, 1))
    rows = ClassRows(probs, np.full(count, 0.5), np.zeros(count), y, np.log(probs[np.arange(count), y]))
    assert of_classes(WORDS, rows, np.zeros(count, dtype=bool), "y")[0].status == status
