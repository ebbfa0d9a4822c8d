"""Predictions of counts: mixtures of Poisson and of negative binomial distributions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from yuragi.predictions import mixtures
from yuragi.predictions.prediction import IntegratedCRPS


@dataclass(frozen=True, eq=False)
class CountPrediction(IntegratedCRPS):
    """A mixture of distributions of counts, for each of N inputs: what those families have in common.

    Quantiles are whole numbers. The CRPS is E∣Y − y∣, in closed form, less half the mean difference of two independent Y,
    which is summed over the whole numbers where there are few, and else over cells of them: exact to 1e-4 of `std`.
    """

    def quantile(self, level: float) -> Tensor:
        """The smallest whole number that y does not exceed with probability `level` at least, [N, *out]."""
        _, high = mixtures.cantelli(self._exact(self.mean), self._exact(self.std), level)
        found = mixtures.integer_quantile(lambda y: self._draw_cdf(y).mean(0), level, high)
        return found.to(self.samples)

    def _integrated_half_difference(self) -> Tensor:
        samples = self._exact(self.samples)
        edges = mixtures.whole_edges(
            samples, self._exact(self.draw_std)
        )  # a cell holds what lies above one, up to the next
        below, missing = self._draw_cdf(edges), self._draw_missing(edges)
        mass = torch.cat([below, torch.ones_like(below[:1])]).diff(dim=0)
        moment = torch.cat([missing, torch.zeros_like(below[:1])]).diff(dim=0)  # Σ (m − k) P(k) over the cell
        points = mixtures.cell_means(samples, mass, moment, edges + 1)
        return mixtures.half_difference(points.flatten(0, 1), (mass / len(samples)).flatten(0, 1))

    def _draw_log_prob(self, y: Tensor) -> Tensor:
        whole = y.round().clamp_min(0)
        return torch.where((y == y.round()) & (y >= 0), self._draw_log_mass(whole), -torch.inf)

    def _draw_cdf(self, y: Tensor) -> Tensor:
        whole = y.floor()
        return torch.where(whole < 0, 0.0, self._draw_mass_up_to(whole.clamp_min(0)))

    def _draw_deviation(self, y: Tensor) -> Tensor:
        """E∣Y − y∣ of each draw."""
        return (y - self._exact(self.samples)) * (2 * self._draw_cdf(y) - 1) + 2 * self._draw_missing(y)

    def _draw_missing(self, y: Tensor) -> Tensor:
        """Σ_{k≤y} (m − k) P(Y = k) of each draw."""
        whole = y.floor()
        return torch.where(whole < 0, 0.0, self._draw_partial_moment(whole.clamp_min(0)))

    @abstractmethod
    def _draw_log_mass(self, y: Tensor) -> Tensor:
        """log P(Y = y) of each draw, for whole y from 0 on."""

    @abstractmethod
    def _draw_mass_up_to(self, y: Tensor) -> Tensor:
        """P(Y ≤ y) of each draw, for whole y from 0 on."""

    @abstractmethod
    def _draw_partial_moment(self, y: Tensor) -> Tensor:
        """Σ_{k≤y} (m − k) P(Y = k) of each draw, for whole y from 0 on."""


@dataclass(frozen=True, eq=False)
class PoissonPrediction(CountPrediction):
    """A mixture of Poisson distributions with means λ_s(x) = `samples`, s = 1…S, for each of N inputs.

    Example:
        >>> p = PoissonPrediction(samples=torch.tensor([[1.0], [4.0]]))
        >>> p.mean.item(), p.epistemic.item(), round(p.aleatoric.item(), 4)  # √2.5
        (2.5, 1.5, 1.5811)
        >>> p.quantile(0.9).item()
        6.0
    """

    @property
    def draw_std(self) -> Tensor:
        """√λ_s, [S, N, *out]."""
        return self.samples.sqrt()

    def _draw_log_mass(self, y: Tensor) -> Tensor:
        rate = self._exact(self.samples)
        return torch.xlogy(y, rate) - rate - torch.lgamma(y + 1)

    def _draw_mass_up_to(self, y: Tensor) -> Tensor:
        rate = self._exact(self.samples)
        mass: Tensor = torch.special.gammaincc(*torch.broadcast_tensors(y + 1, rate))
        return mass

    def _draw_partial_moment(self, y: Tensor) -> Tensor:
        return self._exact(self.samples) * self._draw_log_mass(y).exp()


@dataclass(frozen=True, eq=False)
class NegativeBinomialPrediction(CountPrediction):
    """A mixture of negative binomial distributions with means m_s(x) = `samples`, s = 1…S, for each of N inputs.

    Example:
        >>> p = NegativeBinomialPrediction(samples=torch.tensor([[2.0]]), dispersion=torch.tensor(0.5))
        >>> p.mean.item(), p.std.item()  # variance 2 + 0.5·2²
        (2.0, 2.0)
    """

    dispersion: Tensor
    """α > 0, broadcastable to `samples`: the variance of y is m + α·m²."""

    @property
    def draw_std(self) -> Tensor:
        """√(m_s + α·m_s²), [S, N, *out]."""
        return (self.samples + self.dispersion * self.samples.square()).sqrt()

    def _draw_log_mass(self, y: Tensor) -> Tensor:
        mean, dispersion = self._exact(self.samples), self._exact(self.dispersion)
        count = 1 / dispersion
        constant = torch.lgamma(y + count) - torch.lgamma(count) - torch.lgamma(y + 1)
        return constant + torch.xlogy(y, dispersion * mean) - (y + count) * torch.log1p(dispersion * mean)

    def _draw_mass_up_to(self, y: Tensor) -> Tensor:
        mean, dispersion = self._exact(self.samples), self._exact(self.dispersion)
        odds = dispersion * mean
        return mixtures.beta_cdf(1 / dispersion, y + 1, 1 / (1 + odds), odds / (1 + odds))

    def _draw_partial_moment(self, y: Tensor) -> Tensor:
        odds = self._exact(self.dispersion) * self._exact(self.samples)
        return (y + 1) * self._draw_log_mass(y + 1).exp() * (1 + odds)
