"""Predictions that are quantiles at a few levels, with what is assumed between and beyond them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from yuragi.metrics.checks import check_level
from yuragi.predictions.prediction import NumericPrediction


@dataclass(frozen=True, eq=False)
class QuantilePrediction(NumericPrediction):
    """Quantiles at L levels; between neighbours the density is taken to be constant, beyond the outermost exponential.

    The tails go on from the density beside them. `quantile` and `interval` say at the given levels what was predicted, and
    elsewhere, as `mean`, `std`, `log_prob`, `cdf` and `crps` do everywhere, what those assumptions make of it. There are
    no draws: `samples` is the mean, `epistemic` is 0 and all of `std` is in `aleatoric`, since quantiles alone do not tell
    what more data would change. Make one with `of`.

    Example:
        >>> p = QuantilePrediction.of(torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1), [0.25, 0.5, 0.75])
        >>> p.mean.item(), [end.item() for end in p.interval(0.5)]
        (0.0, [-1.0, 1.0])
        >>> round(p.quantile(0.9).item(), 4)  # 1 + log(0.25/0.1), in the tail
        1.9163
    """

    quantiles: Tensor
    """[L, N, *out], float64, increasing along the first axis."""

    levels: tuple[float, ...]
    """L levels, increasing, strictly between 0 and 1."""

    @classmethod
    def of(cls, quantiles: Tensor, levels: Sequence[float], provenance: Mapping[str, Any] | None = None) -> Self:
        """The prediction with these quantiles.

        Args:
            quantiles: [L, N, *out], L at least 2, increasing along the first axis.
            levels: L levels, increasing.
            provenance: how it was made.

        Raises:
            ValueError: a level is out of range, or levels or quantiles do not increase.
        """
        if len(levels) < 2 or len(levels) != len(quantiles):
            raise ValueError(
                f"{len(levels)} levels for {len(quantiles)} quantiles: give two at least, and one for each"
            )
        for level in levels:
            check_level("a quantile's level", level)
        if any(a >= b for a, b in itertools.pairwise(levels)):
            raise ValueError(f"levels must increase, got {tuple(levels)}")
        exact = quantiles.cpu().double() if quantiles.device.type == "mps" else quantiles.double()
        if bool((exact.diff(dim=0) <= 0).any()):
            raise ValueError("the quantiles of a row must increase with the level: spread those that cross or tie")
        made = cls(exact[:1], exact, tuple(levels), provenance=provenance or {})
        return replace(made, samples=made._moments[0].unsqueeze(0))

    @property
    def draw_std(self) -> Tensor:
        """Standard deviation of y, [1, N, *out]."""
        return self._moments[1].sqrt().unsqueeze(0)

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]: as predicted at `levels`, else between them."""
        check_level("a quantile's level", level)
        q, p = self.quantiles, self.levels
        low, high = self._tails
        # levels are computed, as (1 + 0.9) / 2 is, and given as decimals
        near = next((k for k, given in enumerate(p) if abs(given - level) < 1e-9), None)
        if near is not None:
            return q[near]
        if level < p[0]:
            return q[0] + low * torch.tensor(level / p[0], dtype=torch.float64).log()
        if level > p[-1]:
            return q[-1] - high * torch.tensor((1 - level) / (1 - p[-1]), dtype=torch.float64).log()
        k = max(k for k, given in enumerate(p) if given < level)
        return q[k] + (level - p[k]) / (p[k + 1] - p[k]) * (q[k + 1] - q[k])

    def crps(self, y: Any) -> Tensor:
        """Continuous ranked probability score ∫(F(t) − [t ≥ y])² dt at `y`, [N, *out], in closed form; smaller is better."""
        target = self._checked(y)
        q, p = self.quantiles, self._levels
        start, end = p[:-1], p[1:]
        t = torch.minimum(torch.maximum(target, q[:-1]), q[1:])
        at = start + (end - start) * (t - q[:-1]) / q.diff(dim=0)
        inside = (t - q[:-1]) * (start**2 + start * at + at**2) + (q[1:] - t) * (
            (1 - at) ** 2 + (1 - at) * (1 - end) + (1 - end) ** 2
        )
        low, high = self._tails
        below = _tail(q[0] - target, p[0], low)
        above = _tail(target - q[-1], 1 - p[-1], high)
        return inside.sum(0) / 3 + below + above

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> Self:
        """The prediction of loc + scale·y, scale > 0: back to the units that a target was standardised from."""
        if not bool((torch.as_tensor(scale) > 0).all()):
            raise ValueError(f"scale must be positive, got {scale}")
        return type(self).of(self.quantiles * scale + loc, self.levels, self.provenance)

    @property
    def _levels(self) -> Tensor:
        p = torch.tensor(self.levels, dtype=torch.float64, device=self.quantiles.device)
        return p.reshape(-1, *[1] * (self.quantiles.dim() - 1))

    @cached_property
    def _tails(self) -> tuple[Tensor, Tensor]:
        # scales of the exponential tails, [N, *out]: their density at the outermost quantile is that of the cell beside it
        density = self._density
        return self.levels[0] / density[0], (1 - self.levels[-1]) / density[-1]

    @property
    def _density(self) -> Tensor:
        # between neighbours, [L − 1, N, *out]
        return self._levels.diff(dim=0) / self.quantiles.diff(dim=0)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        q, p = self.quantiles, self._levels
        low, high = self._tails
        mass = torch.cat([p[:1], p.diff(dim=0), 1 - p[-1:]])
        centre = torch.cat([(q[0] - low)[None], 0.5 * (q[1:] + q[:-1]), (q[-1] + high)[None]])
        within = torch.cat([low.square()[None], q.diff(dim=0).square() / 12, high.square()[None]])
        mean = (mass * centre).sum(0)
        return mean, (mass * ((centre - mean).square() + within)).sum(0)

    def _draw_log_prob(self, y: Tensor) -> Tensor:
        # [..., N, *out] to [..., 1, N, *out]
        q, density, y = self.quantiles, self._density, y.unsqueeze(-self.quantiles.dim())
        low, high = self._tails
        axis = y.dim() - q.dim()
        cell = (y >= q[1:-1]).sum(axis, keepdim=True)
        inside = density.expand(*y.shape[:axis], *density.shape).gather(axis, cell).log()
        return inside - (q[0] - y).clamp_min(0) / low - (y - q[-1]).clamp_min(0) / high

    def _draw_cdf(self, y: Tensor) -> Tensor:
        q, p, y = self.quantiles, self._levels, y.unsqueeze(-self.quantiles.dim())
        low, high = self._tails
        share = ((y - q[:-1]) / q.diff(dim=0)).clamp(0, 1)
        inside = p[0] + (p.diff(dim=0) * share).sum(y.dim() - q.dim(), keepdim=True)
        below = p[0] * (-(q[0] - y).clamp_min(0) / low).exp()
        above = 1 - (1 - p[-1]) * (-(y - q[-1]).clamp_min(0) / high).exp()
        return torch.where(y < q[0], below, torch.where(y > q[-1], above, inside))


def _tail(beyond: Tensor, mass: Tensor, scale: Tensor) -> Tensor:
    # a tail's part of the CRPS, whose G = mass·exp(−t/scale): ∫G² from the target on, and ∫(1 − G)² up to it
    t = beyond.clamp_min(0)
    left = (-t / scale).exp()
    until = t - 2 * mass * scale * (1 - left) + 0.5 * mass**2 * scale * (1 - left**2)
    return until + 0.5 * mass**2 * scale * left**2
