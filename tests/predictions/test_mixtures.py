"""Numerical parts of predictions against SciPy."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from yuragi.predictions import mixtures


def test_the_incomplete_beta_function_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(-9, 12, (2, 20_000)))
    x = rng.uniform(size=20_000)
    x[::2] = (a / (a + b))[::2] * rng.uniform(0.9, 1.1, 10_000).clip(0, 1 / (a / (a + b))[::2])  # near the mean
    x = x.clip(0, 1)
    got = mixtures.beta_cdf(*(torch.as_tensor(part) for part in (a, b, x, 1 - x)))
    np.testing.assert_allclose(got, special.betainc(a, b, x), atol=1e-9)


def test_the_ends_of_the_incomplete_beta_function() -> None:
    a, x = torch.tensor([0.5, 3.0, 1e6], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert torch.equal(mixtures.beta_cdf(a, a, x, 1 - x), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(mixtures.beta_cdf(a, a, 1 - x, x), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("df", [2.01, 3.0, 40.0, 1e6])
def test_the_distribution_function_of_t_is_that_of_scipy_in_both_tails(df: float) -> None:
    unit = np.r_[0.0, np.geomspace(1e-8, 1e6, 200)]
    unit = np.r_[-unit, unit]
    got = mixtures.student_t_cdf(torch.as_tensor(unit), torch.tensor(df, dtype=torch.float64))
    np.testing.assert_allclose(got, stats.t.cdf(unit, df), rtol=1e-7, atol=1e-250)
    density = mixtures.student_t_log_prob(torch.as_tensor(unit), torch.tensor(df, dtype=torch.float64))
    np.testing.assert_allclose(density, stats.t.logpdf(unit, df), rtol=1e-9, atol=1e-9)


def test_half_the_mean_difference_of_points() -> None:
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(30, 4)), rng.dirichlet(np.ones(30), 4).T
    differences = np.abs(points[:, None] - points[None])
    expected = 0.5 * np.einsum("in,jn,ijn->n", weights, weights, differences)
    np.testing.assert_allclose(mixtures.half_difference(*map(torch.as_tensor, (points, weights))), expected)


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9])
def test_bounds_of_a_quantile_hold_where_they_are_sharpest(level: float) -> None:
    # a distribution on two points, all of whose mass at the lower one is just the level
    mean, std = torch.tensor(level * 0 + (1 - level)), torch.tensor((level * (1 - level)) ** 0.5)
    low, high = mixtures.cantelli(mean, std, level)
    assert float(low) <= 1e-6
    assert float(high) >= 1 - 1e-6


def test_quantiles_of_a_flat_and_of_a_steep_distribution() -> None:
    def uniform(y: Tensor) -> Tensor:
        return y.clamp(0, 1)

    def density(y: Tensor) -> Tensor:
        return ((y > 0) & (y < 1)).double()

    low, high = torch.tensor([-5.0], dtype=torch.float64), torch.tensor([500.0], dtype=torch.float64)
    found = mixtures.continuous_quantile(uniform, density, 0.3, low, high, torch.tensor(1e-12))
    torch.testing.assert_close(found, torch.tensor([0.3], dtype=torch.float64))
    steps = mixtures.integer_quantile(lambda y: (y >= 7).double(), 0.5, torch.tensor([1e9], dtype=torch.float64))
    assert float(steps) == 7
