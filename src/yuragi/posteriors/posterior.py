"""What every posterior does."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.flat import pieces, split_like
from yuragi.normals import Normals, fresh
from yuragi.posteriors.joint import KLAndForm
from yuragi.priors import Prior
from yuragi.weights import Weight


class Distribution(ABC):
    """q(w) for the current parameters; K members, each a distribution over the same weights."""

    def __init__(self, means: Sequence[Tensor], members: int) -> None:
        self.means = list(means)
        """The parameters that hold the means: [K, *shape] each, and [*shape] where K is 1."""
        self.members = members

    @property
    def mean(self) -> list[Tensor]:
        """μ of each weight, list of [K, *shape]."""
        return self.means if self.members > 1 else [mean.unsqueeze(0) for mean in self.means]

    @property
    def independent(self) -> bool:
        """Whether a member's weights are independent, so that an estimator may give each example a draw of its own."""
        return True

    @property
    @abstractmethod
    def sigma(self) -> Tensor | None:
        """Marginal standard deviation of each weight, [K, P], the weights one after another; None for points."""

    @property
    def scales(self) -> list[Tensor] | None:
        """Marginal standard deviation of each weight, list of [K, *shape]; None for points."""
        return None if self.sigma is None else split_like(self.sigma, self.mean)

    def spreads(self) -> Sequence[Tensor] | None:
        """Marginal standard deviation of each weight, in the shapes of `means`; None for points."""
        return None if self.sigma is None else pieces(self.sigma, self.means)

    def variances(self) -> Sequence[Tensor] | None:
        """Marginal variance of each weight, in the shapes of `means`, where `spreads` should not be squared for it."""
        return None

    @property
    def is_points(self) -> bool:
        """Whether each member is a single point, so that K draws are the whole posterior."""
        return False

    @abstractmethod
    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor] | None:
        """One draw of w − mean for each weight and member, in the shapes of `means`; None where it is zero."""

    @abstractmethod
    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights; `generator` is for priors without a closed form."""

    def joint(self, prior: Prior) -> KLAndForm | None:
        """What makes `kl` and noise of a step in one, where that is possible and pays; see `yuragi.posteriors.joint`."""
        return None

    @abstractmethod
    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]. The draws do not depend on how many are asked for at once."""

    def rsample(self, generator: torch.Generator | None = None) -> list[Tensor]:
        """One draw for each member, list of [K, *shape], differentiable in all parameters."""
        noise = self.noise(generator)
        if noise is None:
            return self.mean
        return [mean + delta.view_as(mean) for mean, delta in zip(self.mean, noise, strict=True)]


class CorrelatedDistribution(Distribution):
    """A distribution whose weights are correlated: each pass uses one draw of all of them.

    Its KL from a prior with independent weights is that of its marginals plus its total correlation,
    KL(q‖p) = Σ KL(q_i‖p_i) + KL(q‖Π q_i), so that no such prior needs to know of it.
    """

    @property
    def independent(self) -> bool:
        """Whether a member's weights are independent: they are not."""
        return False

    @property
    @abstractmethod
    def sigma(self) -> Tensor:
        """Marginal standard deviation of each weight, [K, P], the weights one after another."""

    @abstractmethod
    def total_correlation(self) -> Tensor:
        """KL(q‖Π q_i) of each member, [K], nats: what the marginals do not tell."""

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights; `generator` is for priors without a closed form."""
        if not prior.independent:
            raise TypeError(
                f"the KL of these correlated weights from {prior!r}, under which they are correlated too, is not known: use "
                "posteriors.FullCovariance or posteriors.MeanField"
            )
        return prior.kl_from_normal(self.means, self.sigma, generator) + self.total_correlation()


class Posterior(nn.Module, ABC):
    """What the user passes as `posterior=`; `setup` is called once by `bayesianize`."""

    is_points = False
    """Whether each member is a single point."""
    normals: Normals = staticmethod(fresh)
    """Where the noise of a step is from."""

    @property
    def independent(self) -> bool:
        """Whether a member's weights are independent: `flipout` and `local` are for those alone."""
        return True

    @abstractmethod
    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Create the parameters and buffers for these weights."""

    @abstractmethod
    def forward(self, means: Sequence[Tensor], members: int) -> Distribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""

    def keeping_noise(self, rows: int | None = None) -> AbstractContextManager[None]:
        """In this context noise may be kept and used again, where that changes nothing that training estimates.

        Args:
            rows: N, where the data are in memory and their indices 0 to N − 1.
        """
        return nullcontext()

    def size(self, weights: Sequence[Weight], members: int) -> int:
        """How many numbers `setup` makes for these weights: as many as they have, where it is no more."""
        return members * sum(weight.numel for weight in weights)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {}

    def initial_means(self, starts: list[Tensor]) -> list[Tensor]:
        """Where the means begin, given where `bayesianize` would have them begin; list of [K, *shape]."""
        return starts

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments().items())


def inverse_softplus(value: Tensor) -> Tensor:
    """ρ with softplus(ρ) = value, for value > 0."""
    if value.dim() == 1 and len(value) > 1 and value.stride(0) == 0:  # one number, as it is for most large networks
        return inverse_softplus(value[:1].clone()).expand_as(value)
    return value + torch.log(-torch.expm1(-value))


def positive_scale(value: float) -> float:
    """`value` where it can be an initial σ, else a ValueError."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"init_scale must be positive and finite, got {value}")
    return float(value)
