"""Scores of numeric predictions against scoringrules, SciPy, numerical integration and simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import scoringrules
import torch
from torch import Tensor

from yuragi import metrics
from yuragi.prediction import RegressionPrediction


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rmse_and_coverage() -> None:
    y = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert metrics.rmse(y + torch.tensor([[1.0], [-1.0], [3.0], [-3.0]]), y) == pytest.approx(math.sqrt(5))
    lower, upper = torch.tensor([[1.0], [2.5], [0.0], [0.0]]), torch.tensor([[2.0], [9.0], [3.0], [3.9]])
    assert metrics.interval_coverage(lower, upper, y) == 0.5  # the ends count


@pytest.mark.parametrize("out", [(), (2,)])
def test_sharpness_is_the_root_mean_square(out: tuple[int, ...]) -> None:
    std = rand(7, *out)
    assert metrics.sharpness(std) == pytest.approx(float(np.sqrt(np.mean(std.numpy() ** 2))))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_interval_score_is_that_of_scoringrules(level: float) -> None:
    y, lower = randn(50, 2), randn(50, 2, seed=1)
    upper = lower + rand(50, 2)
    expected = scoringrules.interval_score(y.numpy(), lower.numpy(), upper.numpy(), 1 - level, backend="numpy")
    torch.testing.assert_close(metrics.interval_score(lower, upper, y, level), torch.as_tensor(expected))
    assert metrics.interval_width(lower, upper) == pytest.approx(float(np.mean(upper.numpy() - lower.numpy())))


def test_interval_score_is_smallest_at_the_quantiles() -> None:
    # by numerical integration over y ~ N(0, 1)
    y = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = torch.exp(-0.5 * y.square()) / math.sqrt(2 * math.pi)
    end = scipy.stats.norm.ppf(0.95)

    def expected(lower: float, upper: float) -> float:
        score = metrics.interval_score(torch.full_like(y, lower), torch.full_like(y, upper), y, 0.9)
        return float(torch.trapezoid(score * density, y))

    best = expected(-end, end)
    for lower, upper in ((-end - 0.1, end), (-end + 0.1, end), (-end, end + 0.1), (-end, end - 0.1)):
        assert expected(lower, upper) > best


@pytest.mark.parametrize("out", [(), (2, 3)])
@pytest.mark.parametrize("count", [2, 3, 50])
def test_crps_of_draws_is_that_of_scoringrules(count: int, out: tuple[int, ...]) -> None:
    draws, y = randn(count, 5, *out), randn(5, *out, seed=1)
    expected = scoringrules.crps_ensemble(y.numpy(), draws.numpy(), m_axis=0, estimator="fair", backend="numpy")
    torch.testing.assert_close(metrics.crps_from_draws(draws, y), torch.as_tensor(expected))


@pytest.mark.parametrize("count", [2, 5])
def test_crps_of_draws_estimates_the_closed_form_without_bias(count: int) -> None:
    rows = 200_000
    y = torch.full((rows,), 0.7, dtype=torch.float64)
    scores = metrics.crps_from_draws(randn(count, rows), y)
    one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), y[:1]
    error = 4 * float(scores.std()) / math.sqrt(rows)
    assert float(scores.mean()) == pytest.approx(metrics.gaussian_mixture_crps(*one).item(), abs=error)


def test_crps_of_draws_at_a_large_target() -> None:
    draws, y = randn(20, 4), randn(4, seed=1)
    torch.testing.assert_close(
        metrics.crps_from_draws(draws + 1e9, y + 1e9), metrics.crps_from_draws(draws, y), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("out", [(), (2,)])
def test_pit_of_a_prediction_is_the_share_of_simulated_targets_below(out: tuple[int, ...]) -> None:
    p = RegressionPrediction(samples=randn(6, 3, *out), noise=0.2 + rand(6, 3, *out))
    y = randn(3, *out, seed=5)
    chosen = torch.randint(6, (200_000,), generator=torch.Generator().manual_seed(0))
    simulated = p.samples[chosen] + p.noise[chosen] * randn(200_000, 3, *out, seed=2)
    share = (simulated <= y).double().mean(0)
    torch.testing.assert_close(p.cdf(y), share, atol=4 * 0.5 / math.sqrt(200_000), rtol=0)
    torch.testing.assert_close(p.cdf(y.numpy()), p.cdf(y))
    torch.testing.assert_close(p.cdf(p.quantile(0.3)), torch.full_like(y, 0.3))


def test_pit_of_counts_is_uniform_where_the_predictions_are_right() -> None:
    y = np.random.default_rng(0).poisson(1.3, size=(20_000, 1))
    below, at = (torch.as_tensor(scipy.stats.poisson.cdf(k, 1.3)) for k in (y - 1, y))
    pit = metrics.randomised_pit(below, at, seed=1)
    assert scipy.stats.kstest(pit.flatten().numpy(), "uniform").pvalue > 0.01
    assert scipy.stats.kstest(at.flatten().numpy(), "uniform").pvalue < 1e-6  # without the random part it is not
    assert torch.equal(pit, metrics.randomised_pit(below, at, seed=1))
    assert not torch.equal(pit, metrics.randomised_pit(below, at, seed=2))


def test_randomised_pit_leaves_the_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    metrics.randomised_pit(torch.zeros(3), torch.ones(3))
    assert torch.equal(state, torch.random.get_rng_state())


def test_calibration_curve_counts_the_targets_below_their_quantiles() -> None:
    p, y = RegressionPrediction(samples=randn(6, 200, 2), noise=torch.tensor(0.5)), randn(200, 2, seed=5)
    levels = [0.1, 0.5, 0.8]
    curve = metrics.quantile_calibration_curve(p.cdf(y), levels)
    assert curve.expected.tolist() == levels
    for level, observed in zip(levels, curve.observed.tolist(), strict=True):
        assert observed == pytest.approx(float((y <= p.quantile(level)).double().mean()))
    assert len(metrics.quantile_calibration_curve(p.cdf(y)).expected) == 19
    assert metrics.quantile_calibration_curve(torch.tensor([0.5, 0.6]), [0.5]).observed.tolist() == [0.5]  # ≤ counts


@pytest.mark.parametrize("power", [0.2, 1.0, 5.0])
def test_calibration_error_is_the_distance_of_the_pit_from_uniform(power: float) -> None:
    pit = rand(300, 2) ** power
    grid = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000
    expected = scipy.stats.wasserstein_distance(pit.flatten().numpy(), grid.numpy())
    assert metrics.quantile_calibration_error(pit) == pytest.approx(expected, abs=1e-6)
    # ∫|p^(1/power) − p| dp of the distribution that the values come from
    limit = abs(power / (power + 1) - 0.5)
    assert metrics.quantile_calibration_error(pit) == pytest.approx(limit, abs=3 / math.sqrt(600))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_worst_calibration_error(value: float) -> None:
    assert metrics.quantile_calibration_error(torch.full((5,), value)) == pytest.approx(0.5)


def test_calibration_error_of_perfect_predictions() -> None:
    errors = torch.tensor([metrics.quantile_calibration_error(one) for one in rand(1000, 400)], dtype=torch.float64)
    standard_error = float(errors.std()) / math.sqrt(1000)
    expected = math.sqrt(2 * math.pi) / 8 / math.sqrt(400)
    assert float(errors.mean()) == pytest.approx(expected, abs=4 * standard_error + 0.1 / 400)


PAIRS: list[Callable[[Tensor, Tensor], object]] = [
    metrics.rmse,
    lambda a, b: metrics.interval_coverage(a, a + 1, b),
    lambda a, b: metrics.interval_coverage(a, b, a),
    lambda a, b: metrics.interval_score(a, a + 1, b, 0.9),
    metrics.interval_width,
    metrics.randomised_pit,
    lambda a, b: metrics.crps_from_draws(torch.stack([a, a]), b),
]


@pytest.mark.parametrize("score", PAIRS)
def test_shapes_are_never_broadcast(score: Callable[[Tensor, Tensor], object]) -> None:
    score(torch.zeros(3, 1), torch.ones(3, 1))
    for shape in ((3,), (1, 3), (3, 2), (1, 1)):
        with pytest.raises(ValueError, match="predictions have shape"):
            score(torch.zeros(3, 1), torch.ones(shape))


@pytest.mark.parametrize("score", PAIRS)
def test_nan_is_refused(score: Callable[[Tensor, Tensor], object]) -> None:
    for first, second in ((math.nan, 1.0), (0.0, math.nan)):
        with pytest.raises(ValueError, match=r"holds \d values that are NaN"):
            score(torch.tensor([first]), torch.tensor([second]))


@pytest.mark.parametrize(
    "score",
    [
        *PAIRS[:-1],
        lambda a, b: metrics.sharpness(a),
        lambda a, b: metrics.quantile_calibration_curve(a),
        lambda a, b: metrics.quantile_calibration_error(a),
    ],
)
def test_no_data_is_refused(score: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(ValueError, match="no data"):
        score(torch.zeros(0, 2), torch.zeros(0, 2))


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pit must hold probabilities, within 0…1, got 0.5…1.5"):
        metrics.quantile_calibration_error(torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="pit holds 1 values that are NaN"):
        metrics.quantile_calibration_curve(torch.tensor([0.5, math.nan]))
    with pytest.raises(ValueError, match=r"a quantile's level must lie strictly between 0 and 1, got 1.0"):
        metrics.quantile_calibration_curve(torch.tensor([0.5]), [0.5, 1.0])
    for level in (0.0, 1.0, 90, math.nan):
        with pytest.raises(ValueError, match="an interval's level must lie strictly between 0 and 1"):
            metrics.interval_score(torch.zeros(1), torch.ones(1), torch.zeros(1), level)
    with pytest.raises(ValueError, match="1 intervals have a lower end above their upper one"):
        metrics.interval_width(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"are they swapped"):
        metrics.randomised_pit(torch.ones(1), torch.zeros(1))
    with pytest.raises(ValueError, match=r"a standard deviation is never negative, got -1.0"):
        metrics.sharpness(torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="needs two draws at least, got 1"):
        metrics.crps_from_draws(torch.zeros(1, 3), torch.zeros(3))
