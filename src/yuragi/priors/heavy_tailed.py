"""Priors with heavier tails than the Normal: most weights near zero, a few far from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from yuragi.flat import joined
from yuragi.priors.prior import LocationScale, positive
from yuragi.weights import Weight

_TINY = 1e-12  # below it a spread is as good as none, and its square may underflow


class Laplace(LocationScale):
    """Independent Laplace prior: p(w) = exp(−|w − mean| / scale) / (2·scale); its standard deviation is √2·scale.

    Args:
        mean: prior mean.
        scale: mean absolute deviation, > 0; a tensor of shape [K] gives each of K members its own.
        learn: empirical Bayes: at every step in training each tensor's scale becomes the best one in closed form,
            (Σ E|w − mean| + initial scale) / (n + 1).

    Raises:
        ValueError: the scale is not positive and finite.

    Example:
        >>> Laplace(scale=0.5)
        Laplace(mean=0.0, scale=0.5)
    """

    per_member = ("scale",)

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
        self, means: Sequence[Tensor], sigma: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """KL(q‖p) of independent Normals q, summed over all weights, in closed form.

        KL = Σ log(2s) + E|w − m|/s − ½ log(2πe σ²), with E|w − m| = σ√(2/π) exp(−c²/2σ²) + c·erf(c/√2σ), c = μ − m.

        Args:
            means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            sigma: σ > 0, [K, P], the weights one after another.
            generator: not needed.

        Returns:
            [K], nats.
        """
        centred = joined(means, len(sigma), sigma.dtype) - self.along(self.loc, sigma)
        # beyond ±10 both functions are at their limits; unclamped, a small σ would give 0 · ∞ in the gradient
        ratio = (centred / sigma.clamp_min(_TINY)).clamp(-10, 10)
        absolute = sigma * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())
        absolute = absolute + centred * torch.erf(ratio / math.sqrt(2))
        if self.learning:
            self.learn_scale(absolute.detach(), power=1)
        scale = self.along(self.scale, sigma)
        terms = absolute / scale + (2 * scale).log() - sigma.log() - 0.5 * (1 + math.log(2 * math.pi))
        return terms.sum(1)

    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""
        scale = self.along(self.scale, w)
        return (-(w - self.along(self.loc, w)).abs() / scale - (2 * scale).log()).sum(1)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {"mean": self.prior_mean, "scale": self.prior_scale, "learn": self.learn}

    def _standard_draw(self, shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        # the difference of two exponentials
        like = self.scale.new_empty((2, *shape)).exponential_(generator=generator)
        return like[0] - like[1]


class ScaleMixture(LocationScale):
    """Mixture of a wide and a narrow Normal around zero: p(w) = share·N(0, wide²) + (1 − share)·N(0, narrow²).

    Its KL has no closed form and is estimated from one draw a step. Blundell et al., "Weight Uncertainty in Neural
    Networks", 2015.

    Args:
        share: probability of the wide Normal, strictly between 0 and 1.
        wide: its standard deviation, > 0.
        narrow: standard deviation of the other, > 0 and less than `wide`.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> ScaleMixture(wide=1.0, narrow=0.01)
        ScaleMixture(share=0.5, wide=1.0, narrow=0.01)
    """

    def __init__(self, share: float = 0.5, wide: float = 1.0, narrow: float = 0.0025) -> None:
        super().__init__(learn=False)
        if not 0 < share < 1:
            raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
        if not (math.isfinite(wide) and 0 < narrow < wide):
            raise ValueError(f"wide and narrow must be finite with 0 < narrow < wide, got {wide} and {narrow}")
        self.share, self.wide, self.narrow = float(share), float(wide), float(narrow)

    def loc_and_scale(self, weight: Weight) -> tuple[float | Tensor, float | Tensor]:
        """Zero and the standard deviation of the wide Normal."""
        return 0.0, self.wide

    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""
        parts = [
            math.log(share / scale) - 0.5 * (w / scale).square()
            for share, scale in ((self.share, self.wide), (1 - self.share, self.narrow))
        ]
        return (torch.logaddexp(*parts) - 0.5 * math.log(2 * math.pi)).sum(1)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        return {"share": self.share, "wide": self.wide, "narrow": self.narrow}

    def _standard_draw(self, shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        like = self.scale.new_empty((2, *shape))
        wide = like[0].uniform_(generator=generator) < self.share
        return torch.where(wide, 1.0, self.narrow / self.wide) * like[1].normal_(generator=generator)
