"""Gaussian noise: constant, or as the network says."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Normal

from yuragi.likelihoods.likelihood import LOG_2PI
from yuragi.likelihoods.location_scale import ConstantScale, LocationScale, NetworkScale


class _Normal(LocationScale):
    def unit_log_prob(self, unit: Tensor) -> Tensor:
        """log N(unit; 0, 1)."""
        return -0.5 * (unit.square() + LOG_2PI)

    def distribution(self, output: Tensor, member: Tensor) -> Normal:
        """Normal, batch shape [R, N, *out]."""
        return Normal(*self.predicted(output, member), validate_args=False)


class Gaussian(_Normal, ConstantScale):
    """y ~ N(f(x), noise²), independent for each output.

    Args:
        noise: standard deviation in the units of y, > 0: a number, a tensor [K] that gives each member its own, or
            "learned".
        outputs: how many outputs have a learned noise of their own, along the last axis; 1 shares one among all.
        members: K where each member learns its own noise, as candidates trained side by side do; 1 shares one.

    Raises:
        ValueError: the noise is not positive and finite.

    Example:
        >>> import torch
        >>> likelihood = Gaussian(noise=0.5)
        >>> likelihood.log_prob(torch.zeros(1, 2, 1), torch.zeros(2, 1))
        tensor([[-0.2258, -0.2258]])
    """

    per_member = ("noise",)


class HeteroscedasticGaussian(_Normal, NetworkScale):
    """y ~ N(m(x), σ(x)²), independent for each output, where the network gives both: it returns [N, 2·d] for [N, d].

    The first d outputs are the mean m; the last d outputs r give σ = s·(0.001 + softplus(r)), where s is the standard
    deviation of the targets, which `fit` sets: so σ cannot collapse onto the data. Nix & Weigend, "Estimating the mean
    and variance of the target probability distribution", 1994.

    Args:
        outputs: how many outputs have an s of their own, along the last axis; 1 shares one among all.

    Raises:
        ValueError: `outputs` is less than 1.

    Example:
        >>> import torch
        >>> output = torch.tensor([[[0.5, 0.0]]])  # one draw, one datum: mean 0.5, σ = 0.001 + log 2
        >>> HeteroscedasticGaussian().distribution(output, torch.tensor([0])).stddev
        tensor([[[0.6941]]])
    """
