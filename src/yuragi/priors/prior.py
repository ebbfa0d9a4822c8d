"""What every prior does, and the Monte Carlo estimate of the KL for those that have no closed form."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.flat import joined, split_like
from yuragi.weights import Weight

PSEUDO_COUNT = 1.0
"""How many weights the initial scale of a learned prior counts for: a tensor of few weights stays near it."""


class Prior(nn.Module, ABC):
    """p(w), which but for `Multivariate` is independent over the weights; `setup` is called once by `bayesianize`."""

    per_member: tuple[str, ...] = ()
    """Arguments that may be a tensor [K], which gives each member its own."""

    @property
    def independent(self) -> bool:
        """Whether the weights are independent under the prior."""
        return True

    @abstractmethod
    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Resolve the prior for these weights into buffers."""

    @abstractmethod
    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""

    @abstractmethod
    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member: a list of tensors [K, *shape], in each weight's dtype."""

    def kl_from_normal(
        self, means: Sequence[Tensor], sigma: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """KL(q‖p) of independent Normals q, summed over all weights, estimated from one draw of them.

        KL ≈ log q(w) − log p(w), w ~ q: unbiased, and so is its gradient. Kingma & Welling, "Auto-encoding variational
        Bayes", 2014 (the first estimator). Priors that have a closed form override it.

        Args:
            means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            sigma: σ > 0, [K, P], the weights one after another.
            generator: source of the draw; the global one when None.

        Returns:
            [K], nats.
        """
        unit = torch.empty_like(sigma, requires_grad=False).normal_(generator=generator)
        w = torch.addcmul(joined(means, len(sigma), sigma.dtype), sigma, unit)
        log_q = -(0.5 * unit.square() + sigma.log() + 0.5 * math.log(2 * math.pi)).sum(1)
        return log_q - self.log_prob(w)

    def initial_means(self, weights: Sequence[Weight], starts: list[Tensor]) -> list[Tensor]:
        """Where the posterior means begin, given where `bayesianize` would have them begin; list of [K, *shape]."""
        return starts

    def initial_sigma(self, weights: Sequence[Weight], init_scale: float) -> Tensor:
        """Where the posterior spreads begin, [P], given where the posterior would have all of them begin; do not write."""
        total = sum(weight.numel for weight in weights)
        return torch.full((1,), init_scale, dtype=spread_dtype(weights), device=weights[0].parameter.device).expand(
            total
        )

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]: the regulariser of an anchored posterior; Normal priors only.

        Args:
            means: w, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            anchors: a, one tensor [K, *shape] a weight.
        """
        raise NotImplementedError(f"{type(self).__name__} is not a Normal prior")

    def precisions(self) -> Tensor | None:
        """1/s² of each tensor of weights, [1 or K, 1 or T], where that is all that `squared_distance` needs of the prior."""
        return None

    def check_anchors(self) -> None:
        """Refuse to be the prior of an anchored posterior.

        Raises:
            ValueError: unless the prior is Normal, with a scale that stays.
        """
        raise ValueError(f"the Anchored posterior needs a Normal prior, got {type(self).__name__}: use Normal or FanIn")

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {}

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments().items() if value is not False)


def spread_dtype(weights: Sequence[Weight]) -> torch.dtype:
    """Spreads and KL are kept in float32 at least, so that half-precision networks train too."""
    return torch.float64 if any(w.parameter.dtype == torch.float64 for w in weights) else torch.float32


def positive(name: str, value: float | Tensor) -> float | Tensor:
    """`value` where it is a positive number or tensor [members], else a ValueError that names it."""
    tensor = torch.as_tensor(value)
    if tensor.dim() > 1 or not bool((torch.isfinite(tensor) & (tensor > 0)).all()):
        raise ValueError(f"{name} must be positive and finite (a number, or a tensor [members]), got {value}")
    return value if isinstance(value, Tensor) and value.dim() == 1 else float(value)


def positive_scales(name: str, values: Tensor) -> None:
    """Refuse a tensor of scales, of any shape, that are not all positive and finite."""
    wrong = ~(torch.isfinite(values) & (values > 0))
    if bool(wrong.any()):
        raise ValueError(f"{name} must be positive and finite, got {float(values[wrong][0]):g}")


class LocationScale(Prior):
    """A prior with a location and a scale for each tensor of weights.

    Attributes:
        loc: [1, T], or [1, P] for priors with a location for every weight.
        scale: [K or 1, T]. An axis along which all values are equal has length 1, unless the scale is learned.
    """

    loc: Tensor
    scale: Tensor
    numels: Tensor
    initial_scale: Tensor

    def __init__(self, learn: bool) -> None:
        super().__init__()
        self.learn = learn

    @property
    def learning(self) -> bool:
        """Whether the next KL sets the scale."""
        return self.learn and self.training

    @abstractmethod
    def loc_and_scale(self, weight: Weight) -> tuple[float | Tensor, float | Tensor]:
        """Location (a float, or a tensor in the weight's shape) and scale (a float, or a tensor [K]) of one tensor."""

    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Resolve the prior for these weights into the buffers `loc` and `scale`."""
        device, dtype = weights[0].parameter.device, spread_dtype(weights)
        locs, scales = zip(*[self.loc_and_scale(weight) for weight in weights], strict=True)
        columns = [torch.as_tensor(scale, dtype=torch.float64).reshape(-1) for scale in scales]
        rows = max(len(column) for column in columns)
        if rows not in (1, members):
            raise ValueError(f"prior scale has {rows} values for {members} members: give one, or one a member")
        loc = torch.cat([torch.as_tensor(loc, dtype=dtype, device=device).reshape(1, -1) for loc in locs], 1)
        scale = torch.stack([column.expand(rows) for column in columns], 1).to(device, dtype)
        self.register_buffer("loc", _shortest(loc))
        self.register_buffer("scale", scale if self.learn else _shortest(scale))
        self.register_buffer("numels", torch.tensor([w.numel for w in weights], device=device), persistent=False)
        if self.learn:
            self.register_buffer("initial_scale", scale.clone(), persistent=False)

    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member: a list of tensors [K, *shape], in each weight's dtype."""
        unit = self._standard_draw((members, sum(weight.numel for weight in weights)), generator)
        draws = self.along(self.loc, unit) + self.along(self.scale, unit) * unit
        return split_like(draws, [weight.parameter.unsqueeze(0) for weight in weights])

    @abstractmethod
    def _standard_draw(self, shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Draws from the prior with location 0 and scale 1."""

    def along(self, columns: Tensor, like: Tensor) -> Tensor:
        """[R, T] to [R, P], a value a tensor to a value a weight; what is equal everywhere broadcasts; `like` is [K, P]."""
        if columns.shape[1] in (1, like.shape[1]):
            return columns
        return columns.repeat_interleave(self.numels, 1, output_size=like.shape[1])

    @torch.no_grad()
    def learn_scale(self, terms: Tensor, power: int) -> None:
        """Set each tensor's scale to the one under which `terms` are most probable (empirical Bayes), in closed form.

        scale^power = (Σ terms + ν · initial scale^power) / (n + ν), with the initial scale as ν = 1 weight more.

        Args:
            terms: what the KL holds of each weight that the scale divides, [K, P]: E|w − m|^power.
            power: 2 for a Normal, 1 for a Laplace prior.
        """
        sums = torch.stack([part.sum(1) for part in terms.split_with_sizes(self.numels.tolist(), 1)], 1)
        if len(self.scale) == 1:
            sums = sums.mean(0, keepdim=True)
        total = sums + PSEUDO_COUNT * self.initial_scale**power
        # a new tensor: graphs of earlier passes still hold the old one
        self.scale = (total / (self.numels + PSEUDO_COUNT)) ** (1 / power)


def _shortest(columns: Tensor) -> Tensor:
    return columns[:, :1].clone() if bool((columns == columns[:, :1]).all()) else columns
