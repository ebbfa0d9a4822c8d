"""Numerical parts of predictions: distribution functions that torch lacks, quantiles and mean differences of mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""Of float64 values y, [..., N, *out]: for each part of the mixture, [..., S, N, *out]."""

_CHUNK = 2**22  # values of all parts held at once
_EPS = torch.finfo(torch.float64).eps
_ITERATIONS = 100_000
_REACH = 6.0  # nodes go to sinh(6) ≈ 200 scales from the centre of a part; closed forms take over there
_NODES, _NODES_EACH = 400, 16  # of all parts, and of each at least


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
        if bool(((change - 1).abs() <= 4 * _EPS).all()):
            break
    value = front.exp() * fraction / a
    return torch.where(flip, 1 - value, value)


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


def nodes(location: Tensor, scale: Tensor) -> Tensor:
    """Points at which to integrate over a mixture: those of all parts [S, N, *out], in order, [G, N, *out].

    Each part has points at sinh-spaced distances from its centre, and those of alike parts fall between each other.
    """
    parts = len(location)
    each = _each(parts)
    fraction = (torch.arange(parts, dtype=torch.float64, device=location.device) + 0.5) / parts
    place = torch.arange(each, device=location.device)[:, None] + fraction  # [each, S]
    distance = torch.sinh(_REACH * (2 * place / each - 1))
    points = location + scale * distance.reshape(each, parts, *[1] * (location.dim() - 1))
    return points.flatten(0, 1).sort(0).values


def whole_nodes(mean: Tensor, std: Tensor) -> Tensor:
    """The same for counts: whole numbers from 0 on; some stand twice."""
    points = nodes(mean, std).floor().clamp_min(0)
    # a distribution that is skewed has structure far below its mean
    highest = float(points.max())
    low = torch.unique(1.1 ** torch.arange(0, math.log(highest + 2, 1.1), dtype=torch.float64)).floor()
    low = torch.cat([torch.arange(32, dtype=torch.float64), low]).unique().to(points.device)
    low = torch.minimum(low.reshape(-1, *[1] * (points.dim() - 1)), points[-1:])
    return torch.cat([low, points]).sort(0).values


def half_difference(nodes: Tensor, cdf: Function, density: Function, deviation: Function, mean: Tensor) -> Tensor:
    """½E∣Y − Y'∣ = ∫F(1 − F) of a continuous mixture: the trapezoidal rule, corrected by the slopes at its nodes.

    Args:
        nodes: where to evaluate, in order, [G, N, *out].
        cdf: of each part.
        density: of each part.
        deviation: E∣Y − y∣ of each part, from which the tails beyond the nodes are known.
        mean: of the mixture, [N, *out].

    Returns:
        float64 [N, *out].
    """
    below = _mixed(cdf, nodes)
    value, slope = below * (1 - below), _mixed(density, nodes) * (1 - 2 * below)
    step = nodes.diff(dim=0)
    inside = 0.5 * step * (value[1:] + value[:-1]) - step.square() / 12 * slope.diff(dim=0)
    ends = nodes[[0, -1]]
    beyond = 0.5 * (_mixed(deviation, ends) + torch.stack([ends[0] - mean, mean - ends[1]]))
    return inside.sum(0) + beyond.sum(0)


def half_difference_of_counts(
    nodes: Tensor, cdf: Function, mass: Function, deviation: Function, mean: Tensor
) -> Tensor:
    """½E∣Y − Y'∣ = Σ F(1 − F) of a mixture of counts: exact where neighbouring nodes differ by 1.

    Between others by the Euler–Maclaurin formula up to slopes. Arguments as for `half_difference`, with whole nodes from 0.
    """
    below = _mixed(cdf, nodes)
    at, after = _mixed(mass, nodes), _mixed(mass, nodes + 1)
    value = below * (1 - below)
    slope = 0.5 * ((below + after) * (1 - below - after) - (below - at) * (1 - below + at))
    step = nodes.diff(dim=0)
    inside = 0.5 * (step * (value[1:] + value[:-1]) - value.diff(dim=0)) - (step.square() - 1) / 12 * slope.diff(dim=0)
    beyond = 0.5 * (_mixed(deviation, nodes[-1:])[0] + mean - nodes[-1])
    return inside.sum(0) + beyond


def rows_at_once(samples: Tensor) -> int:
    """How many rows of [S, N, *out] to integrate at once."""
    parts = len(samples)
    return max(1, _CHUNK // (parts * _each(parts) * samples[0, 0].numel()))


def _each(parts: int) -> int:
    return max(_NODES_EACH, -(-_NODES // parts))


def _mixed(function: Function, y: Tensor) -> Tensor:
    """The mean over parts at each of [G, N, *out], some at a time."""
    first = function(y[:1].unsqueeze(1))
    step = max(1, _CHUNK // first.numel())
    return torch.cat([first.mean(1), *(function(part.unsqueeze(1)).mean(1) for part in y[1:].split(step))])
