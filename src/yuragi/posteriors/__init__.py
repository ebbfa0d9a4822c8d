"""Posteriors q(w): what is kept beside the means, and how it is sampled and compared with the prior.

A posterior is an `nn.Module` that holds its own parameters (the means live in the network). Calling it with the means
gives `q`, the distribution over weights at this step, with

    q.mean                    list of [K, *shape]
    q.rsample(generator)      one draw a member, list of [K, *shape], differentiable
    q.kl(prior)               [K], nats
"""

from yuragi.posteriors.anchored import Anchored, AnchoredDistribution
from yuragi.posteriors.full_covariance import FullCovariance
from yuragi.posteriors.low_rank import LowRank
from yuragi.posteriors.mean_field import LargeMeanFieldDistribution, MeanField, MeanFieldDistribution
from yuragi.posteriors.per_layer import PerLayer
from yuragi.posteriors.points import Points, PointsDistribution
from yuragi.posteriors.posterior import Distribution, Posterior

__all__ = [
    "Anchored",
    "AnchoredDistribution",
    "Distribution",
    "FullCovariance",
    "LargeMeanFieldDistribution",
    "LowRank",
    "MeanField",
    "MeanFieldDistribution",
    "PerLayer",
    "Points",
    "PointsDistribution",
    "Posterior",
]
