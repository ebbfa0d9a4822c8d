"""Priors p(w) over the weights; each knows its KL divergence from a Normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.flat import joined, pieces
from yuragi.weights import Weight


class Normal(nn.Module):
    """Independent Normal prior with the same mean and scale for every weight: w ~ N(mean, scale²).

    Args:
        mean: prior mean.
        scale: prior standard deviation, > 0; a tensor of shape [K] gives each of K members its own.

    Raises:
        ValueError: the scale is not positive and finite.

    Example:
        >>> Normal(scale=0.5)
        Normal(mean=0.0, scale=0.5)
    """

    loc: Tensor
    scale: Tensor
    numels: Tensor

    def __init__(self, mean: float = 0.0, scale: float | Tensor = 1.0) -> None:
        super().__init__()
        if not math.isfinite(mean):
            raise ValueError(f"prior mean must be finite, got {mean}")
        self.prior_mean = float(mean)
        self.prior_scale = _positive("prior scale", scale)

    def loc_and_scale(self, weight: Weight) -> tuple[float, float | Tensor]:
        """Mean and scale of the prior of one tensor; the scale is a float or a tensor [K]."""
        return self.prior_mean, self.prior_scale

    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Resolve the prior for the given tensors into the buffers `loc` [1, T] and `scale` [K, T].

        An axis along which all values are equal has length 1.
        """
        pairs = [self.loc_and_scale(weight) for weight in weights]
        columns = [torch.as_tensor(scale, dtype=torch.float64).reshape(-1) for _, scale in pairs]
        rows = max(len(column) for column in columns)
        if rows not in (1, members):
            raise ValueError(f"prior scale has {rows} values for {members} members: give one, or one a member")
        device = weights[0].parameter.device
        dtype = spread_dtype(weights)
        loc = torch.tensor([[loc for loc, _ in pairs]], dtype=dtype, device=device)
        scale = torch.stack([column.expand(rows) for column in columns], 1).to(device, dtype)
        numels = torch.tensor([weight.numel for weight in weights], device=device)
        self.register_buffer("loc", _shortest(loc))
        self.register_buffer("scale", _shortest(scale))
        self.register_buffer("numels", numels, persistent=False)

    def kl_from_normal(self, means: Sequence[Tensor], sigma: Tensor, counts: Tensor | None = None) -> Tensor:
        """KL(q‖p) of a mean-field Normal q, summed over all weights.

        KL = Σ log(s/σ) + (σ² + (μ − m)²) / (2 s²) − ½.

        Args:
            means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            sigma: σ > 0, [K, P], the weights one after another.
            counts: [P], how often each weight's KL counts; once where None, which is the KL itself.

        Returns:
            [K], nats.
        """
        loc, scale = self._along(self.loc, sigma), self._along(self.scale, sigma)
        quadratic: Tensor = _NormalKL.apply(sigma, loc, scale, counts, *means)  # type: ignore[no-untyped-call]
        return quadratic

    def _along(self, columns: Tensor, sigma: Tensor) -> Tensor:
        # [R, T] -> [R, P], a value a tensor to a value a weight; what is equal everywhere broadcasts
        if columns.shape[1] == 1:
            return columns
        return columns.repeat_interleave(self.numels, 1, output_size=sigma.shape[1])

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]: the regulariser of an anchored posterior.

        Args:
            means: w, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            anchors: a, one tensor [K, *shape] a weight.
        """
        sums = [
            (mean - anchor).square().reshape(len(anchor), -1).sum(1, dtype=self.scale.dtype)
            for mean, anchor in zip(means, anchors, strict=True)
        ]
        return (torch.stack(sums, 1) / (2 * self.scale.square())).sum(1)

    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member from the prior: a list of tensors [K, *shape], in each weight's dtype."""
        draws = []
        locs, scales = (columns.expand(-1, len(weights)) for columns in (self.loc, self.scale))
        for index, weight in enumerate(weights):
            like = weight.parameter
            unit = torch.randn(
                (members, *weight.shape), generator=generator, device=like.device, dtype=self.scale.dtype
            )
            ones = [1] * len(weight.shape)
            draws.append(
                (locs[:, index].reshape(-1, *ones) + scales[:, index].reshape(-1, *ones) * unit).to(like.dtype)
            )
        return draws

    def arguments(self) -> dict[str, float | Tensor]:
        """What to construct an equal prior with."""
        return {"mean": self.prior_mean, "scale": self.prior_scale}

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments().items())


class FanIn(Normal):
    """Normal prior under which every layer keeps the size of its signal, whatever its width.

    Weights N(0, gain²/fan_in) (a convolution's fan-in counts the kernel), biases and embeddings N(0, 1), gains of
    normalisation layers N(1, 1). A parameter of your own with two or more axes is taken to be [outputs, inputs].
    Neal, "Bayesian Learning for Neural Networks", 1996.

    Args:
        gain: scale of a unit's input relative to its activations, > 0; a tensor of shape [K] gives each member its own.

    Example:
        >>> FanIn(gain=1.5)
        FanIn(gain=1.5)
    """

    def __init__(self, gain: float | Tensor = 1.0) -> None:
        super().__init__()
        self.gain = _positive("gain", gain)

    def loc_and_scale(self, weight: Weight) -> tuple[float, float | Tensor]:
        """Mean and scale of the prior of one tensor; the scale is a float or a tensor [K]."""
        loc = 1.0 if weight.role == "gain" else 0.0
        return loc, self.gain / math.sqrt(weight.fan_in) if weight.role == "weight" else 1.0

    def arguments(self) -> dict[str, float | Tensor]:
        """What to construct an equal prior with."""
        return {"gain": self.gain}


def spread_dtype(weights: Sequence[Weight]) -> torch.dtype:
    """Spreads and KL are kept in float32 at least, so that half-precision networks train too."""
    return torch.float64 if any(w.parameter.dtype == torch.float64 for w in weights) else torch.float32


def _positive(name: str, value: float | Tensor) -> float | Tensor:
    tensor = torch.as_tensor(value)
    if tensor.dim() > 1 or not bool((torch.isfinite(tensor) & (tensor > 0)).all()):
        raise ValueError(f"{name} must be positive and finite (a number, or a tensor [members]), got {value}")
    return value if isinstance(value, Tensor) and value.dim() == 1 else float(tensor)


class _NormalKL(torch.autograd.Function):
    """The KL of all weights at once, [K], and its gradient in closed form.

    Written out for autograd it is a dozen operations on every weight, each with a backward one and a tensor to keep:
    more than the rest of a small network's step.
    """

    @staticmethod
    def forward(ctx: Any, sigma: Tensor, loc: Tensor, scale: Tensor, counts: Tensor | None, *means: Tensor) -> Tensor:
        ctx.save_for_backward(sigma, loc, scale, counts, *means)
        squares = joined(means, len(sigma), sigma.dtype).sub_(loc).square_().addcmul_(sigma, sigma)
        terms = squares.mul_(0.5 / scale.square()).sub_((sigma / scale).log_()).sub_(0.5)
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


def _shortest(columns: Tensor) -> Tensor:
    return columns[:, :1].clone() if bool((columns == columns[:, :1]).all()) else columns
