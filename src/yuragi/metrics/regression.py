"""Scores of numeric predictions: error, intervals, CRPS of draws, and calibration by the probability integral transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yuragi.metrics.checks import check_level, check_no_nan, check_not_empty, check_targets, double

_LEVELS = tuple(step / 20 for step in range(1, 20))


def rmse(mean: Tensor, y: Tensor) -> float:
    """Root mean squared error of point predictions; both [N, *out]."""
    check_targets(mean.unsqueeze(0), y)
    for name, values in (("mean", mean), ("y", y)):
        check_not_empty(name, values)
        check_no_nan(name, values)
    return float((double(mean) - double(y)).square().mean().sqrt())


def sharpness(std: Tensor) -> float:
    """Root mean square of predicted standard deviations [N, *out], in the units of y.

    Among predictions that are calibrated the sharpest are best; alone it says nothing. Gneiting, Balabdaoui & Raftery,
    "Probabilistic forecasts, calibration and sharpness", 2007.

    Raises:
        ValueError: a standard deviation is negative or NaN, or there is none.
    """
    check_not_empty("std", std)
    check_no_nan("std", std)
    if bool((std < 0).any()):
        raise ValueError(f"a standard deviation is never negative, got {float(std.min())}")
    return float(double(std).square().mean().sqrt())


def interval_coverage(lower: Tensor, upper: Tensor, y: Tensor) -> float:
    """Fraction of targets inside their interval, both ends included; all [N, *out]."""
    _check_interval(lower, upper, y)
    lower, upper, y = double(lower), double(upper), double(y)
    return float(((lower <= y) & (y <= upper)).double().mean())


def interval_width(lower: Tensor, upper: Tensor) -> float:
    """Mean width of intervals, in the units of y; both [N, *out]."""
    _check_interval(lower, upper, lower)
    return float((double(upper) - double(lower)).mean())


def interval_score(lower: Tensor, upper: Tensor, y: Tensor, level: float) -> Tensor:
    """Winkler's score of central intervals, smaller is better: their width, and a fine for each target outside.

    (u − l) + 2/α · (l − y)₊ + 2/α · (y − u)₊ with α = 1 − level, smallest in expectation at the true quantiles. Gneiting &
    Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007, eq. 43.

    Args:
        lower: lower ends, [N, *out].
        upper: upper ends, [N, *out].
        y: targets, [N, *out].
        level: probability that the intervals claim to hold.

    Returns:
        float64 [N, *out], in the units of y.

    Raises:
        ValueError: the shapes differ, a value is NaN, a lower end is above its upper one, or `level` is out of range.

    Example:
        >>> interval_score(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.5]), level=0.9)
        tensor([ 1.0000, 11.0000], dtype=torch.float64)
    """
    check_level("an interval's level", level)
    _check_interval(lower, upper, y)
    lower, upper, y = double(lower), double(upper), double(y)
    outside = (lower - y).clamp_min(0) + (y - upper).clamp_min(0)
    return upper - lower + 2 / (1 - level) * outside


def crps_from_draws(draws: Tensor, y: Tensor) -> Tensor:
    """Continuous ranked probability score of the distribution that draws of y came from; smaller is better.

    CRPS ≈ 1/S Σ_i |x_i − y| − 1/(2S(S − 1)) Σ_ij |x_i − x_j|: unbiased whatever S, so it does not favour many draws, and
    below 0 now and then. Ferro, "Fair scores for ensemble forecasts", 2014. The draws are of the target, noise included: not
    `Prediction.samples`, which are of f(x).

    Args:
        draws: [S, N, *out], S ≥ 2.
        y: [N, *out].

    Returns:
        float64 [N, *out], in the units of y.

    Raises:
        ValueError: the shapes differ, a value is NaN, or there is only one draw.

    Example:
        >>> crps_from_draws(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0]))  # 1 − 2/2
        tensor([0.], dtype=torch.float64)
    """
    check_targets(draws, y)
    for name, values in (("draws", draws), ("y", y)):
        check_no_nan(name, values)
    count = len(draws)
    if count < 2:
        raise ValueError(f"the CRPS of draws needs two draws at least, got {count}")
    # centred, so that a large y does not swallow the differences; sorted, Σ_ij |x_i − x_j| is 2 Σ_k (2k − S − 1) x_k
    centred = (double(draws) - double(y)).sort(0).values
    rank = torch.arange(1 - count, count, 2, dtype=torch.float64, device=centred.device)
    spread: Tensor = torch.tensordot(rank, centred, 1) / (count * (count - 1))
    return centred.abs().mean(0) - spread


def randomised_pit(below: Tensor, at: Tensor, seed: int = 0) -> Tensor:
    """Probability integral transform of counts, uniform where the predictions are right: uniform on [P(Y < y), P(Y ≤ y)].

    For continuous predictions the transform is the distribution function at the target itself, `p.cdf(y)`; that of a count
    jumps. Czado, Gneiting & Held, "Predictive model assessment for count data", 2009.

    Args:
        below: P(Y < y) at the targets: of counts, the distribution function at y − 1; [N, *out].
        at: P(Y ≤ y), [N, *out].
        seed: of the random numbers; the global random state is left alone.

    Returns:
        float64 [N, *out].

    Raises:
        ValueError: the shapes differ, a value is no probability, or `below` is above `at`.

    Example:
        >>> pit = randomised_pit(torch.tensor([0.2, 0.5]), torch.tensor([0.3, 0.9]))
        >>> bool((pit >= torch.tensor([0.2, 0.5])).all() and (pit <= torch.tensor([0.3, 0.9])).all())
        True
    """
    check_targets(below.unsqueeze(0), at)
    for name, values in (("below", below), ("at", at)):
        _check_probability(name, values)
    if bool((below > at).any()):
        raise ValueError("below = P(Y < y) is larger than at = P(Y ≤ y) somewhere: are they swapped?")
    below, at = double(below), double(at)
    uniform = torch.rand(at.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(at.device)
    return below + uniform * (at - below)


@dataclass(frozen=True, eq=False)
class QuantileCalibrationCurve:
    """How often targets stay below their predicted quantiles; on the diagonal where the predictions are calibrated."""

    expected: Tensor
    """Levels, [L]."""

    observed: Tensor
    """Share of targets at or below the quantile of that level, [L]."""


def quantile_calibration_curve(pit: Tensor, levels: Sequence[float] = _LEVELS) -> QuantileCalibrationCurve:
    """Observed against expected share of targets at or below the predicted quantiles, pooled over rows and outputs.

    y ≤ quantile(p) just where F(y) ≤ p, so the curve is the distribution function of the probability integral transform.
    Kuleshov, Fenner & Ermon, "Accurate uncertainties for deep learning using calibrated regression", 2018.

    Args:
        pit: the distribution function at the targets, `p.cdf(y)` (of counts, `randomised_pit`), [N, *out].
        levels: expected shares, each between 0 and 1.

    Returns:
        A `QuantileCalibrationCurve`, float64.

    Raises:
        ValueError: `pit` holds no data or what is no probability, or a level is out of range.

    Example:
        >>> quantile_calibration_curve(torch.tensor([0.1, 0.4, 0.45, 0.7]), levels=[0.25, 0.5]).observed
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    _check_probability("pit", pit)
    for level in levels:
        check_level("a quantile's level", level)
    values = double(pit).flatten().sort().values
    expected = torch.tensor(list(levels), dtype=torch.float64, device=values.device)
    below = torch.searchsorted(values, expected, right=True)
    return QuantileCalibrationCurve(expected, below.double() / len(values))


def quantile_calibration_error(pit: Tensor) -> float:
    """Area between the calibration curve of all levels and the diagonal: 0 is calibrated, 1/2 is the worst.

    ∫₀¹ |observed(p) − p| dp, exactly: no levels are chosen. Of N independent data that are calibrated perfectly it is about
    0.31/√N (√(2π)/8 is the mean area under |a Brownian bridge|). "Miscalibration area" in Tran et al., "Methods for
    comparing uncertainty quantifications for material property predictions", 2020.

    Args:
        pit: the distribution function at the targets, `p.cdf(y)` (of counts, `randomised_pit`), [N, *out].

    Raises:
        ValueError: `pit` holds no data or what is no probability.

    Example:
        >>> quantile_calibration_error(torch.tensor([0.5, 0.5]))  # every target at the median: two triangles of 1/8
        0.25
    """
    _check_probability("pit", pit)
    values = double(pit).flatten().sort().values
    ends = torch.cat([values.new_zeros(1), values, values.new_ones(1)])
    observed = torch.arange(len(values) + 1, dtype=torch.float64, device=values.device) / len(values)
    above, under = ends[1:] - observed, ends[:-1] - observed
    return float((above * above.abs() - under * under.abs()).sum() / 2)


def _check_interval(lower: Tensor, upper: Tensor, y: Tensor) -> None:
    for name, end in (("lower", lower), ("upper", upper)):
        check_targets(end.unsqueeze(0), y)
        check_not_empty(name, end)
        check_no_nan(name, end)
    check_no_nan("y", y)
    if bool((lower > upper).any()):
        raise ValueError(
            f"{int((lower > upper).sum())} intervals have a lower end above their upper one: swap the two?"
        )


def _check_probability(name: str, values: Tensor) -> None:
    check_not_empty(name, values)
    check_no_nan(name, values)
    if float(values.min()) < 0 or float(values.max()) > 1:
        raise ValueError(
            f"{name} must hold probabilities, within 0…1, got {float(values.min())}…{float(values.max())}: "
            "give the distribution function at the targets, p.cdf(y)"
        )
