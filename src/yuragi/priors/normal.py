"""Normal priors: one scale, a scale by fan-in, or around pretrained weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from yuragi.flat import in_transform, joined, pieces
from yuragi.priors.prior import LocationScale, positive
from yuragi.weights import Weight


class Normal(LocationScale):
    """Independent Normal prior with the same mean and scale for every weight: w ~ N(mean, scale²).

    Args:
        mean: prior mean.
        scale: prior standard deviation, > 0; a tensor of shape [K] gives each of K members its own.
        learn: empirical Bayes: at every step in training each tensor's scale becomes the best one in closed form,
            s² = (Σ E(w − mean)² + s₀²) / (n + 1), the initial scale s₀ counting as one weight. Wu et al.,
            "Deterministic variational inference for robust Bayesian neural networks", 2019.

    Raises:
        ValueError: the scale is not positive and finite.

    Example:
        >>> Normal(scale=0.5)
        Normal(mean=0.0, scale=0.5)
    """

    per_member: tuple[str, ...] = ("scale",)
    _flat: tuple[list[tuple[Tensor, int]], tuple[Tensor, Tensor, Tensor]] | None = None

    def __init__(self, mean: float = 0.0, scale: float | Tensor = 1.0, learn: bool = False) -> None:
        super().__init__(learn)
        if not math.isfinite(mean):
            raise ValueError(f"prior mean must be finite, got {mean}")
        self.prior_mean = float(mean)
        self.prior_scale = positive("prior scale", scale)

    def loc_and_scale(self, weight: Weight) -> tuple[float | Tensor, float | Tensor]:
        """Mean and scale of the prior of one tensor; the scale is a float or a tensor [K]."""
        return self.prior_mean, self.prior_scale

    def kl_from_normal(
        self,
        means: Sequence[Tensor],
        sigma: Tensor,
        generator: torch.Generator | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """KL(q‖p) of independent Normals q, summed over all weights, in closed form.

        KL = Σ log(s/σ) + (σ² + (μ − m)²) / (2 s²) − ½.

        Args:
            means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            sigma: σ > 0, [K, P], the weights one after another.
            generator: not needed.
            counts: [P], how often each weight's KL counts; once where None, which is the KL itself.

        Returns:
            [K], nats.
        """
        if self.learning:
            centred = joined(means, len(sigma), sigma.dtype) - self.along(self.loc, sigma)
            self.learn_scale(torch.addcmul(centred.square(), sigma, sigma), power=2)
        loc, scale = self.along(self.loc, sigma), self.along(self.scale, sigma)
        if in_transform():
            terms = _kl_terms(joined(means, len(sigma), sigma.dtype) - loc, sigma, scale)
            return terms.sum(1) if counts is None else terms @ counts
        kl: Tensor = _NormalKL.apply(sigma, loc, scale, counts, *means)  # type: ignore[no-untyped-call]
        return kl

    def flat(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and precision 1/s² of every weight, each [1 or K, 1 or P], and Σ log s, [1 or K], for `like` [K, P].

        They are kept from one step to the next, for as long as `loc` and `scale` stay the same.
        """
        current = [(tensor, tensor._version) for tensor in (self.loc, self.scale)]
        if self._flat is None or any(
            a is not b or m != n for (a, m), (b, n) in zip(self._flat[0], current, strict=True)
        ):
            loc, scale = self.along(self.loc, like), self.along(self.scale, like)
            log_scales = scale.expand(-1, like.shape[1]).log().sum(1)
            self._flat = current, (loc, scale.square().reciprocal(), log_scales)
        return self._flat[1]

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]: the regulariser of an anchored posterior.

        Args:
            means: w, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            anchors: a, one tensor [K, *shape] a weight.
        """
        return half_distances(means, anchors, self.scale.square().reciprocal())

    def precisions(self) -> Tensor | None:
        """1/s² of each tensor of weights, [1 or K, 1 or T]."""
        return self.scale.square().reciprocal()

    def check_anchors(self) -> None:
        """Refuse a learned scale: anchors are drawn once."""
        if self.learn:
            raise ValueError("the Anchored posterior draws its anchors once: its prior cannot have learn=True")

    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""
        scale = self.along(self.scale, w)
        terms = -0.5 * ((w - self.along(self.loc, w)) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return terms.sum(1)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {"mean": self.prior_mean, "scale": self.prior_scale, "learn": self.learn}

    def _standard_draw(self, shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        return torch.randn(shape, generator=generator, device=self.scale.device, dtype=self.scale.dtype)


class FanIn(Normal):
    """Normal prior under which every layer keeps the size of its signal, whatever its width.

    Weights N(0, gain²/fan_in) (a convolution's fan-in counts the kernel), biases and embeddings N(0, 1), gains of
    normalisation layers N(1, 1). A parameter of your own with two or more axes is taken to be [outputs, inputs].
    Neal, "Bayesian Learning for Neural Networks", 1996.

    Args:
        gain: scale of a unit's input relative to its activations, > 0; a tensor of shape [K] gives each member its own.
        learn: empirical Bayes, as for `Normal`: these scales are where each tensor's scale begins.

    Example:
        >>> FanIn(gain=1.5)
        FanIn(gain=1.5)
    """

    per_member = ("gain",)

    def __init__(self, gain: float | Tensor = 1.0, learn: bool = False) -> None:
        super().__init__(learn=learn)
        self.gain = positive("gain", gain)

    def loc_and_scale(self, weight: Weight) -> tuple[float | Tensor, float | Tensor]:
        """Mean and scale of the prior of one tensor; the scale is a float or a tensor [K]."""
        loc = 1.0 if weight.role == "gain" else 0.0
        return loc, self.gain / math.sqrt(weight.fan_in) if weight.role == "weight" else 1.0

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {"gain": self.gain, "learn": self.learn}


class Pretrained(Normal):
    """Normal prior around weights that have been trained already: w ~ N(trained, scale²).

    The prior holds a copy of the network's weights. The posterior begins there: means at the weights, and a mean-field
    posterior's spreads at σ = delta·|w|, or at `floor` where that is less. Krishnan et al., "Specifying weight priors in
    Bayesian deep neural networks with empirical Bayes" (MOPED), 2020.

    Args:
        scale: prior standard deviation, > 0; a tensor of shape [K] gives each of K members its own.
        delta: initial spread as a fraction of the weight, > 0.
        floor: the least initial spread, > 0.

    Raises:
        ValueError: an argument is not positive and finite.

    Example:
        >>> Pretrained(scale=0.3)
        Pretrained(scale=0.3, delta=0.1, floor=0.001)
    """

    def __init__(self, scale: float | Tensor = 1.0, delta: float = 0.1, floor: float = 1e-3) -> None:
        super().__init__(scale=scale)
        for name, value in (("delta", delta), ("floor", floor)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.delta, self.floor = float(delta), float(floor)

    def loc_and_scale(self, weight: Weight) -> tuple[float | Tensor, float | Tensor]:
        """The trained weights, a copy of them in their shape, and the scale, a float or a tensor [K]."""
        return weight.parameter.detach().clone(), self.prior_scale

    def initial_means(self, weights: Sequence[Weight], starts: list[Tensor]) -> list[Tensor]:
        """The trained weights, for every member, list of [K, *shape]."""
        return [
            weight.parameter.detach().expand_as(start).clone() for weight, start in zip(weights, starts, strict=True)
        ]

    def initial_sigma(self, weights: Sequence[Weight], init_scale: float) -> Tensor:
        """max(delta·|w|, floor), [P]."""
        trained = torch.cat([weight.parameter.detach().flatten().to(self.scale.dtype) for weight in weights])
        return (self.delta * trained.abs()).clamp_min(self.floor)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {"scale": self.prior_scale, "delta": self.delta, "floor": self.floor}


def _kl_terms(centred: Tensor, sigma: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(centred.square(), sigma, sigma) * (0.5 / scale.square()) - (sigma / scale).log() - 0.5


class _NormalKL(torch.autograd.Function):
    """The KL of all weights at once, [K], and its gradient in closed form.

    Written out for autograd it is a dozen operations on every weight, each with a backward one and a tensor to keep:
    more than the rest of a small network's step.
    """

    @staticmethod
    def forward(ctx: Any, sigma: Tensor, loc: Tensor, scale: Tensor, counts: Tensor | None, *means: Tensor) -> Tensor:
        ctx.save_for_backward(sigma, loc, scale, counts, *means)
        terms = _kl_terms(joined(means, len(sigma), sigma.dtype).sub_(loc), sigma, scale)
        return terms.sum(1) if counts is None else terms @ counts

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        sigma, loc, scale, counts, *means = ctx.saved_tensors
        grad = grad_outputs[0].unsqueeze(1)
        grad = grad if counts is None else grad * counts
        scaled = grad / scale.square()
        by_mean = (joined(means, len(sigma), sigma.dtype) - loc) * scaled
        by_sigma = sigma * scaled - grad / sigma
        return by_sigma, None, None, None, *pieces(by_mean, means)


def half_distances(means: Sequence[Tensor], anchors: Sequence[Tensor], precisions: Tensor) -> Tensor:
    """Σ (w − a)² / (2 s²), [K], where a tensor of weights has one s; arguments as for `squared_distance`, and 1/s²."""
    norms = [
        torch.linalg.vector_norm((mean - anchor).reshape(len(anchor), -1), dim=1, dtype=precisions.dtype)
        for mean, anchor in zip(means, anchors, strict=True)
    ]
    return 0.5 * (torch.stack(norms, 1).square() * precisions).sum(1)
