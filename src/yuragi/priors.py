"""Priors p(w) over the weights; each knows its KL divergence from a Normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
        """Resolve the prior for the given tensors into the buffers `loc` [1, T] and `scale` [1 or K, T]."""
        pairs = [self.loc_and_scale(weight) for weight in weights]
        columns = [torch.as_tensor(scale, dtype=torch.float64).reshape(-1) for _, scale in pairs]
        rows = max(len(column) for column in columns)
        if rows not in (1, members):
            raise ValueError(f"prior scale has {rows} values for {members} members: give one, or one a member")
        device = weights[0].parameter.device
        dtype = spread_dtype(weights)
        loc = torch.tensor([[loc for loc, _ in pairs]], dtype=dtype, device=device)
        scale = torch.stack([column.expand(rows) for column in columns], 1).to(device, dtype)
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)

    def kl_from_normal(self, means: Sequence[Tensor], sigma: Tensor) -> Tensor:
        """KL(q‖p) of a mean-field Normal q, summed within each tensor; the KL of the whole is the sum over tensors.

        KL = Σ log(s/σ) + (σ² + (μ − m)²) / (2 s²) − ½.

        Args:
            means: μ, one tensor [K, *shape] a weight.
            sigma: σ > 0, [K, P], the weights one after another.

        Returns:
            [K, T], nats, T the number of tensors.
        """
        result: Tensor = _NormalKL.apply(sigma, self.loc, self.scale, *means)[0]  # type: ignore[no-untyped-call]
        return result

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]: the regulariser of an anchored posterior."""
        sums = [
            (mean - anchor).square().reshape(len(mean), -1).sum(1, dtype=self.scale.dtype)
            for mean, anchor in zip(means, anchors, strict=True)
        ]
        return (torch.stack(sums, 1) / (2 * self.scale.square())).sum(1)

    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member from the prior: a list of tensors [K, *shape], in each weight's dtype."""
        draws = []
        for index, weight in enumerate(weights):
            like = weight.parameter
            unit = torch.randn(
                (members, *weight.shape), generator=generator, device=like.device, dtype=self.scale.dtype
            )
            scale = self.scale[:, index].reshape(-1, *[1] * len(weight.shape))
            draws.append((self.loc[0, index] + scale * unit).to(like.dtype))
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
    # Value and gradient in closed form, on all weights at once: the graph of the plain expression would hold five
    # tensors a weight, and a network of many small tensors would spend its time in launching operations.

    @staticmethod
    def forward(sigma: Tensor, loc: Tensor, scale: Tensor, *means: Tensor) -> tuple[Tensor, Tensor]:
        numels = [mean[0].numel() for mean in means]
        counts = torch.tensor(numels, device=sigma.device)
        centred = torch.cat([mean.reshape(len(mean), -1) for mean in means], 1).to(sigma.dtype)
        centred = centred - loc.repeat_interleave(counts, 1, output_size=sigma.shape[1])
        squares = torch.addcmul(centred * centred, sigma, sigma).split_with_sizes(numels, 1)
        logs = sigma.log().split_with_sizes(numels, 1)
        quadratic = torch.stack([part.sum(1) for part in squares], 1) / (2 * scale.square())
        log_sigma = torch.stack([part.sum(1) for part in logs], 1)
        return quadratic + (scale.log() - 0.5) * counts - log_sigma, centred

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        sigma, _, scale, *means = inputs
        ctx.shapes = [(mean.shape, mean.dtype) for mean in means]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(sigma, scale, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        sigma, scale, centred = ctx.saved_tensors
        numels = [shape[1:].numel() for shape, _ in ctx.shapes]
        counts = torch.tensor(numels, device=sigma.device)
        grad, by_centred = grad_outputs  # [K, T] and [K, P]; the latter comes with second derivatives only
        if grad is None:
            grad = sigma.new_zeros(len(sigma), len(numels))
        precision = (grad / scale.square()).repeat_interleave(counts, 1, output_size=sigma.shape[1])
        grad_sigma = sigma * precision - grad.repeat_interleave(counts, 1, output_size=sigma.shape[1]) / sigma
        by_mean = centred * precision if by_centred is None else centred * precision + by_centred
        parts = by_mean.split_with_sizes(numels, 1)
        grad_means = [part.reshape(shape).to(dtype) for part, (shape, dtype) in zip(parts, ctx.shapes, strict=True)]
        return grad_sigma, None, None, *grad_means
