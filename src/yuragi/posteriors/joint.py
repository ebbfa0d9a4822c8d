"""What a training step needs of independent Normals under a Normal prior, as one node of the graph.

The KL and the draw of a step both read every mean and every spread. As operations of their own they are a dozen nodes, each
with a tensor to keep and a backward of its own, and for a small network these take longer than the network does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi.flat import joined
from yuragi.forms import Form

KLAndForm = Callable[[type[Form], torch.Generator | None], tuple[Callable[[], Tensor], Sequence[Tensor]]]
"""From a form and a source of noise to the KL of each member, [K], to be asked for after the pass, and the form's values."""


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
    kl, _, _, *values = _Joint.apply(form, rho, unit, *prior, *means)  # type: ignore[no-untyped-call]
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
        ctx.form, ctx.shapes = form, [mean.shape for mean in means]
        ctx.set_materialize_grads(False)
        # μ and σ are among the outputs so that they can be kept and all this differentiated twice
        ctx.save_for_backward(rho, mu, sigma, unit, loc, precision)
        squares = (mu - loc).square_().addcmul_(sigma, sigma)
        kl = squares.mul_(precision).sum(1).mul_(0.5).sub_(sigma.log().sum(1)).add_(log_scales - 0.5 * rho.shape[1])
        # not `pieces`: what it returns are views of one tensor, in which an operation could not write, as a lookup that
        # bounds the norm of its rows does
        sizes = [mean.numel() // len(rho) for mean in means]
        parts = form.of(mu, sigma, unit).unsafe_split_with_sizes(sizes, 1)
        cut = [torch.ops.aten._unsafe_view(part, mean.shape) for part, mean in zip(parts, means, strict=True)]
        return kl, mu, sigma, *cut

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        rho, mu, sigma, unit, loc, precision = ctx.saved_tensors
        by_kl, by_mu, by_sigma, *by_values = grad_outputs
        if any(grad is not None for grad in by_values):
            given = [
                mu.new_zeros(shape) if grad is None else grad for grad, shape in zip(by_values, ctx.shapes, strict=True)
            ]
            by_value = joined(given, len(sigma), sigma.dtype)
            if ctx.form.with_mean:
                by_mu = by_value if by_mu is None else by_mu + by_value
            more = ctx.form.by_sigma(by_value, sigma, unit)
            by_sigma = more if by_sigma is None else by_sigma + more
        if by_kl is not None:
            scaled = by_kl.unsqueeze(1) * precision
            centred = mu - loc
            by_mu = centred * scaled if by_mu is None else torch.addcmul(by_mu, centred, scaled)
            more = sigma * scaled if by_sigma is None else torch.addcmul(by_sigma, sigma, scaled)
            by_sigma = more - by_kl.unsqueeze(1) / sigma
        by_rho = None if by_sigma is None else by_sigma * torch.sigmoid(rho)
        by_means: list[Tensor | None] = [None] * len(ctx.shapes)
        if by_mu is not None:
            parts = by_mu.split_with_sizes([shape.numel() // len(rho) for shape in ctx.shapes], 1)
            by_means = [part.reshape(shape) for part, shape in zip(parts, ctx.shapes, strict=True)]
        return None, by_rho, None, None, None, None, *by_means
