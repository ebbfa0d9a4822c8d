"""Numerical parts of predictions: distribution functions that torch lacks, quantiles and mean differences of mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""Of float64 values y, [..., N, *out]: for each part of the mixture, [..., S, N, *out]."""

_CHUNK = 2**20  # values held at once
_EPS = torch.finfo(torch.float64).eps
_ITERATIONS = 100_000
_NOTHING = 1e-12
_REACH = 5.0  # cells go to sinh(5) ≈ 74 scales from the centre of a part
_CELLS, _CELLS_EACH = 2560, 64  # of all parts, and of each at least
_FIRST, _RATIO = 32, 1.1  # counts below the first have cells of their own; those that follow grow by the second


def beta_cdf(a: Tensor, b: Tensor, x: Tensor, complement: Tensor) -> Tensor:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction with Lentz's method.

    Press et al., "Numerical recipes", 1992, §6.4; the number of terms grows as √max(a, b).

    Args:
        a: > 0, float64.
        b: > 0.
        x: between 0 and 1.
        complement: 1 − x, which for x near 1 has digits that x lost.

    Returns:
        Of the shape that the arguments broadcast to.

    Example:
        >>> one, x = torch.ones(1, dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
        >>> beta_cdf(2 * one, one, x, 1 - x)  # x²
        tensor([0.0625], dtype=torch.float64)
    """
    a, b, x, complement = torch.broadcast_tensors(a, b, x, complement)
    flip = x > (a + 1) / (a + b + 2)
    a, b = torch.where(flip, b, a), torch.where(flip, a, b)
    x, complement = torch.where(flip, complement, x), torch.where(flip, x, complement)
    front = torch.xlogy(a, x) + torch.xlogy(b, complement) + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    value = (front.exp() / a) * _continued_fraction(a.flatten(), b.flatten(), x.flatten()).view_as(a)
    return torch.where(flip, 1 - value, value)


def _continued_fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    result = torch.empty_like(x)
    at = torch.arange(len(x), device=x.device)  # what has not converged yet
    c, d = torch.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _ITERATIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d), 1 + even / c
        fraction = fraction * d * c
        d, c = 1 / (1 + odd * d), 1 + odd / c
        change = d * c
        fraction = fraction * change
        if m % 8 == 0:
            going = ((change - 1).abs() > 4 * _EPS).nonzero()[:, 0]
            if len(going) < len(at):
                result[at] = fraction
                a, b, x, c, d, fraction, at = (part[going] for part in (a, b, x, c, d, fraction, at))
                if not len(going):
                    break
    result[at] = fraction
    return result


def tail_mean(excess: Tensor, mass: Tensor) -> Tensor:
    """How far beyond a point the mean of what lies beyond it is, from E(Y − b)⁺ and P(Y > b); 0 where that is nothing."""
    return torch.where(mass > _NOTHING, excess / mass.clamp_min(_NOTHING), 0.0)


def student_t_log_prob(unit: Tensor, df: Tensor) -> Tensor:
    """log density of the standard t with `df` degrees of freedom at `unit`, float64."""
    constant = torch.lgamma(0.5 * (df + 1)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(math.pi * df)
    return constant - 0.5 * (df + 1) * torch.log1p(unit.square() / df)


def student_t_cdf(unit: Tensor, df: Tensor) -> Tensor:
    """P(T ≤ unit) of the standard t with `df` degrees of freedom, float64."""
    square = unit.square()
    half = torch.full_like(square, 0.5)
    tail = 0.5 * beta_cdf(0.5 * df, half, df / (df + square), square / (df + square))
    return torch.where(unit > 0, 1 - tail, tail)


def cantelli(mean: Tensor, std: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Bounds of the quantile of any distribution with this mean and standard deviation: Cantelli's inequality.

    Raises:
        ValueError: `level` is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a quantile's level must lie strictly between 0 and 1, got {level}")
    return mean - std * math.sqrt((1 - level) / level), mean + std * math.sqrt(level / (1 - level))


def continuous_quantile(
    cdf: Function, density: Function, level: float, low: Tensor, high: Tensor, tolerance: Tensor
) -> Tensor:
    """Where a continuous `cdf` with this `density` reaches `level`: Newton's method, with bisection where it fails.

    Args:
        cdf: of the mixture, [N, *out] to [N, *out].
        density: of the mixture.
        level: strictly between 0 and 1.
        low: a bound from below, [N, *out].
        high: a bound from above.
        tolerance: of the result, absolute.

    Returns:
        float64 [N, *out].
    """
    low, high = low - tolerance, high + tolerance
    x, step = 0.5 * (low + high), high - low
    for _ in range(200):
        excess = cdf(x) - level
        low, high = torch.where(excess < 0, x, low), torch.where(excess > 0, x, high)
        newton = x - excess / density(x)
        # False for the NaN of a vanishing density; steps that do not halve could go back and forth for ever
        good = (newton >= low) & (newton <= high) & ((newton - x).abs() <= 0.5 * step)
        following = torch.where(good, newton, 0.5 * (low + high))
        x, step = following, (following - x).abs()
        if bool((step <= tolerance + _EPS * x.abs()).all()):
            break
    return x


def integer_quantile(cdf: Function, level: float, high: Tensor) -> Tensor:
    """The smallest whole number, from 0 on, at which `cdf` is `level` at least: bisection.

    Args:
        cdf: of the mixture, [N, *out] to [N, *out].
        level: strictly between 0 and 1.
        high: a bound from above, [N, *out].

    Returns:
        float64 [N, *out].
    """
    low, high = torch.full_like(high, -1.0), high.ceil() + 1
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        enough = cdf(middle) >= level
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def spaced(location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells that cover all but the tails of each part: sinh-spaced, and between each other's where parts are alike.

    Args:
        location: centre of each part, [S, N, *out].
        scale: its width.

    Returns:
        Middles [M, S, N, *out], their derivatives by the cell's number, and both ends [2, S, N, *out].
    """
    each = cells(len(location))
    width = 2 * _REACH / each
    fraction = _fractions(location).reshape(-1, *[1] * (location.dim() - 1)) - 0.5
    number = torch.arange(each, dtype=torch.float64, device=location.device).reshape(-1, *[1] * location.dim())
    place = width * (number + 0.5 + fraction) - _REACH
    ends = width * (torch.stack([fraction, each + fraction])) - _REACH
    return location + scale * place.sinh(), scale * width * place.cosh(), location + scale * ends.sinh()


def whole_edges(mean: Tensor, std: Tensor) -> Tensor:
    """Whole numbers at which to part the counts of each part of a mixture, from −1 on, in order: [M, S, N, *out]."""
    edges = spaced(mean, std)[0].floor().clamp_min(-1)
    # what is skewed has structure far below its mean
    steps = int(math.log(float(edges.max()) + 2, _RATIO)) + 1
    power = torch.arange(steps, dtype=torch.float64, device=mean.device)[:, None] + _fractions(mean)
    geometric = (_RATIO**power).floor().reshape(steps, len(mean), *[1] * (mean.dim() - 1))
    first = torch.arange(-1, _FIRST, dtype=torch.float64, device=mean.device).reshape(-1, *[1] * mean.dim())
    low = torch.cat([first.expand(-1, len(mean), *[1] * (mean.dim() - 1)), geometric])
    return torch.cat([torch.minimum(low, edges[-1:]), edges]).sort(0).values


def cell_means(mean: Tensor, mass: Tensor, moment: Tensor, first: Tensor) -> Tensor:
    """Mean of the counts in each cell, [M, S, N, *out].

    Args:
        mean: m of the whole distribution, [S, N, *out].
        mass: P of each cell, [M, S, N, *out].
        moment: Σ (m − k) P(k) over it.
        first: its first count; the cell ends before the next one's, and the last never.
    """
    last = torch.cat([first[1:] - 1, torch.full_like(first[:1], torch.inf)])
    means = torch.where(mass > _NOTHING, mean - moment / mass.clamp_min(_NOTHING), first)
    return means.maximum(first).minimum(last.maximum(first))


def half_difference(points: Tensor, weights: Tensor) -> Tensor:
    """½E∣Y − Y'∣ = ∫F(1 − F) of a distribution on weighted points, [G, N, *out] each, in any order: [N, *out]."""
    points, order = points.sort(0)
    below = weights.gather(0, order).cumsum(0)[:-1]
    return (below * (1 - below) * points.diff(dim=0)).sum(0)


def cells(parts: int) -> int:
    """How many cells each of these parts is given."""
    return max(_CELLS_EACH, -(-_CELLS // parts))


def rows_at_once(samples: Tensor) -> int:
    """How many rows of [S, N, *out] to integrate at once."""
    return max(1, _CHUNK // (len(samples) * cells(len(samples)) * samples[0, 0].numel()))


def _fractions(like: Tensor) -> Tensor:
    # of a cell: how far the cells of each part are shifted, lest those of parts that are alike coincide
    return (torch.arange(len(like), dtype=torch.float64, device=like.device) + 0.5) / len(like)
