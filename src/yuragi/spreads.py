"""The spreads of a large network, weight by weight, so that training holds little beside the parameters.

A small network is fastest with all weights in one tensor: σ, the noise and the KL are then a few operations, however
many layers there are. In a large one it is the results of these operations that fill the memory: σ, ε, σ·ε, each term
of the KL and the gradients of all of them, each as large as the network. Here

- a weight's KL and what its layer takes are made together, a chunk at a time, so that the chunk stays in the cache;
- σ and ε are one tensor a weight, freed as soon as the backward pass is through with that weight;
- all gradients of ρ go straight into one tensor, where autograd would make one for each use of ρ and add them up.

The last is what the gate is for. A function of ρ that autograd knew of would have to return a gradient of the whole of
ρ. The functions here take the gate's output in its place, an empty token that stands for ρ, and add to their piece of
the gradient; autograd runs the gate's backward after all of theirs, and it hands over the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from yuragi.forms import Form, Spread, Variance
from yuragi.normals import Normals, fresh

_CHUNK = 2**18  # numbers computed at once: a megabyte of float32, which stays in the cache


T = TypeVar("T")


class OnDemand(Sequence[T]):
    """Tensors, or whatever else, that are made when first asked for, and then kept.

    Autograd takes later operations first. Noise that is made just before its layer runs has its gradient taken just
    after that layer's; made in advance, it would be taken last of all, and every layer's would be kept until then.
    """

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self._make = make
        self._made: list[T | None] = [None] * count

    def __len__(self) -> int:
        """How many there are."""
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Make it, if it has not been asked for before."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        made = self._made[index]
        if made is None:
            made = self._made[index] = self._make(index)
        return made


class NormalPrior(NamedTuple):
    """N(loc, scale²) of one weight or of each: [1 or K, weights]."""

    loc: Tensor
    scale: Tensor

    def of(self, index: int) -> NormalPrior:
        """That of one weight, [1 or K, 1]."""
        return NormalPrior(self.loc[:, index : index + 1], self.scale[:, index : index + 1])


class Spreads:
    """σ = softplus(ρ) of one step, and what is made of it where and when it is needed.

    Args:
        rho: ρ, [K, P], the weights one after another.
        means: one tensor a weight, [K, *shape], or [*shape] where K is 1.
        normals: source of ε.
    """

    def __init__(self, rho: Tensor, means: Sequence[Tensor], normals: Normals = fresh) -> None:
        self._rho = _Rho(rho.detach())
        self._token: Tensor = _Gate.apply(rho, self._rho)  # type: ignore[no-untyped-call]
        self._means = list(means)
        self._normals = normals
        ends = torch.tensor([mean.numel() // len(rho) for mean in means]).cumsum(0).tolist()
        self._spans = list(zip([0, *ends[:-1]], ends, strict=True))

    def sigma(self) -> OnDemand[Tensor]:
        """σ of each weight, in the shapes and dtypes of the means."""
        return self.values(Spread, None)

    def variance(self) -> OnDemand[Tensor]:
        """σ² of each weight, in the shapes of the means and the dtype of ρ: in half precision it might be zero."""
        return OnDemand(lambda index: self._of(index, Variance, None, None).value, len(self._means))

    def values(self, form: type[Form], generator: torch.Generator | None) -> OnDemand[Tensor]:
        """A form of each weight, in the shapes and dtypes of the means."""

        def make(index: int) -> Tensor:
            return self._of(index, form, generator, None).value.to(self._means[index].dtype)

        return OnDemand(make, len(self._means))

    def kl(self, prior: NormalPrior) -> Tensor:
        """KL of independent Normals N(μ, σ²) from the prior, [K], nats."""
        parts = [self._of(index, None, None, prior).kl for index in range(len(self._means))]
        return torch.stack(parts).sum(0)

    def joint(
        self, form: type[Form], generator: torch.Generator | None, prior: NormalPrior
    ) -> tuple[Callable[[], Tensor], OnDemand[Tensor]]:
        """KL and values, each weight's as one; the KL is to be asked for after the pass, so as not to make all at once."""
        both = OnDemand(lambda index: self._of(index, form, generator, prior), len(self._means))
        values = OnDemand(lambda index: both[index].value, len(self._means))
        return lambda: torch.stack([one.kl for one in both[:]]).sum(0), values

    def _of(
        self, index: int, form: type[Form] | None, generator: torch.Generator | None, prior: NormalPrior | None
    ) -> _Made:
        mean = self._means[index]
        random = form is not None and form.random
        unit = self._normals(mean.shape, self._rho.value, generator) if random else None
        own = None if prior is None else prior.of(index)
        made = _KLAndForm.apply(self._token, mean, self._rho, self._spans[index], form, unit, own)  # type: ignore[no-untyped-call]
        return _Made(*made)


class _Made(NamedTuple):
    kl: Tensor  # [K], without meaning where there is no prior
    value: Tensor  # in the shape of the mean, empty where there is no form


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

    def chunks(
        self, span: tuple[int, int], *tensors: Tensor | None
    ) -> Iterator[tuple[slice, Tensor, Tensor, list[Tensor]]]:
        """Columns of ρ, ρ there, memory for twice as many numbers, [2, K, c], and the same part of each tensor, as [K, c].

        A tensor [K, *shape] or [*shape] that is None gives ρ in its place: it is not looked at.
        """
        members, (start, end) = len(self.value), span
        width = max(1, _CHUNK // members)
        flat = [None if tensor is None else tensor.reshape(members, -1) for tensor in tensors]
        scratch = self.value.new_empty(2, members, min(width, end - start))
        for low in range(start, end, width):
            columns = slice(low, min(low + width, end))
            own = slice(low - start, columns.stop - start)
            rho = self.value[:, columns]
            yield columns, rho, scratch[:, :, : rho.shape[1]], [rho if one is None else one[:, own] for one in flat]


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, rho: _Rho) -> Tensor:
        ctx.rho = rho
        return parameter.new_empty(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.rho.take_grad(), None


class _KLAndForm(torch.autograd.Function):
    """Σ log(s/σ) + (σ² + (μ − m)²) / (2 s²) − ½ of one weight, [K], and a form of it; either may be left out."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,
        mean: Tensor,
        rho: _Rho,
        span: tuple[int, int],
        form: type[Form] | None,
        unit: Tensor | None,
        prior: NormalPrior | None,
    ) -> tuple[Tensor, Tensor]:
        kl = rho.value.new_zeros(len(rho.value))
        value = rho.value.new_empty(0 if form is None else mean.shape)
        kept = rho.value.new_empty(len(rho.value), span[1] - span[0])
        for _, at, scratch, (mu, epsilon, sigma, out) in rho.chunks(span, mean, unit, kept, value if form else None):
            F.softplus(at, out=sigma)  # type: ignore[call-arg]
            if form is not None:
                form.of(mu.to(sigma.dtype), sigma, epsilon, out=out)
            if prior is not None:
                terms = torch.sub(mu, prior.loc, out=scratch[0])
                terms.square_().addcmul_(sigma, sigma).mul_(0.5 / prior.scale.square())
                kl += terms.sum(1) - torch.div(sigma, prior.scale, out=terms).log_().sum(1) - 0.5 * at.shape[1]
        ctx.rho, ctx.span, ctx.form, ctx.prior = rho, span, form, prior
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(mean, unit, kept)
        return kl, value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_kl: Tensor | None, by_value: Tensor | None) -> tuple[Tensor | None, ...]:
        mean, unit, kept = ctx.saved_tensors
        form, prior, total = ctx.form, ctx.prior, ctx.rho.grad()
        by_value = None if form is None else by_value
        along = None if by_kl is None or prior is None else by_kl.unsqueeze(1)
        scaled = None if along is None else along / prior.scale.square()
        of_mean = by_value is not None and form.with_mean
        by_mean = None
        if scaled is not None or of_mean:
            by_mean = torch.empty_like(mean, memory_format=torch.contiguous_format)
        parts = (mean, unit, kept, by_value, by_mean)
        for columns, at, (by_sigma, other), (mu, epsilon, sigma, grad, out) in ctx.rho.chunks(ctx.span, *parts):
            if by_value is None:
                by_sigma.zero_()
            else:
                form.by_sigma(grad, sigma, epsilon, out=by_sigma)
            if along is not None and scaled is not None:
                by_sigma.addcmul_(sigma, scaled).sub_(torch.div(along, sigma, out=other))
                torch.sub(mu, prior.loc, out=other)
                out.copy_(torch.addcmul(grad, other, scaled, out=other) if of_mean else other.mul_(scaled))
            elif of_mean:
                out.copy_(grad)
            total[:, columns].addcmul_(by_sigma, torch.sigmoid(at, out=other))
        return kept.new_zeros(()), by_mean, None, None, None, None, None
