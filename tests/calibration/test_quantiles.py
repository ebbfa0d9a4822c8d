"""Isotonic recalibration against scikit-learn's isotonic regression, inversion, and simulated coverage."""

import math

import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from tests.calibration.predictions import classification, randn, regression
from torch import Tensor

from yuragi import metrics
from yuragi.calibration import IsotonicQuantiles
from yuragi.prediction import RegressionPrediction


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("out", [(), (1,), (2, 2)])
def test_the_map_is_the_isotonic_regression_of_the_observed_shares(out: tuple[int, ...]) -> None:
    pit, probability = rand(30, *out).square(), rand(50, *out, seed=1)
    share = IsotonicQuantiles(pit).observed_share(probability)
    for u, p, r in zip(pit.reshape(30, -1).T, probability.reshape(50, -1).T, share.reshape(50, -1).T, strict=True):
        x = torch.cat([torch.zeros(1), u.sort().values, torch.ones(1)]).numpy()
        y = torch.arange(32, dtype=torch.float64).numpy() / 31
        expected = IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(p.numpy())
        torch.testing.assert_close(r, torch.as_tensor(expected))


@pytest.mark.parametrize("level", [0.001, 0.02, 0.1, 0.5, 0.77, 0.999])
def test_the_map_and_its_inverse(level: float) -> None:
    calibrator = IsotonicQuantiles(rand(30, 3))
    share = calibrator.observed_share(calibrator.predicted_level(level).unsqueeze(0))
    torch.testing.assert_close(share, torch.full((1, 3), level, dtype=torch.float64))


def test_the_ends_of_the_map() -> None:
    for pit in (torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.2, 0.2, 0.9]), torch.ones(3), torch.zeros(3)):
        share = IsotonicQuantiles(pit).observed_share(torch.tensor([0.0, 0.5, 1.0]))
        assert float(share[-1]) == 1
        assert bool((share.diff() >= 0).all())
    assert float(IsotonicQuantiles(torch.tensor([0.2, 0.9])).observed_share(torch.tensor([0.0]))) == 0


@pytest.mark.parametrize("out", [(), (1,), (2,), (2, 2)])
def test_quantiles_and_distribution_function_agree(out: tuple[int, ...]) -> None:
    p = IsotonicQuantiles.fit(regression(out), 5 * randn(40, *out, seed=5))(regression(out, seed=1))
    for level in (0.03, 0.5, 0.9):
        quantile = p.quantile(level)
        assert quantile.shape == (40, *out)
        torch.testing.assert_close(p.cdf(quantile), torch.full_like(quantile, level), atol=1e-6, rtol=0)
    lower, upper = p.interval(0.8)
    torch.testing.assert_close(lower, p.quantile(0.1))
    torch.testing.assert_close(upper, p.quantile(0.9))


def test_outputs_are_recalibrated_one_by_one() -> None:
    p, y, new = regression((2,)), 5 * randn(40, 2, seed=5), regression((2,), seed=1)
    both = IsotonicQuantiles.fit(p, y)(new)

    def column(q: RegressionPrediction, i: int) -> RegressionPrediction:
        return RegressionPrediction(q.samples[..., i : i + 1], q.noise[..., i : i + 1])

    for i in range(2):
        alone = IsotonicQuantiles.fit(column(p, i), y[:, i : i + 1])(column(new, i))
        torch.testing.assert_close(both.quantile(0.3)[:, i : i + 1], alone.quantile(0.3))
        torch.testing.assert_close(both.cdf(y)[:, i : i + 1], alone.cdf(y[:, i : i + 1]))


@pytest.mark.parametrize("rank", [1, 10, 19])
def test_quantiles_hold_their_share_over_many_recalibrations(rank: int) -> None:
    # 20,000 recalibrations at once, as outputs: biased by 1, and three times too sure
    repeats, count = 20_000, 19
    y = 1 + 3 * randn(count + 1, repeats)
    pit = metrics.gaussian_mixture_cdf(torch.zeros(1, count + 1, repeats), torch.tensor(1.0), y)
    below = IsotonicQuantiles(pit[:-1]).observed_share(pit[-1:]) <= rank / (count + 1)
    error = 4 * math.sqrt(0.25 / repeats)
    assert float(below.double().mean()) == pytest.approx(rank / (count + 1), abs=error)


def test_recalibration_mends_biased_and_skewed_predictions() -> None:
    wrong = RegressionPrediction(samples=torch.zeros(1, 4000, 1), noise=torch.tensor(1.0))
    y = randn(8000, 1).exp()  # log-normal
    calibrated = IsotonicQuantiles.fit(wrong, y[:4000])(wrong)
    before, after = (metrics.quantile_calibration_error(p.cdf(y[4000:])) for p in (wrong, calibrated))
    assert after < 3 * math.sqrt(2 * math.pi) / 8 * math.sqrt(2 / 4000) < before
    for level in (0.1, 0.5, 0.9):
        expected = math.exp(math.sqrt(2) * torch.erfinv(torch.tensor(2 * level - 1)).item())
        assert float(calibrated.quantile(level)[0]) == pytest.approx(expected, rel=0.1)


def test_targets_beyond_all_probability() -> None:
    p = RegressionPrediction(samples=torch.zeros(1, 3, 1), noise=torch.tensor(1.0))
    calibrated = IsotonicQuantiles.fit(p, torch.full((3, 1), 100.0))(p)
    assert bool(calibrated.quantile(0.9).isfinite().all())
    assert bool((calibrated.quantile(0.9) > 7).all())  # as far as a probability of 1 − 1e-12 reaches


def test_what_it_cannot_say_is_refused_by_name() -> None:
    calibrated = IsotonicQuantiles.fit(regression(), randn(40, 2, seed=5))(regression())
    for name in ("mean", "std", "log_prob", "crps", "samples", "rescaled"):
        with pytest.raises(AttributeError, match=rf"has no '{name}', only quantile, interval and cdf"):
            getattr(calibrated, name)
    with pytest.raises(ValueError, match="a quantile's level"):
        calibrated.quantile(1.0)
    with pytest.raises(ValueError, match="an interval's level"):
        calibrated.interval(0.0)


def test_what_cannot_be_recalibrated_is_refused() -> None:
    p, labels = classification()
    with pytest.raises(TypeError, match=r"IsotonicQuantiles needs .* has no mean, cdf, quantile"):
        IsotonicQuantiles.fit(p, labels)  # type: ignore[arg-type]
    calibrator = IsotonicQuantiles.fit(regression((2,)), randn(40, 2, seed=5))
    with pytest.raises(ValueError, match=r"fitted to outputs of shape \(2,\), and the prediction has \(1,\)"):
        calibrator(regression((1,)))
    with pytest.raises(ValueError, match=r"predictions have shape \(40, 2\), but the targets"):
        IsotonicQuantiles.fit(regression((2,)), torch.zeros(40))
    with pytest.raises(ValueError, match=r"pit must lie within 0…1, got 0.5…1.5"):
        IsotonicQuantiles(torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="pit holds 1 values that are NaN"):
        IsotonicQuantiles(torch.tensor([0.5, math.nan]))
    for empty in (torch.zeros(0, 2), torch.tensor(0.5)):
        with pytest.raises(ValueError, match="at least one held-out datum"):
            IsotonicQuantiles(empty)
