"""Equal-weight mixtures of Gaussians: density, distribution function, quantiles and CRPS."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from yuragi.metrics.checks import check_level, check_targets, double

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
    check_targets(mean, y)
    mean, scale, y = double(mean), double(scale), double(y)
    terms = -0.5 * ((y - mean) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
    joint = terms.flatten(2).sum(2) if terms.dim() > 2 else terms
    return joint.logsumexp(0) - math.log(len(mean))


def moment_matched_log_prob(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """log density at `y` of the one Gaussian that has the mixture's mean and variance, output by output.

    N(m, v) with m = 1/S Σ_s μ_s and v = 1/S Σ_s σ_s² + 1/S Σ_s (μ_s − m)² (law of total variance), independent over the
    outputs of a datum. Papers that summarise an ensemble by one Gaussian report this number. Lakshminarayanan et al.,
    "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017.

    Args:
        mean: component means, [S, N, *out].
        scale: component standard deviations, > 0, broadcastable to `mean`.
        y: [N, *out].

    Returns:
        float64 [N], nats.

    Raises:
        ValueError: the shapes of `mean` and `y` differ.

    Example:
        >>> two = torch.tensor([[-1.0], [1.0]])
        >>> moment_matched_log_prob(two, torch.tensor(1.0), torch.tensor([0.0]))  # of N(0, 2)
        tensor([-1.2655], dtype=torch.float64)
    """
    check_targets(mean, y)
    mean, scale, y = double(mean), double(scale), double(y)
    variance = scale.square().expand_as(mean).mean(0) + mean.var(0, correction=0)
    terms = -0.5 * ((y - mean.mean(0)).square() / variance + variance.log() + math.log(2 * math.pi))
    return terms.flatten(1).sum(1) if terms.dim() > 1 else terms


def gaussian_mixture_cdf(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """P(Y ≤ y) under an equal-weight mixture of Gaussians, for each output: [S, N, *out] gives [N, *out]."""
    check_targets(mean, y)
    cdf: Tensor = torch.special.ndtr((double(y) - double(mean)) / double(scale))
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
    check_level("a quantile's level", level)
    columns = double(mean).flatten(1), double(scale).expand_as(mean).flatten(1)
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
    check_targets(mean, y)
    samples = len(mean)
    variance = double(scale).square().expand_as(mean).reshape(samples, -1)
    mean, flat = double(mean).reshape(samples, -1), double(y).reshape(-1)
    first = _absolute_moment(flat - mean, variance).mean(0)
    step = max(1, _CHUNK // samples**2)
    spreads = [
        _absolute_moment(m[:, None] - m[None], v[:, None] + v[None]).mean((0, 1))
        for m, v in zip(mean.split(step, 1), variance.split(step, 1), strict=True)
    ]
    return (first - 0.5 * torch.cat(spreads)).reshape(y.shape)


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
