"""One factor, one temperature: against closed forms, brute force and the truth that the data came from."""

import math

import numpy as np
import pytest
import torch
from tests.calibration.predictions import classification, randn, regression
from torch import Tensor

from yuragi import metrics
from yuragi.calibration import SplitConformal, StdScaling, TemperatureScaling
from yuragi.prediction import ClassificationPrediction, RegressionPrediction

OUTS: list[tuple[int, ...]] = [(), (1,), (2,), (2, 3)]


@pytest.mark.parametrize("out", OUTS)
def test_errors_have_unit_mean_square_after_scaling(out: tuple[int, ...]) -> None:
    p, y = regression(out), 5 * randn(40, *out, seed=5)
    calibrator = StdScaling.fit(p, y)
    scaled = calibrator(p)
    assert calibrator.factor.shape == out
    squares = ((y - scaled.mean) / scaled.std).square().mean(0)
    torch.testing.assert_close(squares, torch.ones(out, dtype=torch.float64))


def test_the_factor_is_the_most_probable_one() -> None:
    # of the moment-matched Gaussian, output by output, by brute force
    p, y = regression((2,)), 5 * randn(40, 2, seed=5)
    factors = torch.linspace(0.2, 10, 2000, dtype=torch.float64)
    unit = torch.distributions.Normal(p.mean, factors[:, None, None] * p.std)
    best = factors[unit.log_prob(y).sum(1).argmax(0)]
    torch.testing.assert_close(StdScaling.fit(p, y).factor, best, atol=0.01, rtol=0)


@pytest.mark.parametrize("out", OUTS)
def test_scaling_widens_every_part_of_the_spread_and_keeps_the_mean(out: tuple[int, ...]) -> None:
    p, factor = regression(out), 0.5 + randn(*out, seed=7).abs()
    scaled = StdScaling(factor)(p)
    torch.testing.assert_close(scaled.mean, p.mean)
    for name in ("std", "epistemic", "aleatoric"):
        torch.testing.assert_close(getattr(scaled, name), factor * getattr(p, name))
    # an affine map of y around the mean: so its quantiles and densities
    torch.testing.assert_close(scaled.quantile(0.2), p.mean + factor * (p.quantile(0.2) - p.mean))
    y = randn(40, *out, seed=5)
    torch.testing.assert_close(scaled.log_prob(y), p.log_prob(p.mean + (y - p.mean) / factor) - factor.log().sum())


@pytest.mark.parametrize("noise", [torch.tensor(0.5), torch.full((1, 1, 2), 0.5), torch.full((8, 40, 1), 0.5)])
def test_noise_that_broadcasts(noise: Tensor) -> None:
    p = RegressionPrediction(samples=regression((2,)).samples, noise=noise)
    factor = torch.tensor([2.0, 3.0])
    torch.testing.assert_close(StdScaling(factor)(p).aleatoric, (0.5 * factor).double().expand(40, 2))
    torch.testing.assert_close(StdScaling(torch.tensor(2.0))(p).aleatoric, torch.ones(40, 2, dtype=torch.float64))


def test_scaling_at_a_large_mean_in_float32() -> None:
    small = RegressionPrediction(samples=0.01 * randn(20, 50, 1), noise=torch.tensor(0.01))
    large = RegressionPrediction(samples=(small.samples + 1e4).float(), noise=small.noise)
    exact = RegressionPrediction(samples=large.samples.double(), noise=small.noise.double())
    y = exact.mean + 0.05 * randn(50, 1, seed=3)
    torch.testing.assert_close(StdScaling.fit(large, y).factor, StdScaling.fit(exact, y).factor, rtol=1e-6, atol=0)
    torch.testing.assert_close(StdScaling(torch.tensor(3.0))(large).mean, exact.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(StdScaling(torch.tensor(3.0))(large).std, 3 * exact.std, rtol=1e-6, atol=0)


def test_scaling_finds_the_factor_by_which_the_spread_was_wrong() -> None:
    rows = 20_000
    mean, spread = randn(1, rows, 2), 0.1 + randn(1, rows, 2, seed=1).abs()
    y = mean[0] + spread[0] * randn(rows, 2, seed=2)
    wrong = RegressionPrediction(samples=mean, noise=spread * torch.tensor([0.25, 3.0]))
    calibrator = StdScaling.fit(wrong, y)
    # std of a sample standard deviation: 1/√(2n)
    expected = torch.tensor([4.0, 1 / 3], dtype=torch.float64)
    torch.testing.assert_close(calibrator.factor, expected, rtol=4 / math.sqrt(2 * rows), atol=0)
    before, after = (metrics.quantile_calibration_error(p.cdf(y)) for p in (wrong, calibrator(wrong)))
    assert after < 0.01 < 0.05 < before
    assert metrics.interval_coverage(*calibrator(wrong).interval(0.9), y) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_factors_that_cannot_be(factor: float) -> None:
    with pytest.raises(ValueError, match="factor must be positive and finite"):
        StdScaling(torch.tensor([1.0, factor]))


def test_targets_that_do_not_fit() -> None:
    p = regression((1,))
    with pytest.raises(ValueError, match=r"predictions have shape \(40, 1\), but the targets have shape \(40,\)"):
        StdScaling.fit(p, torch.zeros(40))
    with pytest.raises(ValueError, match=r"y holds 1 values that are NaN or infinite, the first at \[3, 0\]"):
        StdScaling.fit(p, torch.zeros(40, 1).index_fill(0, torch.tensor(3), math.nan))
    with pytest.raises(TypeError, match="y must be a tensor or array, got NoneType"):
        StdScaling.fit(p, None)
    with pytest.raises(ValueError, match="equal the predicted means exactly"):
        StdScaling.fit(p, p.mean)
    with pytest.raises(ValueError, match="no held-out data"):
        StdScaling.fit(RegressionPrediction(torch.zeros(3, 0, 1), torch.tensor(1.0)), torch.zeros(0, 1))
    sure = RegressionPrediction(samples=torch.zeros(2, 3, 1), noise=torch.tensor([[[1.0], [0.0], [1.0]]]))
    with pytest.raises(ValueError, match=r"must be positive and finite to measure errors by, and is 0.0 at \[1, 0\]"):
        StdScaling.fit(sure, torch.ones(3, 1))


def test_arrays_lists_and_whole_numbers_are_targets() -> None:
    p, y = regression((1,)), (5 * randn(40, 1, seed=5)).round()
    expected = StdScaling.fit(p, y).factor
    for same in (y.numpy(), y.tolist(), y.long(), y.numpy().astype(np.int32)):
        torch.testing.assert_close(StdScaling.fit(p, same).factor, expected)


def test_another_number_of_outputs_is_refused() -> None:
    calibrator = StdScaling.fit(regression((2,)), 5 * randn(40, 2, seed=5))
    with pytest.raises(ValueError, match=r"fitted to outputs of shape \(2,\), and the prediction has \(1,\)"):
        calibrator(regression((1,)))


def test_a_prediction_that_lacks_what_is_needed() -> None:
    p, labels = classification()
    with pytest.raises(TypeError, match=r"StdScaling needs .* ClassificationPrediction has no mean, rescaled"):
        StdScaling.fit(p, labels)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StdScaling needs"):
        StdScaling(torch.tensor(1.0))(p)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"TemperatureScaling needs .* RegressionPrediction has no probs"):
        TemperatureScaling.fit(regression(), labels)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"TemperatureScaling needs"):
        TemperatureScaling(2.0)(regression())  # type: ignore[arg-type]
    intervals = SplitConformal.fit(regression(), randn(40, 2, seed=5))(regression())
    with pytest.raises(TypeError, match="ConformalPrediction has no std, rescaled"):
        StdScaling(torch.tensor(1.0))(intervals)  # type: ignore[type-var]


# -- temperature


@pytest.mark.parametrize("positions", [(), (3,)])
@pytest.mark.parametrize("sharpened", [0.25, 1.0, 4.0])
def test_the_temperature_is_the_most_probable_one(sharpened: float, positions: tuple[int, ...]) -> None:
    p, y = classification(positions=positions)
    wrong = ClassificationPrediction(sharpened * p.samples)
    calibrator = TemperatureScaling.fit(wrong, y)
    candidates = [calibrator.temperature * factor for factor in (0.1, 0.5, 0.97, 1.0, 1.03, 2.0, 10.0)]
    scores = [float(metrics.negative_log_likelihood(TemperatureScaling(t)(wrong).probs, y).mean()) for t in candidates]
    assert min(scores) == scores[3]
    # what was multiplied is divided again, whatever the optimum
    once = TemperatureScaling.fit(p, y).temperature
    assert calibrator.temperature == pytest.approx(sharpened * once, rel=2e-4)


def test_the_temperature_recovers_the_probabilities_that_the_labels_came_from() -> None:
    truth = 2 * randn(1, 40_000, 3)
    y = torch.multinomial(truth[0].softmax(-1), 1, generator=torch.Generator().manual_seed(1)).squeeze(1)
    wrong = ClassificationPrediction(3 * truth)
    calibrator = TemperatureScaling.fit(wrong, y)
    # standard error by the curvature of the log-likelihood in log T: n·E[Var(logit)]
    probs = truth[0].softmax(-1)
    variance = (probs * truth[0].square()).sum(-1) - (probs * truth[0]).sum(-1).square()
    assert calibrator.temperature == pytest.approx(3, rel=4 / math.sqrt(float(variance.sum())))
    calibrated = calibrator(wrong)
    assert torch.equal(calibrated.label, wrong.label)  # one draw: the order of the classes stays
    before, after = (metrics.expected_calibration_error(p.probs, y) for p in (wrong, calibrated))
    assert after < 0.015 < 0.05 < before


def test_a_temperature_divides_the_logits_of_every_draw() -> None:
    p, _ = classification(positions=(2,))
    torch.testing.assert_close(TemperatureScaling(2.5)(p).draw_probs, (p.samples.movedim(2, -1) / 2.5).softmax(-1))


def test_labels_without_a_best_temperature() -> None:
    right = ClassificationPrediction(torch.tensor([[[3.0, 0.0], [0.0, 3.0]]]))
    with pytest.raises(ValueError, match=r"temperature of 0.05 or beyond.*as if every one were predicted right"):
        TemperatureScaling.fit(right, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"temperature of 20 or beyond.*no better than by chance"):
        TemperatureScaling.fit(right, torch.tensor([1, 0]))


def test_labels_that_do_not_fit() -> None:
    p, y = classification()
    with pytest.raises(ValueError, match=r"labels must lie in 0…2, got 0…3"):
        TemperatureScaling.fit(p, y.index_fill(0, torch.tensor(0), 3))
    with pytest.raises(ValueError, match=r"labels must have shape \(400,\)"):
        TemperatureScaling.fit(p, y[:-1])
    with pytest.raises(ValueError, match="must be integers"):
        TemperatureScaling.fit(p, y.double())
    with pytest.raises(TypeError, match="y must be a tensor or array of labels, got str"):
        TemperatureScaling.fit(p, "labels")


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperatures_that_cannot_be(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        TemperatureScaling(temperature)
