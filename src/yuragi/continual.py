"""Continual learning: the posterior of the data so far as the prior of the data to come."""

from __future__ import annotations

import torch

from yuragi.bayesian import Bayesian
from yuragi.posteriors.full_covariance import FullCovarianceDistribution
from yuragi.posteriors.mean_field import MeanFieldDistribution
from yuragi.priors import Multivariate, PerWeight, Prior


def why_not_a_prior(bnn: Bayesian) -> str | None:
    """Why the posterior of this network cannot be a prior; None where it can.

    Example:
        >>> import yuragi as yu
        >>> print(why_not_a_prior(yu.bayesianize(torch.nn.Linear(1, 1), posterior=yu.posteriors.Anchored(), members=2)))
        its members are points, which have no density that could be a prior
    """
    q = bnn.q()
    if q.is_points:
        return "its members are points, which have no density that could be a prior"
    if bnn.members > 1:
        return f"it is a mixture of {bnn.members} members, each fitted to all data: they are not one posterior"
    if not isinstance(q, (MeanFieldDistribution, FullCovarianceDistribution)):
        return f"there is no prior of the form of {type(bnn.posterior).__name__}"
    return None


@torch.no_grad()
def posterior_to_prior(bnn: Bayesian) -> None:
    """Make the posterior of a network its prior, so that a `fit` to further data learns from them in the light of the past.

    By Bayes' rule p(w∣D₁, D₂) ∝ p(D₂∣w) p(w∣D₁): with an exact posterior the batches may come in any order. With an
    approximate one this is variational continual learning; Nguyen et al., "Variational continual learning", 2018. What is
    no Bayesian weight, as a learned noise, has no posterior, and the past does not hold it: freeze it first.

    Args:
        bnn: a network with one member, whose posterior is `posteriors.MeanField` or `posteriors.FullCovariance`; its prior
            is replaced, and it is left as it is otherwise.

    Raises:
        ValueError: its posterior cannot be a prior; the message says why.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(torch.nn.Linear(3, 1), likelihood=yu.Gaussian(0.1), estimator="local")
        >>> posterior_to_prior(bnn)
        >>> bnn.prior, round(bnn.kl().item(), 4)
        (PerWeight(), 0.0)
    """
    reason = why_not_a_prior(bnn)
    if reason is not None:
        raise ValueError(
            f"this posterior cannot become the prior of further data: {reason}; use one member of posteriors.MeanField or "
            "posteriors.FullCovariance"
        )
    q = bnn.q()
    mean = torch.cat([part.flatten() for part in q.mean])
    prior: Prior
    if isinstance(q, FullCovarianceDistribution):
        prior = Multivariate()
        prior.setup(bnn.weights, 1)
        prior.become(mean, q.root[0])
    else:
        assert q.sigma is not None
        prior = PerWeight()
        prior.setup(bnn.weights, 1)
        prior.become(mean, q.sigma[0])
    bnn.prior = prior.train(bnn.training)
