"""What a training step needs of independent Normals under a Normal prior, as one node of the graph.

The KL and the draw of a step both read every mean and every spread. As operations of their own they are a dozen nodes, each
with a tensor to keep and a backward of its own, and for a small network these take longer than the network does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi.flat import joined, pieces


class Form(ABC):
    """What a pass takes in place of the weights, as a function of μ, σ and standard normals ε, each [K, P].

    Unless a subclass says otherwise it is σ·ε and something without a gradient.
    """

    random = True
    """Whether there is an ε in it."""

    @staticmethod
    @abstractmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:
        """The values, [K, P]."""

    @staticmethod
    def by_mean(grad: Tensor) -> Tensor | None:
        """The gradient by μ, from that by the values; None where it is zero."""
        return None

    @staticmethod
    def by_sigma(grad: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:
        """The gradient by σ, from that by the values."""
        return grad * unit


class Value(Form):
    """w = μ + σ·ε."""

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:  # noqa: D102
        return torch.addcmul(mu, sigma, unit)

    @staticmethod
    def by_mean(grad: Tensor) -> Tensor:  # noqa: D102
        return grad


class Noise(Form):
    """w − μ = σ·ε."""

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:  # noqa: D102
        return sigma * unit


class Variance(Form):
    """σ²; there is no ε in it."""

    random = False

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:  # noqa: D102
        return sigma.square()

    @staticmethod
    def by_sigma(grad: Tensor, sigma: Tensor, unit: Tensor) -> Tensor:  # noqa: D102
        return 2 * grad * sigma


KLAndForm = Callable[[type[Form], torch.Generator | None], tuple[Tensor, Sequence[Tensor]]]


def kl_and_form(
    form: type[Form], rho: Tensor, unit: Tensor, prior: tuple[Tensor, Tensor, Tensor], means: Sequence[Tensor]
) -> tuple[Tensor, Sequence[Tensor]]:
    """KL(N(μ, σ²)‖N(m, s²)) of each member, summed over all weights, and what a pass takes, cut into weights.

    Args:
        form: what a pass takes.
        rho: σ = softplus(ρ), [K, P], the weights one after another.
        unit: ε, [K, P]; of any shape where the form has none.
        prior: m and 1/s², each [1 or K, 1 or P], and Σ log s, [1 or K]; without gradient.
        means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.

    Returns:
        [K], nats, and one tensor a weight in the shapes and dtypes of `means`.
    """
    kl, _, *values = _Joint.apply(form, rho, unit, *prior, *means)  # type: ignore[no-untyped-call]
    return kl, values


class _Joint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        form: type[Form],
        rho: Tensor,
        unit: Tensor,
        loc: Tensor,
        precision: Tensor,
        log_scales: Tensor,
        *means: Tensor,
    ) -> tuple[Tensor, ...]:
        mu, sigma = joined(means, len(rho), rho.dtype), F.softplus(rho)
        ctx.form = form
        ctx.set_materialize_grads(False)
        # σ is among the outputs so that it can be kept and all this differentiated twice
        ctx.save_for_backward(sigma, unit, loc, precision, *means)
        squares = torch.addcmul((mu - loc).square(), sigma, sigma)
        kl = (squares * precision).sum(1).mul_(0.5).sub_(sigma.log().sum(1)).add_(log_scales - 0.5 * rho.shape[1])
        # not `pieces`: what it returns are views of one tensor, in which an operation could not write, as a lookup that
        # bounds the norm of its rows does
        sizes = [mean.numel() // len(rho) for mean in means]
        parts = form.of(mu, sigma, unit).unsafe_split_with_sizes(sizes, 1)
        cut = [torch.ops.aten._unsafe_view(part, mean.shape) for part, mean in zip(parts, means, strict=True)]
        return kl, sigma, *cut

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        sigma, unit, loc, precision, *means = ctx.saved_tensors
        by_kl, by_sigma, *by_values = grad_outputs
        by_mean: Tensor | None = None
        if any(grad is not None for grad in by_values):
            given = [
                mean.new_zeros(mean.shape) if grad is None else grad
                for grad, mean in zip(by_values, means, strict=True)
            ]
            by_value = joined(given, len(sigma), sigma.dtype)
            by_mean, more = ctx.form.by_mean(by_value), ctx.form.by_sigma(by_value, sigma, unit)
            by_sigma = more if by_sigma is None else by_sigma + more
        if by_kl is not None:
            scaled = by_kl.unsqueeze(1) * precision
            centred = joined(means, len(sigma), sigma.dtype) - loc
            by_mean = centred * scaled if by_mean is None else torch.addcmul(by_mean, centred, scaled)
            more = sigma * scaled if by_sigma is None else torch.addcmul(by_sigma, sigma, scaled)
            by_sigma = more - by_kl.unsqueeze(1) / sigma
        by_rho = None if by_sigma is None else by_sigma * -torch.expm1(-sigma)
        return (
            None,
            by_rho,
            None,
            None,
            None,
            None,
            *([None] * len(means) if by_mean is None else pieces(by_mean, means)),
        )
