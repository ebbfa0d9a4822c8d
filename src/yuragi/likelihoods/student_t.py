"""Student-t noise, for data with outliers: with a constant scale, or as the network says."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import StudentT as StudentTDistribution

from yuragi.likelihoods.likelihood import Positive
from yuragi.likelihoods.location_scale import ConstantScale, LocationScale, NetworkScale

_LEAST_DF = 2.0  # up to which the variance is infinite
_START = 6.0


class _StudentT(LocationScale):
    tail: Positive

    @property
    def df(self) -> Tensor:
        """Degrees of freedom, [1 or K, 1], with gradient when they are learned."""
        df: Tensor = self.tail()
        return df

    def unit_log_prob(self, unit: Tensor) -> Tensor:
        """log density of the standard t at `unit` [K, N, *out]."""
        df = self.tail.over(unit)
        exact = (
            df if df.device.type == "mps" else df.double()
        )  # lgamma of large values loses digits in their difference
        constant = torch.lgamma(0.5 * (exact + 1)) - torch.lgamma(0.5 * exact) - 0.5 * torch.log(math.pi * exact)
        return constant.to(unit.dtype) - 0.5 * (df + 1) * torch.log1p(unit.square() / df)

    def distribution(self, output: Tensor, member: Tensor) -> StudentTDistribution:
        """Student-t, batch shape [R, N, *out]."""
        location, scale = self.predicted(output, member)
        return StudentTDistribution(
            self.tail.over_rows(location, member).expand_as(location), location, scale, validate_args=False
        )


class StudentT(_StudentT, ConstantScale):
    """y = f(x) + noise·ε with ε ~ Student-t with `df` degrees of freedom, independent for each output.

    An outlier pulls f(x) with a force that falls with its distance, where under a Gaussian it grows. The standard
    deviation of y is noise·√(df/(df − 2)). Lange et al., "Robust statistical modeling using the t distribution", 1989.

    Args:
        df: degrees of freedom, > 2 (else the variance would be infinite): a number, a tensor [K] that gives each member
            its own, or "learned".
        noise: the scale in the units of y, > 0: a number, a tensor [K] that gives each member its own, or "learned".
        outputs: how many outputs have a learned noise of their own, along the last axis; 1 shares one among all.
        members: K where each member learns its own noise and degrees of freedom; 1 shares them.

    Raises:
        ValueError: the noise is not positive and finite, or the degrees of freedom do not exceed 2.

    Example:
        >>> likelihood = StudentT(df=4.0, noise=0.5)
        >>> likelihood.log_prob(torch.zeros(1, 2, 1), torch.tensor([[0.0], [5.0]]))
        tensor([[-0.2877, -8.4329]])
    """

    per_member = ("df", "noise")

    def __init__(
        self,
        df: float | Tensor | Literal["learned"] = "learned",
        noise: float | Tensor | Literal["learned"] = "learned",
        outputs: int = 1,
        members: int = 1,
    ) -> None:
        learned = isinstance(noise, str)
        if not learned and not isinstance(df, str):
            _check_nothing_learned(members)
        super().__init__(noise, outputs, members if learned else 1)
        self.tail = _degrees_of_freedom(df, members if isinstance(df, str) else 1)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return self.tail.argument() | super().arguments()


class HeteroscedasticStudentT(_StudentT, NetworkScale):
    """y = m(x) + s(x)·ε with ε ~ Student-t, where the network gives both: it returns [N, 2·d] for targets [N, d].

    The outputs are as for `HeteroscedasticGaussian`; the standard deviation of y is s(x)·√(df/(df − 2)).

    Args:
        df: degrees of freedom, > 2: a number, a tensor [K] that gives each member its own, or "learned".
        outputs: how many outputs are measured by a standard deviation of their own; 1 shares one among all.
        members: K where each member learns its own degrees of freedom; 1 shares them.

    Raises:
        ValueError: the degrees of freedom do not exceed 2.

    Example:
        >>> HeteroscedasticStudentT(df=4.0).log_prob(torch.zeros(1, 2, 2), torch.zeros(2, 1))
        tensor([[-0.6158, -0.6158]])
    """

    per_member = ("df",)

    def __init__(self, df: float | Tensor | Literal["learned"] = "learned", outputs: int = 1, members: int = 1) -> None:
        super().__init__(outputs)
        self.tail = _degrees_of_freedom(df, members)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return self.tail.argument() | super().arguments()


def _degrees_of_freedom(df: float | Tensor | Literal["learned"], members: int) -> Positive:
    return Positive("df", df, start=_START, members=members, lowest=_LEAST_DF)


def _check_nothing_learned(members: int) -> None:
    if members != 1:
        raise ValueError('members= goes with noise="learned" or df="learned"')
