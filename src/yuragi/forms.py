"""What a pass takes in place of the weights, as functions of μ, σ and standard normals ε."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Form(ABC):
    """A function of μ, σ and ε, and its gradient; all tensors of one shape. Results are in `out` where it is given.

    Unless a subclass says otherwise it has no gradient by μ, and that by σ is ε.
    """

    random = True
    """Whether there is an ε in it."""
    with_mean = False
    """Whether there is a μ in it; its gradient is 1."""

    @staticmethod
    @abstractmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:
        """The values."""

    @staticmethod
    def by_sigma(grad: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:
        """The gradient by σ, from that by the values."""
        return torch.mul(grad, unit, out=out)


class Value(Form):
    """w = μ + σ·ε."""

    with_mean = True

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return torch.addcmul(mu, sigma, unit, out=out)


class Noise(Form):
    """w − μ = σ·ε."""

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return torch.mul(sigma, unit, out=out)


class Variance(Form):
    """σ²; there is no ε in it."""

    random = False

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return torch.mul(sigma, sigma, out=out)

    @staticmethod
    def by_sigma(grad: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return torch.mul(grad, sigma, out=out).mul_(2) if out is not None else 2 * grad * sigma


class Spread(Form):
    """σ; there is no ε in it."""

    random = False

    @staticmethod
    def of(mu: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return sigma.clone() if out is None else out.copy_(sigma)

    @staticmethod
    def by_sigma(grad: Tensor, sigma: Tensor, unit: Tensor, out: Tensor | None = None) -> Tensor:  # noqa: D102
        return grad if out is None else out.copy_(grad)
