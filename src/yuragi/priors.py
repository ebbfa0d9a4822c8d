"""Priors p(w) over the weights; each knows its KL divergence from a Normal."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
        result: Tensor = _NormalKL.apply(sigma, self.loc, self.scale, *means)
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
    normalisation layers N(1, 1). A parameter of your own with two or more axes is taken as [outputs, inputs]. Neal, "Bayesian Learning for Neural Networks", 1996.

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
    # Value and gradient in closed form: the graph of the plain expression would hold five tensors a weight.

    @staticmethod
    def forward(sigma: Tensor, loc: Tensor, scale: Tensor, *means: Tensor) -> Tensor:
        numels = [mean[0].numel() for mean in means]
        squares = [
            (mean.reshape(len(mean), -1).to(sigma.dtype) - loc[:, t : t + 1]).square().sum(1)
            for t, mean in enumerate(means)
        ]
        variances = [part.square().sum(1) for part in sigma.split(numels, 1)]
        logs = [part.sum(1) for part in sigma.log().split(numels, 1)]
        quadratic = (torch.stack(squares, 1) + torch.stack(variances, 1)) / (2 * scale.square())
        counts = torch.tensor(numels, dtype=sigma.dtype, device=sigma.device)
        return quadratic + (scale.log() - 0.5) * counts - torch.stack(logs, 1)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        sigma, loc, scale, *means = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = grad_outputs[0]  # [K, T]
        precision = grad / scale.square()
        numels = [mean[0].numel() for mean in means]
        parts = [
            part * precision[:, t : t + 1] - grad[:, t : t + 1] / part for t, part in enumerate(sigma.split(numels, 1))
        ]
        grad_sigma = torch.cat(parts, 1)
        grad_means = []
        for t, mean in enumerate(means):
            column = precision[:, t].reshape(-1, *[1] * (mean.dim() - 1))
            grad_means.append(((mean.to(sigma.dtype) - loc[0, t]) * column).to(mean.dtype))
        return grad_sigma, None, None, *grad_means
