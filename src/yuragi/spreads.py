"""The spreads of a large network, weight by weight, so that training holds little beside the parameters.

A small network is fastest with all weights in one tensor: σ, the noise and the KL are then a few operations, however
many layers there are. In a large one it is the results of these operations that fill the memory: σ, ε, σ·ε, each term
of the KL and the gradients of all of them, each as large as the network. Here

- σ is not kept for noise and KL: each computes it again from ρ, a chunk at a time;
- ε and σ·ε are one tensor a weight, freed as soon as the backward pass is through with that weight;
- all gradients of ρ go straight into one tensor, where autograd would make one for each use of ρ and add them up.

The last is what the gate is for. A function of ρ that autograd knew of would have to return a gradient of the whole of
ρ. The functions here take the gate's output in its place, an empty token that stands for ρ, and add to their piece of
the gradient; autograd runs the gate's backward after all of theirs, and it hands over the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_CHUNK = 2**18  # columns computed at once: a megabyte of float32, which stays in the processor's cache


class OnDemand(Sequence[Tensor]):
    """Tensors that are made when first asked for, and then kept.

    Autograd takes later operations first. Noise that is made just before its layer runs has its gradient taken just
    after that layer's; made in advance, it would be taken last of all, and every layer's would be kept until then.
    """

    def __init__(self, make: Callable[[int], Tensor], count: int) -> None:
        self._make = make
        self._made: list[Tensor | None] = [None] * count

    def __len__(self) -> int:
        """How many there are."""
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """Make it, if it has not been asked for before."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        made = self._made[index]
        if made is None:
            made = self._made[index] = self._make(index)
        return made


class Spreads:
    """σ = softplus(ρ) of one step, made where and when it is needed.

    Args:
        rho: ρ, [K, P], the weights one after another.
        means: one tensor a weight, [K, *shape], or [*shape] where K is 1.
    """

    def __init__(self, rho: Tensor, means: Sequence[Tensor]) -> None:
        self._rho = _Rho(rho.detach())
        self._token: Tensor = _Gate.apply(rho, self._rho)  # type: ignore[no-untyped-call]
        self._means = list(means)
        ends = torch.tensor([mean.numel() // len(rho) for mean in means]).cumsum(0).tolist()
        self._spans = list(zip([0, *ends[:-1]], ends, strict=True))

    def sigma(self) -> OnDemand:
        """σ of each weight, in the shapes and dtypes of the means."""

        def make(index: int) -> Tensor:
            return self._power(1, index).to(self._means[index].dtype)

        return OnDemand(make, len(self._means))

    def variance(self) -> OnDemand:
        """σ² of each weight, in the shapes of the means and the dtype of ρ: in half precision it might be zero."""

        def make(index: int) -> Tensor:
            return self._power(2, index)

        return OnDemand(make, len(self._means))

    def _power(self, power: int, index: int) -> Tensor:
        shape = self._means[index].shape
        result: Tensor = _Sigma.apply(self._token, self._rho, self._spans[index], shape, power)  # type: ignore[no-untyped-call]
        return result

    def noise(self, generator: torch.Generator | None) -> OnDemand:
        """σ·ε of each weight, in the shapes and dtypes of the means."""
        like = self._rho.value

        def make(index: int) -> Tensor:
            mean, span = self._means[index], self._spans[index]
            unit = torch.empty(mean.shape, dtype=like.dtype, device=like.device).normal_(generator=generator)
            noise: Tensor = _Noise.apply(self._token, self._rho, span, unit)  # type: ignore[no-untyped-call]
            return noise.to(mean.dtype)

        return OnDemand(make, len(self._means))

    def kl_from_normal_prior(self, loc: Tensor, scale: Tensor) -> Tensor:
        """KL of independent Normals N(μ, σ²) from N(loc, scale²), [K], nats; `loc` and `scale` are [1 or K, weights]."""
        parts = [
            _NormalKL.apply(self._token, mean, self._rho, span, m, s)  # type: ignore[no-untyped-call]
            for mean, span, m, s in zip(self._means, self._spans, loc.split(1, 1), scale.split(1, 1), strict=True)
        ]
        return torch.stack(parts).sum(0)


class _Rho:
    """ρ of one step, [K, P], and its gradient while a backward pass gathers it."""

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._grad: Tensor | None = None

    def grad(self) -> Tensor:
        if self._grad is None:
            self._grad = torch.zeros_like(self.value)  # pages that nothing has written to are not yet in memory
        return self._grad

    def take_grad(self) -> Tensor:
        grad, self._grad = self.grad(), None
        return grad

    def chunks(self, span: tuple[int, int], *tensors: Tensor) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
        """Columns of ρ, σ [K, c] there and the same part of each tensor [K, *shape] or [*shape], as [K, c]."""
        flat = [tensor.reshape(len(self.value), -1) for tensor in tensors]
        start, end = span
        for low in range(start, end, _CHUNK):
            columns = slice(low, min(low + _CHUNK, end))
            own = slice(low - start, columns.stop - start)
            yield columns, F.softplus(self.value[:, columns]), [one[:, own] for one in flat]


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, rho: _Rho) -> Tensor:
        ctx.rho = rho
        return parameter.new_empty(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.rho.take_grad(), None


class _Sigma(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, token: Tensor, rho: _Rho, span: tuple[int, int], shape: torch.Size, power: int) -> Tensor:
        ctx.rho, ctx.span, ctx.power = rho, span, power
        result = rho.value.new_empty(shape)
        for _, sigma, (part,) in rho.chunks(span, result):
            part.copy_(sigma if power == 1 else sigma.square_())
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        total = ctx.rho.grad()
        for columns, sigma, (by_result,) in ctx.rho.chunks(ctx.span, grad):
            slope = _slope(sigma)
            total[:, columns].addcmul_(by_result, slope if ctx.power == 1 else slope.mul_(sigma.mul_(2)))
        return grad.new_zeros(()), None, None, None, None


class _Noise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, token: Tensor, rho: _Rho, span: tuple[int, int], unit: Tensor) -> Tensor:
        ctx.rho, ctx.span = rho, span
        ctx.save_for_backward(unit)
        noise = torch.empty_like(unit)
        for _, sigma, (part, epsilon) in rho.chunks(span, noise, unit):
            torch.mul(sigma, epsilon, out=part)
        return noise

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (unit,) = ctx.saved_tensors
        total = ctx.rho.grad()
        for columns, sigma, (by_noise, epsilon) in ctx.rho.chunks(ctx.span, grad, unit):
            total[:, columns].addcmul_(by_noise, _slope(sigma).mul_(epsilon))
        return grad.new_zeros(()), None, None, None


class _NormalKL(torch.autograd.Function):
    """Σ log(s/σ) + (σ² + (μ − m)²) / (2 s²) − ½ of one weight, [K]; m and s are [1 or K, 1]."""

    @staticmethod
    def forward(
        ctx: Any, token: Tensor, mean: Tensor, rho: _Rho, span: tuple[int, int], loc: Tensor, scale: Tensor
    ) -> Tensor:
        ctx.rho, ctx.span = rho, span
        ctx.save_for_backward(mean, loc, scale)
        total = rho.value.new_zeros(len(rho.value))
        for _, sigma, (mu,) in rho.chunks(span, mean):
            squares = (mu - loc).square_().addcmul_(sigma, sigma)
            total += squares.mul_(0.5 / scale.square()).sub_(sigma.div_(scale).log_()).sub_(0.5).sum(1)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        mean, loc, scale = ctx.saved_tensors
        total = ctx.rho.grad()
        grad = grad.unsqueeze(1)
        scaled = grad / scale.square()
        by_mean = torch.empty_like(mean, memory_format=torch.contiguous_format)
        for columns, sigma, (mu, part) in ctx.rho.chunks(ctx.span, mean, by_mean):
            part.copy_((mu - loc).mul_(scaled))
            total[:, columns].addcmul_(_slope(sigma), (sigma * scaled).sub_(grad / sigma))
        return grad.new_zeros(()), by_mean, None, None, None, None


def _slope(sigma: Tensor) -> Tensor:
    """dσ/dρ, the logistic function of ρ, as 1 − exp(−σ)."""
    return torch.expm1(-sigma).neg_()
