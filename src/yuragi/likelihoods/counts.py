"""Counts: how many events there were."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import NegativeBinomial as NegativeBinomialDistribution
from torch.distributions import Poisson as PoissonDistribution

from yuragi.likelihoods.likelihood import Likelihood, Positive, check_shapes, columns_of, summed

_LEAST_DISPERSION = 1e-6
_START = (0.01, 10.0)  # bounds of what the targets' own dispersion may be halved to


class _Counts(Likelihood):
    """The mean is exp(f(x)); targets are whole numbers from 0 on, of any dtype."""

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over outputs: [R, N, *out] and [N, *out] give [R, N]."""
        check_shapes(output, y)
        return summed(self._terms(output, y.to(output.dtype)))

    def check_targets(self, y: Tensor) -> None:
        """Refuse targets that are not whole numbers from 0 on."""
        wrong = (y < 0) | (y != y.round()) if y.is_floating_point() else y < 0
        if bool(wrong.any()):
            raise ValueError(
                f"{type(self).__name__} targets must be whole numbers from 0 on, got {y[wrong][0].item():g}"
            )

    @abstractmethod
    def _terms(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output) of each output, [R, N, *out]."""


class Poisson(_Counts):
    """y ~ Poisson(exp(f(x))), independent for each output: the variance equals the mean.

    The network returns the logarithm of the mean, [N, *out]; targets are whole numbers [N, *out], of any dtype.

    Example:
        >>> Poisson().log_prob(torch.zeros(1, 2, 1), torch.tensor([[0], [3]]))  # rate 1
        tensor([[-1.0000, -2.7918]])
    """

    def distribution(self, output: Tensor, member: Tensor) -> PoissonDistribution:
        """Poisson, batch shape [R, N, *out]."""
        return PoissonDistribution(output.exp(), validate_args=False)

    def _terms(self, output: Tensor, y: Tensor) -> Tensor:
        return y * output - output.exp() - torch.lgamma(y + 1)


class NegativeBinomial(_Counts):
    """y ~ NB with mean m = exp(f(x)) and variance m + dispersion·m²: counts that vary more than a Poisson's.

    The network returns the logarithm of the mean, [N, *out]; targets are whole numbers [N, *out], of any dtype. As the
    dispersion falls to 0 this is the Poisson. Cameron & Trivedi, "Regression analysis of count data", 1998 (NB2).

    Args:
        dispersion: > 1e-6: a number, a tensor [K] that gives each member its own, or "learned".
        outputs: how many outputs have a learned dispersion of their own, along the last axis; 1 shares one among all.
        members: K where each member learns its own dispersion; 1 shares one.

    Raises:
        ValueError: the dispersion does not exceed 1e-6, or is not finite.

    Example:
        >>> NegativeBinomial(dispersion=1.0).log_prob(torch.zeros(1, 2, 1), torch.tensor([[0], [3]]))  # geometric
        tensor([[-0.6931, -2.7726]])
    """

    per_member = ("dispersion",)
    initialised: Tensor

    def __init__(
        self, dispersion: float | Tensor | Literal["learned"] = "learned", outputs: int = 1, members: int = 1
    ) -> None:
        super().__init__()
        self.excess = Positive("dispersion", dispersion, outputs=outputs, members=members, lowest=_LEAST_DISPERSION)
        self.register_buffer("initialised", torch.tensor(False))

    @property
    def dispersion(self) -> Tensor:
        """The dispersion, [1 or K, outputs], with gradient when it is learned."""
        dispersion: Tensor = self.excess()
        return dispersion

    def distribution(self, output: Tensor, member: Tensor) -> NegativeBinomialDistribution:
        """Negative binomial with total count 1/dispersion, batch shape [R, N, *out]."""
        dispersion = self.excess.over_rows(output, member).expand_as(output)
        return NegativeBinomialDistribution(1 / dispersion, logits=output + dispersion.log(), validate_args=False)

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set a learned dispersion to half that of the targets, once: the network will explain a part of it."""
        if not self.excess.learned or bool(self.initialised):
            return
        columns = columns_of(y, self.excess.raw.shape[1]).cpu().double()
        mean = columns.mean(0).clamp_min(1e-6)
        self.excess.begin_at((0.5 * (columns.var(0, correction=0) - mean) / mean.square()).clamp(*_START))
        self.initialised.fill_(True)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return self.excess.argument()

    def _terms(self, output: Tensor, y: Tensor) -> Tensor:
        dispersion = self.excess.over(output)
        # in float64 where there is one: as the dispersion falls, a small difference of large values is left of lgamma
        exact = output if output.device.type == "mps" else output.double()
        count, logit = 1 / dispersion.to(exact), exact + dispersion.to(exact).log()  # log of dispersion · mean
        total = y.to(exact) + count
        terms = torch.lgamma(total) - torch.lgamma(count) - torch.lgamma(y.to(exact) + 1)
        terms = terms - total * torch.nn.functional.softplus(logit) + y.to(exact) * logit
        return terms.to(output.dtype)
