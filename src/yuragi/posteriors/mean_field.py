"""Independent Normals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.flat import in_transform, joined, pieces, split_like
from yuragi.forms import Form, Noise
from yuragi.normals import Normals, NormalTable, fresh
from yuragi.posteriors.joint import KLAndForm, kl_and_form
from yuragi.posteriors.posterior import Distribution, Posterior, inverse_softplus, positive_scale
from yuragi.priors import Normal, Prior
from yuragi.spreads import NormalPrior, OnDemand, Spreads
from yuragi.weights import Weight

LARGE = 2**20
"""Spreads, over all members, from which a network is handled weight by weight."""


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
        self.init_scale = positive_scale(init_scale)

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Create ρ [K, P], one for every scalar weight: one buffer, so that a step fills noise once."""
        rho = inverse_softplus(prior.initial_sigma(weights, self.init_scale))
        self.rho = nn.Parameter(rho.expand(members, -1).clone())

    def forward(self, means: Sequence[Tensor], members: int) -> MeanFieldDistribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        rho = self.rho
        if rho.numel() < LARGE or torch.compiler.is_compiling() or in_transform():
            return MeanFieldDistribution(means, members, rho, self.normals)
        return LargeMeanFieldDistribution(means, members, rho, self.normals)

    @contextmanager
    def keeping_noise(self, rows: int | None = None) -> Iterator[None]:
        """In this context the noise of a step comes from a `NormalTable`, on a processor."""
        self.normals = NormalTable()
        try:
            yield
        finally:
            del self.normals

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        return {"init_scale": self.init_scale}


class MeanFieldDistribution(Distribution):
    """Independent Normals with means μ and standard deviations softplus(ρ), ρ [K, P]."""

    def __init__(self, means: Sequence[Tensor], members: int, rho: Tensor, normals: Normals = fresh) -> None:
        super().__init__(means, members)
        self._rho = rho
        self._normals = normals
        self._sigma: Tensor | None = None
        self._grad_enabled = torch.is_grad_enabled()  # whether what is made later is to have a gradient

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of each weight, [K, P], the weights one after another; made when first asked for."""
        if self._sigma is None:
            with torch.set_grad_enabled(self._grad_enabled):
                self._sigma = F.softplus(self._rho)
        return self._sigma

    def spreads(self) -> Sequence[Tensor]:
        """Standard deviation of each weight, in the shapes of `means`; made when first asked for."""
        made: list[Tensor] = []  # not `functools.cache`, of which torch.compile warns

        def make(index: int) -> Tensor:
            if not made:
                made.extend(pieces(self.sigma, self.means))
            return made[index]

        return OnDemand(make, len(self.means))

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """σ·ε for each weight and member, in the shapes of `means`."""
        unit = self._normals(self.sigma.shape, self.sigma, generator)
        if in_transform():
            return pieces(self.sigma * unit, self.means)
        drawn: tuple[Tensor, ...] = _Noise.apply(self.sigma, unit, self.means)  # type: ignore[no-untyped-call]
        return drawn

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights; `generator` is for priors without a closed form."""
        return prior.kl_from_normal(self.means, self.sigma, generator)

    def joint(self, prior: Prior) -> KLAndForm | None:
        """What makes the KL and the noise of a step in one, under a Normal prior whose scale stays."""
        rho, means = self._rho, self.means
        if torch.compiler.is_compiling() or in_transform() or any(mean.dtype != rho.dtype for mean in means):
            return None
        if not isinstance(prior, Normal) or type(prior).kl_from_normal is not Normal.kl_from_normal or prior.learning:
            return None
        parameters = prior.flat(rho)

        def make(form: type[Form], generator: torch.Generator | None) -> tuple[Callable[[], Tensor], Sequence[Tensor]]:
            unit = self._normals(rho.shape if form.random else (0,), rho, generator)
            kl, values = kl_and_form(form, rho, unit, parameters, means)
            return lambda: kl, values

        return make

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

    def __init__(self, means: Sequence[Tensor], members: int, rho: Tensor, normals: Normals = fresh) -> None:
        super().__init__(means, members, rho, normals)
        self._spreads = Spreads(rho, means, normals)

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of each weight, [K, P], the weights one after another; made when asked for."""
        return F.softplus(self._rho)

    def spreads(self) -> Sequence[Tensor]:
        """Standard deviation of each weight, in the shapes of `means`."""
        return self._spreads.sigma()

    def joint(self, prior: Prior) -> KLAndForm | None:
        """What makes the KL and the noise of a weight in one, where `kl` goes weight by weight."""
        own = self._by_weight(prior)
        if own is None or any(mean.dtype != self._rho.dtype for mean in self.means):
            return None
        return lambda form, generator: self._spreads.joint(form, generator, own)

    def variances(self) -> Sequence[Tensor]:
        """Variance of each weight, in the shapes of `means`."""
        return self._spreads.variance()

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """σ·ε for each weight and member, in the shapes of `means`."""
        return self._spreads.values(Noise, generator)

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """KL(q‖p) of each member, [K], nats, summed over all weights; `generator` is for priors without a closed form."""
        own = self._by_weight(prior)
        return super().kl(prior, generator) if own is None else self._spreads.kl(own)

    def _by_weight(self, prior: Prior) -> NormalPrior | None:
        tensors = len(self.means)
        # a scale that is being learned is learned from all weights, and a location for every weight is as large as they
        if not isinstance(prior, Normal) or prior.learning or prior.loc.shape[1] not in (1, tensors):
            return None
        return NormalPrior(prior.loc.expand(-1, tensors), prior.scale.expand(-1, tensors))

    @torch.no_grad()
    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape], without gradient."""
        drawn = [mean.new_empty(len(member), *mean.shape[1:]) for mean in self.mean]
        sigmas = split_like(self.sigma, self.mean)
        for s, k in enumerate(member):  # draw by draw: one fill of the whole would give other numbers for other S
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
