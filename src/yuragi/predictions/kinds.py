"""Which `Prediction` the distribution of a likelihood makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from yuragi.predictions.classification import BinaryPrediction, ClassificationPrediction
from yuragi.predictions.counts import NegativeBinomialPrediction, PoissonPrediction
from yuragi.predictions.prediction import NumericPrediction
from yuragi.predictions.regression import RegressionPrediction, StudentTPrediction

_KINDS: dict[type[Distribution], Callable[[Any, Tensor], NumericPrediction | ClassificationPrediction]] = {
    Normal: lambda p, output: RegressionPrediction(p.loc, p.scale),
    StudentT: lambda p, output: StudentTPrediction(p.loc, p.scale, p.df),
    Poisson: lambda p, output: PoissonPrediction(p.rate),
    NegativeBinomial: lambda p, output: NegativeBinomialPrediction(p.logits.exp() * p.total_count, 1 / p.total_count),
    Categorical: lambda p, output: ClassificationPrediction(output),
    Bernoulli: lambda p, output: BinaryPrediction(torch.stack([torch.zeros_like(p.logits), p.logits], 2)),
}


def prediction_of(output: Tensor, distribution: Distribution) -> NumericPrediction | ClassificationPrediction:
    """The mixture of S distributions p(y∣output), of batch shape [S, N, *out].

    Args:
        output: what the network returned, [S, N, ...].
        distribution: what the likelihood makes of it.

    Raises:
        TypeError: there is no `Prediction` for a distribution of this kind.
    """
    kind = next((kind for kind in _KINDS if isinstance(distribution, kind)), None)
    if kind is None:
        raise TypeError(f"there is no Prediction for a likelihood whose distribution is {type(distribution).__name__}")
    return _KINDS[kind](distribution, output)
