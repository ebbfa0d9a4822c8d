"""A Normal with a full covariance matrix, for a layer or a small network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.flat import around, pieces
from yuragi.normals import fresh
from yuragi.posteriors.posterior import (
    CorrelatedDistribution,
    Posterior,
    inverse_softplus,
    positive_scale,
)
from yuragi.priors import Multivariate, Prior
from yuragi.weights import Weight

_MOST_WEIGHTS = 8192  # half a gigabyte a member with its gradient and Adam's two moments


class FullCovariance(Posterior):
    """Normal with covariance L Lᵀ over all Bayesian weights; L is lower triangular, its diagonal softplus(ρ).

    P weights have P(P + 1)/2 spreads: choose a layer with `bayesianize(..., where=)`, or with `posteriors.PerLayer`.
    Opper & Archambeau, "The variational Gaussian approximation revisited", 2009.

    Args:
        init_scale: standard deviation of every weight before training, > 0; the weights begin independent.

    Raises:
        ValueError: `init_scale` is not positive and finite; from `bayesianize`, there are more than 8,192 weights.

    Example:
        >>> import yuragi as yu
        >>> net = nn.Sequential(nn.Linear(3, 100), nn.ReLU(), nn.Linear(100, 1))
        >>> bnn = yu.bayesianize(net, posterior=FullCovariance(), where="2")  # the last layer
    """

    rho: nn.Parameter
    lower: nn.Parameter

    def __init__(self, init_scale: float = 0.05) -> None:
        super().__init__()
        self.init_scale = positive_scale(init_scale)

    @property
    def independent(self) -> bool:
        """Whether a member's weights are independent: they are not."""
        return False

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Create ρ [K, P] and what is below the diagonal, [K, P(P − 1)/2], row by row."""
        start = prior.initial_sigma(weights, self.init_scale)
        total = len(start)
        if total > _MOST_WEIGHTS:
            raise ValueError(
                f"FullCovariance of {total} weights would hold {total * (total + 1) // 2} numbers a member: it takes "
                f"up to {_MOST_WEIGHTS} weights; choose a layer with where= or posteriors.PerLayer, or use LowRank"
            )
        self.rho = nn.Parameter(inverse_softplus(start).expand(members, -1).clone())
        self.lower = nn.Parameter(start.new_zeros(members, total * (total - 1) // 2))

    def forward(self, means: Sequence[Tensor], members: int) -> FullCovarianceDistribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        total = self.rho.shape[1]
        row, column = torch.tril_indices(total, total, -1, device=self.rho.device)
        root = torch.diag_embed(F.softplus(self.rho))
        member = torch.arange(members, device=self.rho.device).unsqueeze(1)
        return FullCovarianceDistribution(means, members, root.index_put((member, row, column), self.lower))

    def size(self, weights: Sequence[Weight], members: int) -> int:
        """How many numbers `setup` makes for these weights."""
        total = sum(weight.numel for weight in weights)
        return members * total * (total + 1) // 2

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {"init_scale": self.init_scale}


class FullCovarianceDistribution(CorrelatedDistribution):
    """Normal with means μ and covariance root rootᵀ, `root` [K, P, P] lower triangular with a positive diagonal."""

    def __init__(self, means: Sequence[Tensor], members: int, root: Tensor) -> None:
        super().__init__(means, members)
        self.root = root

    @property
    def sigma(self) -> Tensor:
        """Marginal standard deviation of each weight, [K, P], the weights one after another."""
        return self.root.square().sum(2).sqrt()

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights; `generator` is for priors without a closed form."""
        if isinstance(prior, Multivariate):
            return prior.kl_from_correlated(self.means, self.root)
        return super().kl(prior, generator)

    def total_correlation(self) -> Tensor:
        """KL(q‖Π q_i) of each member, [K], nats."""
        return (self.sigma / self.root.diagonal(dim1=1, dim2=2)).log().sum(1)

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """One draw of w − mean for each weight and member, in the shapes of `means`."""
        unit = fresh((*self.root.shape[:2], 1), self.root, generator)
        return pieces((self.root @ unit).squeeze(2), self.means)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]."""
        # draw by draw: one fill of the whole would give other numbers for other S
        rows = [self.root[k] @ fresh(self.root.shape[1:2], self.root, generator) for k in member]
        return around(self.mean, member, torch.stack(rows))
