"""The best mean-field posterior of a linear model without bias under N(0, 1) weights, and how far a fit ended from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.estimators import Estimator

NOISE = 0.5


def linear_model(features: int, estimator: Estimator) -> yu.Bayesian:
    return yu.bayesianize(
        nn.Linear(features, 1, bias=False),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(),
        estimator=estimator,
        seed=0,
    )


def from_the_optimum(bnn: yu.Bayesian, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of each weight, the distance of the mean in standard deviations, and the log ratio of the standard deviations."""
    precision = x.T @ x / NOISE**2 + torch.eye(x.shape[1])
    mean = torch.linalg.solve(precision, x.T @ y / NOISE**2)[:, 0]
    best = precision.diagonal().rsqrt()
    scales = bnn.q().scales
    assert scales is not None
    return (bnn.q().mean[0][0, 0].detach() - mean) / best, (scales[0][0, 0].detach() / best).log()
