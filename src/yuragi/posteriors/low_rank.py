"""A Normal whose covariance is diagonal plus low rank."""

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
from yuragi.priors import Prior
from yuragi.weights import Weight


class LowRank(Posterior):
    """Normal with covariance diag(σ²) + V Vᵀ over all Bayesian weights, σ = softplus(ρ), V [P, rank].

    Ong, Nott & Smith, "Gaussian variational approximation with a factor covariance structure", 2018.

    Args:
        rank: number of columns of V, at least 1.
        init_scale: marginal standard deviation of every weight before training, > 0; half its square is V's.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> LowRank(rank=5)
        LowRank(rank=5, init_scale=0.05)
    """

    rho: nn.Parameter
    factor: nn.Parameter

    def __init__(self, rank: int = 10, init_scale: float = 0.05) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        self.rank = rank
        self.init_scale = positive_scale(init_scale)

    @property
    def independent(self) -> bool:
        """Whether a member's weights are independent: they are not."""
        return False

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Create ρ [K, P] and V [K, P, rank]; V begins at random, since at zero its gradient would vanish."""
        part = prior.initial_sigma(weights, self.init_scale) / 2**0.5
        self.rho = nn.Parameter(inverse_softplus(part).expand(members, -1).clone())
        columns = torch.randn(members, len(part), self.rank, dtype=part.dtype, device=part.device)
        self.factor = nn.Parameter(columns * part.unsqueeze(1) / self.rank**0.5)

    def forward(self, means: Sequence[Tensor], members: int) -> LowRankDistribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        return LowRankDistribution(means, members, F.softplus(self.rho), self.factor)

    def size(self, weights: Sequence[Weight], members: int) -> int:
        """How many numbers `setup` makes for these weights."""
        return members * sum(weight.numel for weight in weights) * (1 + self.rank)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {"rank": self.rank, "init_scale": self.init_scale}


class LowRankDistribution(CorrelatedDistribution):
    """Normal with means μ and covariance diag(diagonal²) + factor factorᵀ: [K, P] and [K, P, R]."""

    def __init__(self, means: Sequence[Tensor], members: int, diagonal: Tensor, factor: Tensor) -> None:
        super().__init__(means, members)
        self.diagonal, self.factor = diagonal, factor

    @property
    def sigma(self) -> Tensor:
        """Marginal standard deviation of each weight, [K, P], the weights one after another."""
        return (self.diagonal.square() + self.factor.square().sum(2)).sqrt()

    def total_correlation(self) -> Tensor:
        """KL(q‖Π q_i) of each member, [K], nats, by the matrix determinant lemma."""
        scaled = self.factor / self.diagonal.unsqueeze(2)
        inner = scaled.mT @ scaled + torch.eye(scaled.shape[2], dtype=scaled.dtype, device=scaled.device)
        root = torch.linalg.cholesky(inner).diagonal(dim1=1, dim2=2)
        result: Tensor = (self.sigma / self.diagonal).log().sum(1) - root.log().sum(1)
        return result

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """One draw of w − mean for each weight and member, in the shapes of `means`."""
        unit = fresh(self.diagonal.shape, self.diagonal, generator)
        common = fresh((self.members, self.factor.shape[2], 1), self.diagonal, generator)
        return pieces(self.diagonal * unit + (self.factor @ common).squeeze(2), self.means)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]."""
        rows = []
        for k in member:  # draw by draw: one fill of the whole would give other numbers for other S
            unit = fresh(self.diagonal.shape[1:], self.diagonal, generator)
            common = fresh(self.factor.shape[2:], self.diagonal, generator)
            rows.append(self.diagonal[k] * unit + self.factor[k] @ common)
        return around(self.mean, member, torch.stack(rows))
