"""Scores of probabilistic predictions: arrays in, numbers out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CHUNK = 2**22  # elements of a pairwise table held at once
_EPS = torch.finfo(torch.float64).eps


def gaussian_mixture_log_prob(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """log of an equal-weight mixture of Gaussians at `y`, jointly over the outputs of a datum.

    Args:
        mean: component means, [S, N, *out].
        scale: component standard deviations, > 0, broadcastable to `mean`.
        y: [N, *out].

    Returns:
        [N], nats.

    Raises:
        ValueError: the shapes of `mean` and `y` differ.
    """
    _check(mean, y)
    mean, scale, y = _double(mean), _double(scale), _double(y)
    terms = -0.5 * ((y - mean) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
    joint = terms.flatten(2).sum(2) if terms.dim() > 2 else terms
    return joint.logsumexp(0) - math.log(len(mean))


def gaussian_mixture_cdf(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """P(Y ≤ y) under an equal-weight mixture of Gaussians, for each output: [S, N, *out] gives [N, *out]."""
    _check(mean, y)
    cdf: Tensor = torch.special.ndtr((_double(y) - _double(mean)) / _double(scale))
    return cdf.mean(0)


def gaussian_mixture_quantile(mean: Tensor, scale: Tensor, level: float) -> Tensor:
    """The value below which an equal-weight mixture of Gaussians has probability `level`, for each output.

    Newton's method on the mixture's distribution function inside a bracket, with bisection where its steps do not halve.

    Args:
        mean: component means, [S, N, *out].
        scale: component standard deviations, > 0, broadcastable to `mean`.
        level: probability, strictly between 0 and 1.

    Returns:
        float64 [N, *out].

    Raises:
        ValueError: `level` is out of range.

    Example:
        >>> gaussian_mixture_quantile(torch.zeros(3, 1), torch.ones(3, 1), 0.975)
        tensor([1.9600], dtype=torch.float64)
    """
    if not 0 < level < 1:
        raise ValueError(f"a quantile's level must lie strictly between 0 and 1, got {level}")
    columns = _double(mean).flatten(1), _double(scale).expand_as(mean).flatten(1)
    step = max(1, _CHUNK // len(mean))
    parts = [_quantile(m, s, level) for m, s in zip(*(part.split(step, 1) for part in columns), strict=True)]
    return torch.cat(parts).reshape(mean.shape[1:])


def gaussian_mixture_crps(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """Continuous ranked probability score of an equal-weight mixture of Gaussians; smaller is better, in the units of y.

    CRPS = 1/S Σ_i A(y − μ_i, σ_i²) − 1/(2S²) Σ_ij A(μ_i − μ_j, σ_i² + σ_j²), with
    A(m, v) = 2√v φ(m/√v) + m(2Φ(m/√v) − 1). Grimit et al., "The continuous ranked probability score for circular
    variables and its application to mesoscale forecast ensemble verification", 2006.

    Args:
        mean: component means, [S, N, *out].
        scale: component standard deviations, > 0, broadcastable to `mean`.
        y: [N, *out].

    Returns:
        float64 [N, *out].
    """
    _check(mean, y)
    samples = len(mean)
    variance = _double(scale).square().expand_as(mean).reshape(samples, -1)
    mean, flat = _double(mean).reshape(samples, -1), _double(y).reshape(-1)
    first = _absolute_moment(flat - mean, variance).mean(0)
    step = max(1, _CHUNK // samples**2)
    spreads = [
        _absolute_moment(m[:, None] - m[None], v[:, None] + v[None]).mean((0, 1))
        for m, v in zip(mean.split(step, 1), variance.split(step, 1), strict=True)
    ]
    return (first - 0.5 * torch.cat(spreads)).reshape(y.shape)


def rmse(mean: Tensor, y: Tensor) -> float:
    """Root mean squared error of point predictions; both [N, *out]."""
    _check(mean.unsqueeze(0), y)
    return float((_double(mean) - _double(y)).square().mean().sqrt())


def interval_coverage(lower: Tensor, upper: Tensor, y: Tensor) -> float:
    """Fraction of targets inside their interval, both ends included; all [N, *out]."""
    for end in (lower, upper):
        _check(end.unsqueeze(0), y)
    lower, upper, y = _double(lower), _double(upper), _double(y)
    return float(((lower <= y) & (y <= upper)).double().mean())


def entropy(probs: Tensor) -> Tensor:
    """Entropy of class probabilities [..., C], nats: [...]."""
    terms: Tensor = torch.special.entr(probs)
    return terms.sum(-1)


def mutual_information(probs: Tensor) -> Tensor:
    """Information about the weights that the label would give: entropy of the mean less mean entropy, nats.

    Houlsby et al., "Bayesian active learning for classification and preference learning", 2011.

    Args:
        probs: class probabilities of each draw, [S, N, ..., C].

    Returns:
        [N, ...], never negative.
    """
    return (entropy(probs.mean(0)) - entropy(probs).mean(0)).clamp_min(0)


def variation_ratio(probs: Tensor) -> Tensor:
    """Share of draws that would give another label than the most frequent one: 0 where all agree, below 1 − 1/C.

    Freeman, "Elementary applied statistics", 1965.

    Args:
        probs: class probabilities of each draw, [S, N, ..., C].

    Returns:
        [N, ...].

    Example:
        >>> variation_ratio(torch.tensor([[[0.9, 0.1]], [[0.6, 0.4]], [[0.4, 0.6]], [[0.7, 0.3]]]))
        tensor([0.2500])
    """
    votes = torch.nn.functional.one_hot(probs.argmax(-1), probs.shape[-1])
    return 1 - votes.sum(0).amax(-1).to(probs.dtype) / len(probs)


def expected_calibration_error(probs: Tensor, y: Tensor, bins: int = 15) -> float:
    """Gap between confidence and accuracy, averaged over bins of confidence of equal width; smaller is better.

    ECE = Σ_b n_b/N · |accuracy of b − mean confidence of b|, where confidence is the probability of the most probable
    class, and bin b = 1…B holds those in ((b − 1)/B, b/B]. Guo et al., "On calibration of modern neural networks", 2017.

    Args:
        probs: class probabilities, [N, ..., C].
        y: labels, integers [N, ...].
        bins: B.

    Raises:
        ValueError: the shapes do not agree, there are no data, or `bins` is less than 1.

    Example:
        >>> probs = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])
        >>> round(expected_calibration_error(probs, torch.tensor([0, 1, 1])), 4)  # (2·|1/2 − 0.8| + |1 − 0.6|)/3
        0.3333
    """
    if probs.shape[:-1] != y.shape or not y.numel():
        raise ValueError(
            f"probs have shape {tuple(probs.shape)}, so the labels must have shape {tuple(probs.shape[:-1])} with at least "
            f"one datum, got {tuple(y.shape)}"
        )
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    confidence, label = _double(probs).flatten(0, -2).max(-1)
    right = (label == y.flatten().to(label.device)).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64, device=label.device).index_add(0, bin_of, right - confidence)
    return float(gaps.abs().sum() / y.numel())


def accuracy_versus_uncertainty(right: Tensor, uncertainty: Tensor, threshold: float | Tensor) -> Tensor:
    """Share of predictions that are right and certain, or wrong and uncertain; larger is better.

    AvU = (n_AC + n_IU) / (n_AC + n_AU + n_IC + n_IU), where certain means uncertainty ≤ threshold. Krishnan & Tickoo,
    "Improving model calibration with accuracy versus uncertainty optimization", 2020.

    Args:
        right: whether each prediction is right, bool [N, ...].
        uncertainty: of each prediction, as `entropy` or `mutual_information`, [N, ...].
        threshold: one, or several [T] for the curve of AvU.

    Returns:
        float64, of the shape of `threshold`.

    Raises:
        ValueError: the shapes of `right` and `uncertainty` differ, or there are no data.

    Example:
        >>> accuracy_versus_uncertainty(torch.tensor([True, True, False]), torch.tensor([0.1, 0.9, 0.8]), 0.5)
        tensor(0.6667, dtype=torch.float64)
    """
    if right.shape != uncertainty.shape or not right.numel():
        raise ValueError(
            f"right and uncertainty must have one shape, with at least one datum: got {tuple(right.shape)} and "
            f"{tuple(uncertainty.shape)}"
        )
    levels = torch.as_tensor(threshold, device=uncertainty.device)
    certain = uncertainty.flatten() <= levels.unsqueeze(-1)
    return (certain == right.flatten().bool()).double().mean(-1)


def _quantile(mean: Tensor, scale: Tensor, level: float) -> Tensor:
    # [S, P], float64
    at_level: Tensor = mean + scale * torch.special.ndtri(torch.tensor(level, dtype=torch.float64))
    low, high = at_level.amin(0), at_level.amax(0)  # the mixture's quantile lies between those of its components
    x, step = at_level.mean(0), high - low
    for _ in range(200):
        unit = (x - mean) / scale
        excess = torch.special.ndtr(unit).mean(0) - level
        density = (torch.exp(-0.5 * unit.square()) / scale).mean(0) / math.sqrt(2 * math.pi)
        low, high = torch.where(excess < 0, x, low), torch.where(excess > 0, x, high)
        newton = x - excess / density
        # False for the NaN of a vanishing density; steps that do not halve could go back and forth for ever
        good = (newton >= low) & (newton <= high) & ((newton - x).abs() <= 0.5 * step)
        following = torch.where(good, newton, 0.5 * (low + high))
        x, step = following, (following - x).abs()
        if bool((step <= 1e-12 * scale.amin(0) + _EPS * x.abs()).all()):
            break
    return x


def _absolute_moment(m: Tensor, v: Tensor) -> Tensor:
    # E|X| for X ~ N(m, v)
    s = v.sqrt()
    unit = m / s
    return s * math.sqrt(2 / math.pi) * torch.exp(-0.5 * unit.square()) + m * torch.erf(unit / math.sqrt(2))


def _check(mean: Tensor, y: Tensor) -> None:
    if mean.shape[1:] != y.shape:
        raise ValueError(f"predictions have shape {tuple(mean.shape[1:])}, but the targets have shape {tuple(y.shape)}")


def _double(values: Tensor) -> Tensor:
    # Apple's accelerator has no float64: there the scores are computed, and returned, on the CPU
    return (values.cpu() if values.device.type == "mps" else values).double()
