"""Predictions of continuous targets: mixtures of Gaussians, and of Student-t distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from yuragi import metrics
from yuragi.predictions import mixtures
from yuragi.predictions.prediction import IntegratedCRPS, NumericPrediction


@dataclass(frozen=True, eq=False)
class RegressionPrediction(NumericPrediction):
    """A mixture of Gaussians N(f_s(x), noise_s²), s = 1…S, for each of N inputs.

    All results are [N, *out], in the units of the target, and describe the mixture itself: no single Gaussian is fitted
    to it.

    Example:
        >>> p = RegressionPrediction(samples=torch.tensor([[[1.0]], [[3.0]]]), noise=torch.tensor(0.5))
        >>> p.mean.item(), p.epistemic.item(), p.aleatoric.item()
        (2.0, 1.0, 0.5)
        >>> round(p.std.item(), 4)  # std² = epistemic² + aleatoric²
        1.118
    """

    noise: Tensor
    """Scale of the noise, broadcastable to `samples`: for Gaussians its standard deviation."""

    @property
    def draw_std(self) -> Tensor:
        """Standard deviation of y if the weights were those of a draw, broadcastable to [S, N, *out]."""
        return self.noise

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]."""
        return metrics.gaussian_mixture_quantile(self.samples, self._noise, level).to(self.samples)

    def crps(self, y: Any) -> Tensor:
        """Continuous ranked probability score of the mixture at `y`, [N, *out], in the units of y; smaller is better."""
        return metrics.gaussian_mixture_crps(self.samples, self._noise, self._checked(y))

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> Self:
        """The prediction of loc + scale·y, scale > 0, in float64: back to the units that a target was standardised from."""
        if not bool((torch.as_tensor(scale) > 0).all()):
            raise ValueError(f"scale must be positive, got {scale}")
        # in float32 a mean far from zero would swallow the spread
        samples, noise = self._exact(self.samples), self._exact(self._noise)
        return replace(self, samples=samples * scale + loc, noise=noise * scale)

    def _draw_log_prob(self, y: Tensor) -> Tensor:
        unit, scale = self._unit(y)
        return -0.5 * unit.square() - scale.log() - 0.5 * math.log(2 * math.pi)

    def _draw_cdf(self, y: Tensor) -> Tensor:
        cdf: Tensor = torch.special.ndtr(self._unit(y)[0])
        return cdf

    def _unit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        scale = self._exact(self._noise)
        return (y - self._exact(self.samples)) / scale, scale

    @property
    def _noise(self) -> Tensor:
        return self.noise.expand_as(self.samples)


@dataclass(frozen=True, eq=False)
class StudentTPrediction(IntegratedCRPS, RegressionPrediction):
    """A mixture of Student-t distributions f_s(x) + noise_s·ε, s = 1…S, for each of N inputs.

    Quantiles are found by Newton's method with bisection. The CRPS is E∣Y − y∣, in closed form, less half the mean
    difference of two independent Y, which is integrated numerically: the score is exact to 2e-5 of `std`.

    Example:
        >>> p = StudentTPrediction(samples=torch.zeros(1, 1, 1), noise=torch.tensor(1.0), df=torch.tensor(4.0))
        >>> round(p.std.item(), 4), round(p.quantile(0.95).item(), 4)  # √2, and the quantile of a table
        (1.4142, 2.1318)
    """

    df: Tensor
    """Degrees of freedom, > 2, broadcastable to `samples`."""

    @property
    def draw_std(self) -> Tensor:
        """Standard deviation of y if the weights were those of a draw, noise·√(df/(df − 2)), as `noise`."""
        return self.noise * (self.df / (self.df - 2)).sqrt()

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]."""
        mean, std = self._exact(self.mean), self._exact(self.std)
        low, high = mixtures.cantelli(mean, std, level)
        tolerance = self._exact(self._noise).amin(0) * 1e-12

        def density(y: Tensor) -> Tensor:
            return self._draw_log_prob(y).exp().mean(0)

        found = mixtures.continuous_quantile(lambda y: self._draw_cdf(y).mean(0), density, level, low, high, tolerance)
        return found.to(self.samples)

    def _integrated_half_difference(self) -> Tensor:
        samples = self._exact(self.samples)
        points, widths, ends = mixtures.spaced(samples, self._exact(self._noise))
        # for the whole of a smooth density the trapezoidal rule is exact to many digits
        weights = self._draw_log_prob(points).exp() * widths
        # a tail's mass sits at its mean: E(a − Y)⁺ below a, and E(Y − b)⁺ above b, are ½(E∣Y − a∣ ∓ (m − a))
        below = self._draw_cdf(ends)
        mass = torch.stack([below[0], 1 - below[1]])
        sign = torch.tensor([-1.0, 1.0], dtype=torch.float64, device=samples.device).reshape(-1, *[1] * samples.dim())
        excess = 0.5 * (self._draw_deviation(ends) + sign * (samples - ends))
        tails = ends + sign * mixtures.tail_mean(excess, mass)
        points, weights = torch.cat([points, tails]), torch.cat([weights, mass]) / len(samples)
        return mixtures.half_difference(points.flatten(0, 1), weights.flatten(0, 1))

    def _draw_log_prob(self, y: Tensor) -> Tensor:
        unit, scale = self._unit(y)
        return mixtures.student_t_log_prob(unit, self._exact(self.df)) - scale.log()

    def _draw_cdf(self, y: Tensor) -> Tensor:
        return mixtures.student_t_cdf(self._unit(y)[0], self._exact(self.df))

    def _draw_deviation(self, y: Tensor) -> Tensor:
        """E∣Y − y∣ of each draw."""
        unit, scale = self._unit(y)
        df = self._exact(self.df)
        density = mixtures.student_t_log_prob(unit, df).exp()
        inside = 2 * mixtures.student_t_cdf(unit, df) - 1
        return scale * (unit * inside + 2 * density * (df + unit.square()) / (df - 1))
