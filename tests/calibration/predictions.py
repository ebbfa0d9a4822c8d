"""Predictions that the tests of calibrators share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from yuragi.prediction import ClassificationPrediction, RegressionPrediction


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regression(out: tuple[int, ...] = (2,), samples: int = 8, rows: int = 40, seed: int = 0) -> RegressionPrediction:
    noise = 0.2 + randn(samples, rows, *out, seed=seed + 1000).abs()
    return RegressionPrediction(samples=2 * randn(samples, rows, *out, seed=seed), noise=noise)


def classification(
    rows: int = 400, classes: int = 3, samples: int = 6, positions: tuple[int, ...] = (), seed: int = 0
) -> tuple[ClassificationPrediction, Tensor]:
    """Logits and labels drawn from softmax of another part of them: neither certain nor unrelated."""
    truth = 2 * randn(rows, classes, *positions, seed=seed)
    logits = truth + 0.5 * randn(samples, rows, classes, *positions, seed=seed + 1000)
    probs = truth.movedim(1, -1).softmax(-1)
    labels = torch.multinomial(probs.reshape(-1, classes), 1, generator=torch.Generator().manual_seed(seed + 2000))
    return ClassificationPrediction(logits), labels.reshape(probs.shape[:-1])


@dataclass(frozen=True, eq=False)
class Exponential:
    """y = loc + scale·E, E ~ Exp(1): no mixture of Gaussians, but with the names that calibrators ask for."""

    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale

    @property
    def std(self) -> Tensor:
        return self.scale

    def cdf(self, y: Any) -> Tensor:
        return -torch.expm1(-((torch.as_tensor(y) - self.loc) / self.scale).clamp_min(0))

    def quantile(self, level: float) -> Tensor:
        return self.loc - self.scale * torch.log1p(torch.tensor(-level, dtype=torch.float64))

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> Self:
        return replace(self, loc=loc + scale * self.loc, scale=scale * self.scale)
