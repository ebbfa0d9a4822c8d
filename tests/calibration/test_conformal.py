"""Conformal intervals and sets: their guarantee by simulation, with networks that are wrong on purpose."""

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from tests.calibration.predictions import Exponential, classification, randn, regression
from torch import Tensor

from yuragi import metrics
from yuragi.calibration import (
    Calibrator,
    ConformalSets,
    IsotonicQuantiles,
    NormalisedConformal,
    SplitConformal,
    StdScaling,
    TemperatureScaling,
)
from yuragi.prediction import ClassificationPrediction, RegressionPrediction

CONFORMAL: list[type[Any]] = [SplitConformal, NormalisedConformal]
REPEATS = 20_000


def wrong_prediction(rows: int) -> tuple[RegressionPrediction, Tensor]:
    """Many problems at once, as outputs: skewed noise that depends on x, and a biased network that is too sure."""
    x = randn(rows, REPEATS)
    y = x + (1 + x.abs()) * randn(rows, REPEATS, seed=1).exp()
    noise = 0.1 + x.square()  # neither the size nor the shape of the true one
    return RegressionPrediction(samples=0.5 * x.unsqueeze(0), noise=noise.unsqueeze(0)), y


def split(p: RegressionPrediction, rows: int) -> tuple[RegressionPrediction, RegressionPrediction]:
    return (
        RegressionPrediction(p.samples[:, :rows], p.noise[:, :rows]),
        RegressionPrediction(p.samples[:, rows:], p.noise[:, rows:]),
    )


@pytest.mark.parametrize("kind", CONFORMAL)
@pytest.mark.parametrize(("count", "level"), [(19, 0.9), (25, 0.9), (40, 0.5), (39, 0.95), (10, 0.8)])
def test_coverage_is_guaranteed_over_many_calibrations(kind: type[Any], count: int, level: float) -> None:
    # one new datum for each calibration, so that the 20,000 trials are independent
    p, y = wrong_prediction(count + 1)
    held_out, new = split(p, count)
    lower, upper = kind.fit(held_out, y[:count])(new).interval(level)
    inside = (lower <= y[count:]) & (y[count:] <= upper)
    error = 3 * math.sqrt(level * (1 - level) / REPEATS)
    coverage = float(inside.double().mean())
    assert coverage >= level - error
    assert coverage <= level + 2 / (count + 1) + error
    for end, missed in ((lower > y[count:], "below"), (upper < y[count:], "above")):
        assert float(end.double().mean()) <= (1 - level) / 2 + error, missed


@pytest.mark.parametrize("kind", CONFORMAL)
def test_quantiles_are_guaranteed_on_their_side(kind: type[Any]) -> None:
    p, y = wrong_prediction(31)
    held_out, new = split(p, 30)
    calibrated = kind.fit(held_out, y[:30])(new)
    error = 3 * 0.5 / math.sqrt(REPEATS)
    for level in (0.5, 0.75, 0.95):
        assert float((y[30:] <= calibrated.quantile(level)).double().mean()) >= level - error
    for level in (0.05, 0.3, 0.49):
        assert float((y[30:] < calibrated.quantile(level)).double().mean()) <= level + error


def test_without_calibration_these_intervals_cover_too_little() -> None:
    # so that the tests above could fail
    p, y = wrong_prediction(31)
    lower, upper = p.interval(0.9)
    assert metrics.interval_coverage(lower, upper, y) < 0.8


def test_split_conformal_intervals_have_one_width_and_normalised_ones_follow_the_std() -> None:
    p, y, new = regression((2,)), 5 * randn(40, 2, seed=5), regression((2,), seed=1)
    lower, upper = SplitConformal.fit(p, y)(new).interval(0.8)
    torch.testing.assert_close(upper - lower, (upper - lower)[:1].expand(40, 2))
    lower, upper = NormalisedConformal.fit(p, y)(new).interval(0.8)
    ratio = (upper - lower) / new.std
    torch.testing.assert_close(ratio, ratio[:1].expand(40, 2))
    torch.testing.assert_close(SplitConformal.fit(p, y)(new).mean, new.mean)


def test_normalised_intervals_stay_wide_where_the_epistemic_std_is_large() -> None:
    # the noise is the same everywhere and the draws differ more and more with x
    x = torch.linspace(0, 8, 33, dtype=torch.float64)
    new = RegressionPrediction(samples=(x * randn(50, 1)).unsqueeze(-1), noise=torch.tensor(0.3))
    held_out = RegressionPrediction(samples=0.1 * randn(50, 60, 1), noise=torch.tensor(0.3))
    lower, upper = NormalisedConformal.fit(held_out, 0.3 * randn(60, 1, seed=1))(new).interval(0.9)
    width = (upper - lower).flatten()
    assert bool((width.diff() > 0).all())
    assert float(width[-1] / width[0]) == pytest.approx(float(new.std[-1] / new.std[0]))
    assert float(width[-1] / width[0]) > 10


@pytest.mark.parametrize("kind", CONFORMAL)
def test_ends_are_the_errors_of_the_right_rank(kind: type[Any]) -> None:
    p, y = regression((1,)), 5 * randn(40, 1, seed=5)
    calibrated = kind.fit(p, y)(p)
    unit = p.std if kind is NormalisedConformal else torch.ones_like(p.std)
    errors = ((y - p.mean) / unit).flatten().tolist()
    for level, rank in ((0.5, 21), (0.9, 37), (0.975, 40), (0.1, 4), (0.025, 1), (20 / 41, 20)):
        expected = p.mean + unit * sorted(errors)[rank - 1]
        torch.testing.assert_close(calibrated.quantile(level), expected)


@pytest.mark.parametrize(("count", "level"), [(19, 0.9), (39, 0.95), (199, 0.99), (3, 0.5)])
def test_just_enough_held_out_data(count: int, level: float) -> None:
    enough = SplitConformal(torch.arange(float(count)).reshape(-1, 1))
    lower, upper = enough(regression((1,))).interval(level)
    torch.testing.assert_close(upper - lower, torch.full((40, 1), float(count - 1), dtype=torch.float64))
    with pytest.raises(ValueError, match=rf"needs at least {count} held-out data, and there were {count - 1}"):
        SplitConformal(torch.arange(float(count - 1)).reshape(-1, 1))(regression((1,))).interval(level)


@pytest.mark.parametrize("kind", CONFORMAL)
def test_what_conformal_intervals_refuse(kind: type[Any]) -> None:
    p, labels = classification()
    with pytest.raises(TypeError, match=rf"{kind.__name__} needs .* ClassificationPrediction has no mean"):
        kind.fit(p, labels)
    calibrator = kind.fit(regression((2,)), randn(40, 2, seed=5))
    with pytest.raises(ValueError, match=r"fitted to outputs of shape \(2,\), and the prediction has \(1,\)"):
        calibrator(regression((1,)))
    with pytest.raises(ValueError, match=r"predictions have shape \(40, 2\), but the targets have shape \(40,\)"):
        kind.fit(regression((2,)), torch.zeros(40))
    with pytest.raises(ValueError, match="scores holds 1 values that are NaN or infinite"):
        kind(torch.tensor([1.0, math.inf]))
    calibrated = calibrator(regression((2,)))
    for name in ("std", "epistemic", "log_prob", "crps", "cdf", "samples"):
        with pytest.raises(AttributeError, match=rf"has no '{name}', only mean, quantile and interval"):
            getattr(calibrated, name)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="an interval's level must lie strictly between 0 and 1"):
            calibrated.interval(level)
        with pytest.raises(ValueError, match="a quantile's level must lie strictly between 0 and 1"):
            calibrated.quantile(level)


def test_errors_cannot_be_measured_by_a_spread_of_zero() -> None:
    sure = RegressionPrediction(samples=torch.zeros(2, 3, 1), noise=torch.tensor(0.0))
    with pytest.raises(ValueError, match=r"the predicted std must be positive .* use SplitConformal"):
        NormalisedConformal.fit(sure, torch.ones(3, 1))
    SplitConformal.fit(sure, torch.ones(3, 1))


# -- sets of labels


@pytest.mark.parametrize(("count", "level"), [(9, 0.9), (30, 0.8), (25, 0.5)])
def test_sets_hold_the_right_label_over_many_calibrations(count: int, level: float) -> None:
    repeats = 1500
    p, y = classification(rows=repeats * (count + 1), samples=1)
    wrong = 3 * p.samples.reshape(1, repeats, count + 1, 3)  # much too sure
    labels = y.reshape(repeats, count + 1)
    hits = 0
    for i in range(repeats):
        held_out, new = ClassificationPrediction(wrong[:, i, :-1]), ClassificationPrediction(wrong[:, i, -1:])
        sets = ConformalSets.fit(held_out, labels[i, :-1])(new).labels(level)
        hits += bool(sets[0, labels[i, -1]])
    error = 3 * math.sqrt(level * (1 - level) / repeats)
    assert level - error <= hits / repeats <= level + 1 / (count + 1) + error


def test_sets_hold_all_labels_that_are_probable_enough() -> None:
    p, y = classification(rows=99)
    sets = ConformalSets.fit(p, y)(p)
    threshold = sorted(p.probs.gather(1, y.unsqueeze(1)).flatten().tolist())[9]  # 90 of 99 labels are as probable
    assert torch.equal(sets.labels(0.9), p.probs >= threshold)
    assert torch.equal(sets.label, p.label)
    assert bool((sets.labels(0.5) <= sets.labels(0.95)).all())  # nested


def test_what_sets_refuse() -> None:
    p, y = classification()
    calibrator = ConformalSets.fit(p, y)
    with pytest.raises(TypeError, match=r"ConformalSets needs .* RegressionPrediction has no probs"):
        ConformalSets.fit(regression(), y)  # type: ignore[arg-type]
    several, labels = classification(positions=(2,))
    with pytest.raises(ValueError, match=r"one label a row, got shape \(400, 2\)"):
        ConformalSets.fit(several, labels)
    with pytest.raises(ValueError, match=r"one label a row, and probs have shape \(400, 2, 3\)"):
        calibrator(several)
    with pytest.raises(ValueError, match=r"labels must lie in 0…2"):
        ConformalSets.fit(p, y + 1)
    with pytest.raises(ValueError, match="needs at least 99 held-out data, and there were 98"):
        ConformalSets(torch.rand(98))(p).labels(0.99)
    assert bool(ConformalSets(torch.rand(99).clamp_max(1e-9))(p).labels(0.99).all())
    with pytest.raises(ValueError, match="the level of a set must lie strictly between 0 and 1, got 1"):
        calibrator(p).labels(1)
    with pytest.raises(AttributeError, match="has no 'entropy', only probs, label and labels"):
        getattr(calibrator(p), "entropy")  # noqa: B009
    with pytest.raises(ValueError, match=r"chosen must lie within 0…1"):
        ConformalSets(torch.tensor([0.5, 2.0]))


# -- all calibrators


def all_calibrators() -> list[tuple[Calibrator, Any]]:
    p, y = regression(), 5 * randn(40, 2, seed=5)
    classes, labels = classification()
    numeric: list[type[Any]] = [StdScaling, IsotonicQuantiles, *CONFORMAL]
    fitted: list[tuple[Calibrator, Any]] = [(kind.fit(p, y), p) for kind in numeric]
    return [*fitted, *((kind.fit(classes, labels), classes) for kind in (TemperatureScaling, ConformalSets))]


@pytest.mark.parametrize("i", range(6))
def test_a_calibrator_is_rebuilt_from_its_arguments(i: int) -> None:
    calibrator, p = all_calibrators()[i]
    arguments = calibrator.arguments()
    assert arguments
    assert all(isinstance(value, (float, Tensor)) for value in arguments.values())
    assert all(value.dtype == torch.float64 for value in arguments.values() if isinstance(value, Tensor))

    def said(one: Calibrator) -> tuple[Tensor, ...]:
        calibrated = one(p)
        if hasattr(calibrated, "interval"):
            return tuple(calibrated.interval(0.9))
        return (calibrated.labels(0.9) if hasattr(calibrated, "labels") else calibrated.probs,)

    for same in (type(calibrator)(**arguments), copy.deepcopy(calibrator), pickle.loads(pickle.dumps(calibrator))):
        for mine, its in zip(said(calibrator), said(same), strict=True):
            assert torch.equal(mine, its)
    with pytest.raises(AttributeError):
        calibrator.anything = 1  # type: ignore[attr-defined]
    assert len(repr(calibrator)) < 200
    calibrated = calibrator(p)
    assert type(copy.deepcopy(calibrated)) is type(calibrated)


def test_calibrators_can_follow_each_other() -> None:
    p, y, new = regression((1,)), 5 * randn(40, 1, seed=5), regression((1,), seed=1)
    scaling = StdScaling.fit(p, y)
    after = NormalisedConformal.fit(scaling(p), y)(scaling(new))
    # errors are measured in standard deviations, and a factor on these changes nothing
    for mine, its in zip(after.interval(0.9), NormalisedConformal.fit(p, y)(new).interval(0.9), strict=True):
        torch.testing.assert_close(mine, its)


def test_predictions_of_any_distribution_are_calibrated() -> None:
    rows, count = 30_000, 10_000
    scale = 0.5 + randn(rows, 1).abs()
    y = 2 + scale * torch.empty_like(scale).exponential_(generator=torch.Generator().manual_seed(1))
    wrong = Exponential(
        2 - 0.5 * scale, 0.5 * scale
    )  # as if its spread had to be doubled around a mean that is too low
    held_out, new = (
        Exponential(wrong.loc[:count], wrong.scale[:count]),
        Exponential(wrong.loc[count:], wrong.scale[count:]),
    )
    kinds: list[type[Any]] = [IsotonicQuantiles, *CONFORMAL]
    for kind in kinds:
        lower, upper = kind.fit(held_out, y[:count])(new).interval(0.9)
        assert metrics.interval_coverage(lower, upper, y[count:]) == pytest.approx(0.9, abs=0.015)
    scaled = StdScaling.fit(held_out, y[:count])(new)
    torch.testing.assert_close(scaled.mean, new.mean)
    # E[(y − mean)²/std²] of y − mean = scale·E with a std of scale/2: 4·E[E²] = 8
    torch.testing.assert_close(scaled.std / new.std, torch.full_like(new.std, math.sqrt(8)), rtol=0.05, atol=0)
