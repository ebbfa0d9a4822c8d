"""Families of noise around a mean, y = f(x) + scale·ε, and where their scale comes from."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi.likelihoods.likelihood import (
    Likelihood,
    Positive,
    check_shapes,
    check_varied,
    over_outputs,
    spread_of,
    summed,
)

FLOOR = 1e-3
"""Smallest scale that a network can give, relative to the standard deviation of the targets."""
_TRAINED_AT = 0.5  # a scale begins at half the standard deviation of the targets


class LocationScale(Likelihood):
    """y = location + scale·ε, independent for each output: a subclass says what ε is, and another where the scale is from."""

    randomises_targets = True
    initialised: Tensor

    @abstractmethod
    def unit_log_prob(self, unit: Tensor) -> Tensor:
        """log density of ε at `unit` [K, N, *out]."""

    @abstractmethod
    def location_and_scale(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Location [K, N, *out], and scale, which broadcasts to it, of an output of K members."""

    @abstractmethod
    def predicted(self, output: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
        """Location and inflated scale of draws, both [R, N, *out]; row r of `output` comes from member `member[r]`."""

    @abstractmethod
    def clean_residual(self, residual: Tensor, unit: Tensor, strength: Tensor) -> Tensor:
        """The residuals [K, N, *out] that the scale of an anchored member is learned from; `unit` as the output."""

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over outputs: [R, N]."""
        location, scale = self.location_and_scale(output)
        check_shapes(location, y)
        return self._log_density(y - location, scale)

    def randomised_log_prob(self, output: Tensor, y: Tensor, unit: Tensor, strength: Tensor) -> Tensor:
        """Objective of an anchored member: log p(y + scale·strength·unit∣output), and the scale learned from clean residuals.

        The noised residuals would make the scale grow without need, so the gradient of whatever the scale depends on
        comes from log p(y∣output) in their place, with the location held still: with one scale for all members, the M
        step of expectation maximisation.

        The noise of the targets is Gaussian with the scale itself for every family. In a linear problem the members'
        covariance is the exact posterior's for the Gaussian, and for Student-t, asymptotically, 0.96 (df 15) to 1.17 (df
        2.1) times that; noise with the variance of the inverse Fisher information, (df + 3)/(df + 1) scale², would give
        1.08 to 1.95 times, and t noise about the same: the flatter score at a noised residual makes up for the rest.

        Args:
            output: what the network returned, [K, N, *out].
            y: targets.
            unit: standard normals of the shape of `output`.
            strength: of the noise, [1 or K, 1 or N].

        Returns:
            [K, N].
        """
        location, scale = self.location_and_scale(output)
        check_shapes(location, y)
        known = scale.detach()
        strength = strength.reshape(*strength.shape, *[1] * (location.dim() - 2))
        fit = self._log_density(y + known * strength * unit[..., : location.shape[-1]] - location, known)
        if not scale.requires_grad:
            return fit
        learn = self._log_density(self.clean_residual(y - location.detach(), unit, strength), scale)
        return fit + (learn - learn.detach())

    def check_targets(self, y: Tensor) -> None:
        """Refuse class labels."""
        if not y.is_floating_point():
            raise ValueError(
                f"{type(self).__name__} targets must be floating point, got dtype {y.dtype}: convert them with y.float()"
            )

    def _log_density(self, residual: Tensor, scale: Tensor) -> Tensor:
        return summed(self.unit_log_prob(residual / scale) - scale.log())


class ConstantScale(LocationScale):
    """A scale that does not depend on x: fixed, or learned and shared by all data.

    Args:
        noise: the scale in the units of y, > 0: a number, a tensor [K] that gives each member its own, or "learned".
        outputs: how many outputs have a learned noise of their own, along the last axis; 1 shares one among all.
        members: K where each member learns its own noise, as candidates trained side by side do; 1 shares one.

    Raises:
        ValueError: the noise is not positive and finite.
    """

    def __init__(
        self, noise: float | Tensor | Literal["learned"] = "learned", outputs: int = 1, members: int = 1
    ) -> None:
        super().__init__()
        self.scale = Positive("noise", noise, outputs=outputs, members=members)
        self.register_buffer("initialised", torch.tensor(False))
        if self.learned:
            self.inflation = torch.ones(())

    @property
    def learned(self) -> bool:
        """Whether the noise is learned."""
        return self.scale.learned

    @property
    def noise(self) -> Tensor:
        """The scale, [1 or K, outputs], with gradient when it is learned."""
        scale: Tensor = self.scale()
        return scale

    def location_and_scale(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The output itself, and the noise."""
        return output, self.scale.over(output)

    def predicted(self, output: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
        """The output itself and the noise, inflated where it was learned."""
        scale = self.scale.over_rows(output, member).expand_as(output)
        return output, scale if self.inflation is None else scale * self.inflation.to(scale)

    def clean_residual(self, residual: Tensor, unit: Tensor, strength: Tensor) -> Tensor:
        """The residuals as they are: a scale that all data share is so well known that its spread is left out."""
        return residual

    def check_targets(self, y: Tensor) -> None:
        """Refuse class labels and, where the noise is to be learned from them, targets that are all the same."""
        super().check_targets(y)
        if self.learned and self.scale.raw.requires_grad:
            check_varied(y, self.scale.raw.shape[1], "the learned noise")

    def initialise(self, y: Tensor) -> None:
        """Set a learned noise to half the standard deviation of the targets, once."""
        if not self.learned or bool(self.initialised):
            return
        self.scale.begin_at(_TRAINED_AT * spread_of(y, self.scale.raw.shape[1]))
        self.initialised.fill_(True)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return self.scale.argument()


class NetworkScale(LocationScale):
    """A scale that the network gives for each x beside the mean: it returns [N, 2·d] for targets [N, d].

    The first d outputs are the mean; the last d outputs r give the scale s·(0.001 + softplus(r)), where s is the standard
    deviation of the targets, set by `initialise`. So the scale never falls below a thousandth of the targets' own spread,
    and its gradient is finite everywhere.

    Args:
        outputs: how many outputs have an s of their own, along the last axis; 1 shares one among all.

    Raises:
        ValueError: `outputs` is less than 1.
    """

    spread: Tensor

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"outputs must be at least 1, got {outputs}")
        self.register_buffer("spread", torch.ones(1, outputs))
        self.register_buffer("initialised", torch.tensor(False))
        self.inflation = torch.ones(())

    def predicted(self, output: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
        """Both from the output, the scale inflated."""
        location, scale = self.location_and_scale(output)
        return location, scale if self.inflation is None else scale * self.inflation.to(scale)

    def location_and_scale(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Both from the output, [K, N, ..., 2·d]: each [K, N, ..., d]."""
        if output.dim() < 3 or output.shape[-1] % 2:
            raise ValueError(
                f"{type(self).__name__} needs a mean and a scale for each output, but the network returned "
                f"{tuple(output.shape[1:])}: give its last layer 2·d outputs for targets [N, d]"
            )
        location, raw = output.chunk(2, -1)
        return location, over_outputs(self.spread, location) * (FLOOR + F.softplus(raw))

    def clean_residual(self, residual: Tensor, unit: Tensor, strength: Tensor) -> Tensor:
        """The residuals times a log-normal noise, whose square has mean 1 and variance 2/3 where the strength is 1.

        The score of log scale in the Gaussian density is (residual/scale)² − 1: with the square, whose own mean square is
        3, multiplied by such a noise it varies by the Fisher information, 2, from member to member, as the score of the
        location does with noised targets. So members differ in their scale as draws of the posterior do.
        """
        variance = torch.log1p(2 / 3 * strength.square())
        return residual * torch.exp(0.5 * (variance.sqrt() * unit[..., residual.shape[-1] :] - 0.5 * variance))

    def check_targets(self, y: Tensor) -> None:
        """Refuse class labels, and at first targets that are all the same: later, the past holds the scale."""
        super().check_targets(y)
        if not bool(self.initialised):
            check_varied(y, self.spread.shape[1], "the scale")

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set s to the standard deviation of the targets, once."""
        if bool(self.initialised):
            return
        self.spread.copy_(spread_of(y, self.spread.shape[1]))
        self.initialised.fill_(True)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return {"outputs": columns} if (columns := self.spread.shape[1]) > 1 else {}
