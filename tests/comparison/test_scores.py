"""The scores of predictions whose right scores are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from yuragi.comparison.scores import SCORES, scored, scored_in_gap
from yuragi.predictions import ClassificationPrediction, RegressionPrediction
from yuragi.predictions.counts import PoissonPrediction


def gaussian(rows: int, mean: float = 0.0, std: float = 1.0) -> RegressionPrediction:
    return RegressionPrediction(torch.full((1, rows, 1), mean, dtype=torch.float64), torch.tensor(std).double())


def test_a_calibrated_gaussian() -> None:
    """At the quantiles of a standard normal, all scores are integrals over it."""
    rows = 4000
    levels = (torch.arange(rows).double() + 0.5) / rows
    y = torch.special.ndtri(levels).reshape(-1, 1)
    found = scored(gaussian(rows), y)
    assert found["log_likelihood"] == pytest.approx(-0.5 * math.log(2 * math.pi * math.e), abs=1e-3)  # less its entropy
    assert found["rmse"] == pytest.approx(1.0, abs=1e-3)
    assert found["crps"] == pytest.approx(1 / math.sqrt(math.pi), abs=1e-3)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-3)
    for level in (0.5, 0.9, 0.95):
        assert found[f"coverage_{100 * level:.0f}"] == pytest.approx(level, abs=1e-3)
        assert found[f"width_{100 * level:.0f}"] == pytest.approx(2 * stats.norm.ppf((1 + level) / 2))


def test_classes() -> None:
    probs = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 1])
    found = scored(ClassificationPrediction(probs.log().unsqueeze(0)), y)
    assert found["accuracy"] == 0.75
    assert found["log_likelihood"] == pytest.approx(float(torch.tensor([0.8, 0.4, 0.9, 0.7]).log().mean()))
    assert found["brier"] == pytest.approx(2 * (0.2**2 + 0.6**2 + 0.1**2 + 0.3**2) / 4)
    # each in a bin of its own
    assert found["calibration_error"] == pytest.approx((0.2 + 0.6 + 0.1 + 0.3) / 4)


def test_intervals_of_counts_hold_their_ends() -> None:
    """The 90 % interval of a Poisson variable of mean 3 is 1 to 6, and holds 0, 1, …, 6 as often as it is in there."""
    draws = torch.poisson(torch.full((2000, 1), 3.0), generator=torch.Generator().manual_seed(0)).double()
    found = scored(PoissonPrediction(torch.full((1, 2000, 1), 3.0)), draws)
    exact = stats.poisson(3.0)
    low, high = exact.ppf(0.05), exact.ppf(0.95)
    held = exact.cdf(high) - exact.cdf(low - 1)
    assert found["coverage_90"] == pytest.approx(held, abs=3 * math.sqrt(held * (1 - held) / 2000))
    assert found["width_90"] == high - low
    assert found["calibration_error"] < 3 * 0.31 / math.sqrt(2000)


def test_the_gap() -> None:
    noise = torch.tensor(0.1).double()
    inside = RegressionPrediction(torch.tensor([[[1.0], [1.0]], [[3.0], [3.0]]]).double(), noise)  # epistemic 1
    outside = RegressionPrediction(torch.tensor([[[0.0]], [[6.0]]]).double(), noise)  # epistemic 3
    y = torch.tensor([[0.05]]).double()
    found = scored_in_gap(outside, inside, y)
    assert found["gap_ratio"] == pytest.approx(3)
    assert found["gap_log_likelihood"] == pytest.approx(math.log(0.5 * stats.norm(0, 0.1).pdf(0.05)))
    assert found["gap_coverage_90"] == 1.0


def test_without_an_epistemic_part_the_gap_cannot_be_told() -> None:
    assert math.isnan(scored_in_gap(gaussian(2), gaussian(3), torch.zeros(2, 1))["gap_ratio"])


def test_every_score_has_its_heading() -> None:
    names = [score.name for score in SCORES]
    y = torch.zeros(3, 1)
    classes = ClassificationPrediction(torch.zeros(1, 3, 2))
    for found in (
        scored(gaussian(3), y),
        scored(classes, torch.zeros(3)),
        scored_in_gap(gaussian(3), gaussian(3), y),
        scored_in_gap(classes, classes, torch.zeros(3, dtype=torch.int64)),
    ):
        assert set(found) <= set(names)
    assert len(set(names)) == len(names)
