"""Posteriors q(w): what is kept beside the means, and how it is sampled and compared with the prior.

A posterior is an `nn.Module` that holds its own parameters (the means live in the network). Calling it with the means
gives `q`, the distribution over weights at this step, with

    q.mean                    list of [K, *shape]
    q.rsample(generator)      one draw a member, list of [K, *shape], differentiable
    q.kl(prior)               [K], nats
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.flat import joined, pieces, split_like
from yuragi.priors import Normal, spread_dtype
from yuragi.spreads import Spreads
from yuragi.weights import Weight

LARGE = 2**20
"""Spreads, over all members, from which a network is handled weight by weight."""


class Distribution(ABC):
    """q(w) for the current parameters; K members, each a distribution over the same weights."""

    def __init__(self, means: Sequence[Tensor], members: int) -> None:
        self.means = list(means)
        """The parameters that hold the means: [K, *shape] each, and [*shape] where K is 1."""
        self.members = members

    @property
    def sigma(self) -> Tensor | None:
        """σ [K, P], the weights one after another, where they are independent; else None."""
        return None

    def spreads(self) -> Sequence[Tensor] | None:
        """σ of each weight, in the shapes of `means`, where the weights are independent; else None."""
        return None if self.sigma is None else pieces(self.sigma, self.means)

    def variances(self) -> Sequence[Tensor] | None:
        """σ² of each weight, in the shapes of `means`, where it is better not made from `spreads`; else None."""
        return None

    @property
    def mean(self) -> list[Tensor]:
        """μ of each weight, list of [K, *shape]."""
        return self.means if self.members > 1 else [mean.unsqueeze(0) for mean in self.means]

    @property
    def scales(self) -> list[Tensor] | None:
        """σ of each weight, list of [K, *shape], where the weights are independent; else None."""
        return None if self.sigma is None else split_like(self.sigma, self.mean)

    @property
    def is_points(self) -> bool:
        """Whether each member is a single point, so that K draws are the whole posterior."""
        return False

    @abstractmethod
    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor] | None:
        """One draw of w − mean for each weight and member, in the shapes of `means`; None where it is zero."""

    @abstractmethod
    def kl(self, prior: Normal) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights."""

    @abstractmethod
    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]. The draws do not depend on how many are asked for at once."""

    def rsample(self, generator: torch.Generator | None = None) -> list[Tensor]:
        """One draw for each member, list of [K, *shape], differentiable in all parameters."""
        noise = self.noise(generator)
        if noise is None:
            return self.mean
        return [mean + delta.view_as(mean) for mean, delta in zip(self.mean, noise, strict=True)]


class Posterior(nn.Module, ABC):
    """What the user passes as `posterior=`; `setup` is called once by `bayesianize`."""

    @abstractmethod
    def setup(self, weights: Sequence[Weight], prior: Normal, members: int) -> None:
        """Create the parameters and buffers for these weights."""

    @abstractmethod
    def forward(self, means: Sequence[Tensor], members: int) -> Distribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {}

    def initial_means(self, starts: list[Tensor]) -> list[Tensor]:
        """Where the means begin, given where `bayesianize` would have them begin; list of [K, *shape]."""
        return starts

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments().items())


class MeanField(Posterior):
    """Independent Normals: q(w) = Π N(μ, σ²), σ = softplus(ρ). With members, an equal-weight mixture of them.

    Blundell et al., "Weight Uncertainty in Neural Networks", 2015.

    Args:
        init_scale: σ of every weight before training, > 0.

    Raises:
        ValueError: `init_scale` is not positive and finite.

    Example:
        >>> MeanField(init_scale=0.01)
        MeanField(init_scale=0.01)
    """

    rho: nn.Parameter

    def __init__(self, init_scale: float = 0.05) -> None:
        super().__init__()
        if not (math.isfinite(init_scale) and init_scale > 0):
            raise ValueError(f"init_scale must be positive and finite, got {init_scale}")
        self.init_scale = float(init_scale)

    def setup(self, weights: Sequence[Weight], prior: Normal, members: int) -> None:
        """Create ρ [K, P], one for every scalar weight: one buffer, so that a step fills noise once."""
        total = sum(weight.numel for weight in weights)
        rho = inverse_softplus(self.init_scale)
        self.rho = nn.Parameter(
            torch.full((members, total), rho, dtype=spread_dtype(weights), device=weights[0].parameter.device)
        )

    def forward(self, means: Sequence[Tensor], members: int) -> MeanFieldDistribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        if self.rho.numel() < LARGE or torch.compiler.is_compiling():
            return MeanFieldDistribution(means, members, F.softplus(self.rho))
        return LargeMeanFieldDistribution(means, members, self.rho)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {"init_scale": self.init_scale}


class MeanFieldDistribution(Distribution):
    """Independent Normals with means μ and standard deviations σ [K, P]."""

    def __init__(self, means: Sequence[Tensor], members: int, sigma: Tensor) -> None:
        super().__init__(means, members)
        self._sigma = sigma

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of each weight, [K, P], the weights one after another."""
        return self._sigma

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """σ·ε for each weight and member, in the shapes of `means`."""
        unit = torch.empty_like(self.sigma, requires_grad=False).normal_(generator=generator)
        drawn: tuple[Tensor, ...] = _Noise.apply(self.sigma, unit, self.means)  # type: ignore[no-untyped-call]
        return drawn

    def kl(self, prior: Normal) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights."""
        return prior.kl_from_normal(self.means, self.sigma)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]."""
        unit = self.sigma.new_empty((len(member), self.sigma.shape[1]))
        for row in unit:  # row by row: one fill of the whole would give other numbers for other S
            row.normal_(generator=generator)
        index = torch.as_tensor(member, device=self.sigma.device)
        noise = split_like(self.sigma[index].mul_(unit) if self.members > 1 else unit.mul_(self.sigma), self.mean)
        return [mean[index] + delta for mean, delta in zip(self.mean, noise, strict=True)]


class LargeMeanFieldDistribution(MeanFieldDistribution):
    """The same distribution for a large network: weight by weight, for the sake of memory; ρ is [K, P]."""

    def __init__(self, means: Sequence[Tensor], members: int, rho: Tensor) -> None:
        Distribution.__init__(self, means, members)
        self._rho = rho
        self._spreads = Spreads(rho, means)

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of each weight, [K, P], the weights one after another; made when asked for."""
        return F.softplus(self._rho)

    def spreads(self) -> Sequence[Tensor]:
        """σ of each weight, in the shapes of `means`."""
        return self._spreads.sigma()

    def variances(self) -> Sequence[Tensor]:
        """σ² of each weight, in the shapes of `means`."""
        return self._spreads.sigma(power=2)

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """σ·ε for each weight and member, in the shapes of `means`."""
        return self._spreads.noise(generator)

    def kl(self, prior: Normal) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights."""
        if prior.loc.shape[1] in (1, len(self.means)):
            loc, scale = (columns.expand(-1, len(self.means)) for columns in (prior.loc, prior.scale))
            return self._spreads.kl_from_normal_prior(loc, scale)
        return super().kl(prior)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]."""
        drawn = [mean.new_empty(len(member), *mean.shape[1:]) for mean in self.mean]
        sigmas = split_like(self.sigma, self.mean)
        for s, k in enumerate(
            member
        ):  # draw by draw: other numbers of draws would take the generator's numbers otherwise
            for out, mean, sigma in zip(drawn, self.mean, sigmas, strict=True):
                torch.add(mean[k], torch.empty_like(sigma[k]).normal_(generator=generator).mul_(sigma[k]), out=out[s])
        return drawn


class _Noise(torch.autograd.Function):
    """σ·ε cut into one tensor a weight: one node in the graph, where views of views would be three a weight."""

    @staticmethod
    def forward(ctx: Any, sigma: Tensor, unit: Tensor, means: Sequence[Tensor]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(unit)
        return tuple(pieces(sigma * unit, means))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (unit,) = ctx.saved_tensors
        return joined(grad_outputs, len(unit), unit.dtype) * unit, None, None


class Anchored(Posterior):
    """Posterior by randomised maximum a posteriori: each member is one approximate posterior draw, without a spread.

    Member k draws an anchor a_k ~ p(w) and starts there; it fits targets y_i + σ·z_ki (z drawn once per member and
    datum) under the regulariser Σ (w − a_k)²/(2s²). For a linear model with Gaussian noise the members are exact
    posterior draws. Matthews et al., "Sample-then-optimize posterior sampling for Bayesian linear models", 2017;
    Pearce et al., "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", 2020.

    Args:
        seed: seed of the target noise z; None draws one when the network is made Bayesian.

    Example:
        >>> Anchored(seed=3)
        Anchored()
    """

    seed: Tensor

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.register_buffer("seed", torch.tensor(-1 if seed is None else seed))

    def setup(self, weights: Sequence[Weight], prior: Normal, members: int) -> None:
        """Draw the anchors from the prior."""
        if int(self.seed) < 0:
            self.seed = torch.randint(2**62, ())
        for index, anchor in enumerate(prior.sample(weights, members, None)):
            self.register_buffer(f"anchor_{index}", anchor)
        self.count = len(weights)

    @property
    def anchors(self) -> list[Tensor]:
        """a_k of each weight, list of [K, *shape]."""
        return [self.get_buffer(f"anchor_{index}") for index in range(self.count)]

    def initial_means(self, starts: list[Tensor]) -> list[Tensor]:
        """The anchors: members start where their prior draw is."""
        return [anchor.clone() for anchor in self.anchors]

    def forward(self, means: Sequence[Tensor], members: int) -> AnchoredDistribution:
        """q(w) at `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        return AnchoredDistribution(means, members, self.anchors)

    def target_noise(self, index: Tensor, shape: torch.Size) -> Tensor:
        """z: standard normals that depend on the seed, the member and the datum's index, and on nothing else.

        Args:
            index: datum indices, int64 [B].
            shape: shape of the result, [K, B, *out].

        Returns:
            float32 tensor of that shape.
        """
        members, rows = shape[0], len(index)
        outputs = shape[2:].numel()
        device = index.device
        member = torch.arange(members, device=device).reshape(-1, 1, 1)
        output = torch.arange(outputs, device=device)
        key = _mix(_mix(_mix(self.seed.to(device)) + member) + index.reshape(1, rows, 1))
        return _normal_from_bits(_mix(key + output), _mix(key + output + 0x5851F42D4C957F2D)).reshape(shape)


class AnchoredDistribution(Distribution):
    """K points, and the anchors that they are held to."""

    def __init__(self, means: Sequence[Tensor], members: int, anchors: Sequence[Tensor]) -> None:
        super().__init__(means, members)
        self.anchors = anchors

    @property
    def is_points(self) -> bool:
        """Always: K draws are the whole posterior."""
        return True

    def noise(self, generator: torch.Generator | None = None) -> None:
        """None: a member has no spread."""
        return None

    def kl(self, prior: Normal) -> Tensor:
        """Σ (w − a)²/(2s²) of each member, [K]: the regulariser that stands in the place of the KL."""
        return prior.squared_distance(self.mean, self.anchors)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """The members asked for: list of [S, *shape]."""
        index = torch.as_tensor(member, device=self.means[0].device)
        return [mean[index] for mean in self.mean]


def inverse_softplus(value: float) -> float:
    """ρ with softplus(ρ) = value."""
    return value + math.log(-math.expm1(-value))


def _mix(bits: Tensor) -> Tensor:
    # splitmix64's finaliser (Steele et al. 2014) in wrapping int64 arithmetic; shifts are made logical by a mask
    bits = bits * -7046029254386353131
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)


def _normal_from_bits(first: Tensor, second: Tensor) -> Tensor:
    # Box-Muller from two uniforms in (0, 1)
    radius, angle = (((bits >> 11) & 0x1FFFFFFFFFFFFF).double().add_(0.5).mul_(2.0**-53) for bits in (first, second))
    return radius.log_().mul_(-2).sqrt_().mul_(angle.mul_(2 * math.pi).cos_()).float()
