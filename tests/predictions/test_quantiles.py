"""Predictions made of quantiles against integrals of the distribution that they assume."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from yuragi.predictions import QuantilePrediction

LEVELS = (0.05, 0.3, 0.5, 0.9)


def prediction() -> QuantilePrediction:
    first, second = torch.tensor([-1.0, 0.2, 0.5, 3.0]), torch.tensor([10.0, 10.5, 14.0, 14.2])
    return QuantilePrediction.of(torch.stack([first, second], 1).unsqueeze(2), LEVELS)


def grid(p: QuantilePrediction) -> tuple[Tensor, Tensor]:
    """Points [M, 2, 1] that reach far into both tails, and their spacing."""
    span = 40 * p.std.max()
    points = torch.linspace(0, 1, 400_001, dtype=torch.float64).reshape(-1, 1, 1) * 2 * span + p.mean - span
    return points, (points[1] - points[0])


def density(p: QuantilePrediction, points: Tensor) -> Tensor:
    return p._draw_log_prob(points)[:, 0].exp()


def test_the_density_integrates_to_one_and_to_the_moments() -> None:
    p = prediction()
    points, step = grid(p)
    mass = density(p, points) * step
    assert (mass.sum(0) - 1).abs().max() < 1e-3
    torch.testing.assert_close((mass * points).sum(0), p.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((mass * (points - p.mean).square()).sum(0).sqrt(), p.std, rtol=2e-3, atol=0)
    assert bool((p.epistemic == 0).all())
    assert torch.equal(p.aleatoric, p.std)


def test_the_distribution_function_is_the_integral_and_quantiles_its_inverse() -> None:
    p = prediction()
    points, step = grid(p)
    cdf = p._draw_cdf(points)[:, 0]
    assert ((density(p, points) * step).cumsum(0) - cdf).abs().max() < 1e-3
    for level in (0.001, 0.05, 0.2, 0.3, 0.4, 0.8999, 0.9, 0.9999):
        torch.testing.assert_close(p.cdf(p.quantile(level)), torch.full((2, 1), level, dtype=torch.float64))
    for level, given in zip(LEVELS, p.quantiles, strict=True):
        assert torch.equal(p.quantile(level), given)
    assert torch.equal(p.interval(0.9)[0], p.quantiles[0])  # (1 − 0.9)/2 is not 0.05 in floating point


def test_the_score_is_the_integral_of_its_definition() -> None:
    p = prediction()
    points, step = grid(p)
    cdf = p._draw_cdf(points)[:, 0]
    for y in (torch.tensor([[-4.0], [9.0]]), torch.tensor([[0.3], [13.0]]), torch.tensor([[9.0], [30.0]])):
        exact = ((cdf - (points >= y).double()).square() * step).sum(0)
        torch.testing.assert_close(p.crps(y), exact, rtol=1e-3, atol=1e-3)


def test_outputs_of_a_row_are_independent_and_units_change() -> None:
    p = prediction()
    y = torch.tensor([[0.3], [13.0]])
    wide = QuantilePrediction.of(p.quantiles.movedim(1, 2), LEVELS)  # one row of two outputs
    torch.testing.assert_close(wide.log_prob(y.T)[0], p.log_prob(y).sum())
    other = p.rescaled(2.0, 10.0)
    torch.testing.assert_close(other.mean, 2 + 10 * p.mean)
    torch.testing.assert_close(other.crps(2 + 10 * y), 10 * p.crps(y))
    torch.testing.assert_close(other.log_prob(2 + 10 * y), p.log_prob(y) - math.log(10))


@pytest.mark.parametrize(
    ("quantiles", "levels", "message"),
    [
        ([0.0, 0.0], (0.1, 0.9), "must increase with the level"),
        ([0.0, 1.0], (0.9, 0.1), "levels must increase"),
        ([0.0, 1.0], (0.1, 1.0), "a quantile's level"),
        ([0.0], (0.5,), "two at least"),
        ([0.0, 1.0], (0.1, 0.5, 0.9), "3 levels for 2 quantiles"),
    ],
)
def test_what_is_no_distribution_is_refused(quantiles: list[float], levels: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantilePrediction.of(torch.tensor(quantiles).reshape(-1, 1, 1), levels)
