"""Predictions of which mean and standard deviation are known, and no draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from torch import Tensor

from yuragi.predictions.regression import RegressionPrediction


@dataclass(frozen=True, eq=False)
class MomentPrediction(RegressionPrediction):
    """The Gaussian with the mean and standard deviation of y: what is left of a mixture whose draws were not kept.

    `mean`, `std`, `epistemic` and `aleatoric` are those of the mixture; quantiles, intervals and scores are the Gaussian's.
    `samples` holds the mean, and `noise` the standard deviation of y, each [1, N, *out].

    Example:
        >>> import torch
        >>> mean, epistemic, aleatoric = torch.zeros(2, 1), torch.full((2, 1), 0.3), torch.full((2, 1), 0.4)
        >>> p = MomentPrediction.of(mean, epistemic, aleatoric)
        >>> p.std[0].item(), p.epistemic[0].item(), p.aleatoric[0].item()
        (0.5, 0.30000001192092896, 0.4000000059604645)
    """

    between: Tensor
    """Standard deviation of E[y∣w] over the weights, [1, N, *out]."""

    @classmethod
    def of(cls, mean: Tensor, epistemic: Tensor, aleatoric: Tensor) -> Self:
        """From three tensors [N, *out]."""
        return cls(mean.unsqueeze(0), noise=epistemic.hypot(aleatoric).unsqueeze(0), between=epistemic.unsqueeze(0))

    @cached_property
    def epistemic(self) -> Tensor:
        """Standard deviation of E[y∣w] over the weights, [N, *out]."""
        return self.between[0]

    @cached_property
    def aleatoric(self) -> Tensor:
        """Standard deviation of y if the weights were known, [N, *out]."""
        return (self.noise[0].square() - self.between[0].square()).clamp_min(0).sqrt()

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of y, [N, *out]: std² = epistemic² + aleatoric²."""
        return self.noise[0]

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> Self:
        """The prediction of loc + scale·y, scale > 0, in float64."""
        return replace(super().rescaled(loc, scale), between=self._exact(self.between) * scale)
