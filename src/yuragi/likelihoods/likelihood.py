"""What every likelihood does, and the parameters that several have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from yuragi.posteriors.posterior import inverse_softplus


class Likelihood(nn.Module, ABC):
    """What the user passes as `likelihood=`. Outputs have a leading axis R of draws or members throughout."""

    randomises_targets = False
    """Whether `randomised_log_prob` uses its noise, so that an anchored member must know which data it is given."""

    per_member: tuple[str, ...] = ()
    """Arguments that may be a tensor [K], which gives each member its own."""
    inflation: Tensor | None
    """What the scale of a distribution is multiplied by, scalar: 1, or what held-out data say; None for a known scale."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inflation", None)

    @abstractmethod
    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output) of each datum, nats, summed over its outputs.

        Args:
            output: what the network returned, [R, N, *out].
            y: targets.

        Returns:
            [R, N].

        Raises:
            ValueError: the shapes do not agree; nothing is broadcast.
        """

    @abstractmethod
    def distribution(self, output: Tensor, member: Tensor) -> Distribution:
        """p(y∣output) as a `torch.distributions` object, batch shape [R, N, ...]; row r comes from member `member[r]`."""

    def randomised_log_prob(self, output: Tensor, y: Tensor, unit: Tensor, strength: Tensor) -> Tensor:
        """Objective of an anchored member, in the place of `log_prob`: here the same, for its anchor alone spreads it.

        Args:
            output: [K, N, *out].
            y: targets.
            unit: standard normals of the shape of `output`, the same whenever the member meets the datum.
            strength: what the noise is to be multiplied by, [1 or K, 1 or N]: 1, unless the posterior is tempered or the
                datum weighted.

        Returns:
            [K, N].
        """
        return self.log_prob(output, y)

    def check_targets(self, y: Tensor) -> None:
        """Refuse targets that this likelihood cannot describe."""

    def initialise(self, y: Tensor) -> None:
        """Set the likelihood's own parameters from training targets, before the first fit."""

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return {}

    def __repr__(self) -> str:
        """The likelihood as it is made, without the modules that it is made of."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())


class Positive(nn.Module):
    """A positive parameter of a likelihood: fixed, or learned from `lowest` up, for all members or one for each.

    Args:
        name: what it is, for error messages.
        value: a number, a tensor [K] that gives each member its own, or "learned".
        start: where a learned one begins.
        outputs: how many outputs have a learned one of their own, along the last axis; 1 shares one among all.
        members: K where each member learns its own; 1 shares one among all.
        lowest: what a fixed one must exceed, and a learned one does.

    Raises:
        ValueError: the value does not exceed `lowest`, or is not finite.

    Example:
        >>> Positive("noise", 0.5)()
        tensor([[0.5000]])
    """

    fixed: Tensor

    def __init__(
        self,
        name: str,
        value: float | Tensor | Literal["learned"],
        *,
        start: float = 1.0,
        outputs: int = 1,
        members: int = 1,
        lowest: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.lowest = name, lowest
        self.learned = isinstance(value, str)
        for what, count in (("outputs", outputs), ("members", members)):
            if count < 1:
                raise ValueError(f"{what} must be at least 1, got {count}")
        if isinstance(value, str):
            if value != "learned":
                raise ValueError(f'{name} must be a positive number or "learned", got {value!r}')
            start_raw = inverse_softplus(torch.tensor(start - lowest))
            self.raw = nn.Parameter(start_raw.expand(members, outputs).clone())
            return
        fixed = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float32).detach()
        if fixed.dim() > 1 or not bool((torch.isfinite(fixed) & (fixed > lowest)).all()):
            least = f"greater than {lowest:g}" if lowest else "positive"
            raise ValueError(f"{name} must be {least} and finite (a number, or a tensor [members]), got {value}")
        if outputs != 1 or members != 1:
            raise ValueError(f'outputs= and members= go with {name}="learned"')
        self.register_buffer("fixed", fixed.reshape(-1, 1))

    def forward(self) -> Tensor:
        """The parameter, [1 or K, outputs], with gradient when it is learned."""
        return self.lowest + F.softplus(self.raw) if self.learned else self.fixed

    @torch.no_grad()
    def begin_at(self, value: Tensor) -> None:
        """Let a learned parameter begin at `value`, which broadcasts to [K, outputs]."""
        self.raw.copy_(inverse_softplus(value - self.lowest))

    def keep_member(self, member: int) -> None:
        """Hold the value of one member alone, where each has its own."""
        if len(self()) > 1:
            if self.learned:
                self.raw = nn.Parameter(self.raw.detach()[member : member + 1].clone())
            else:
                self.fixed = self.fixed[member : member + 1].clone()

    def over(self, like: Tensor) -> Tensor:
        """The parameter in a shape that broadcasts to `like`, [K, N, *out].

        Raises:
            ValueError: it has several values, and `like` another number of members or outputs.
        """
        return self._broadcast(self(), like)

    def over_rows(self, like: Tensor, member: Tensor) -> Tensor:
        """The same for `like` of draws, [R, N, *out], where row r comes from member `member[r]`."""
        values = self()
        return self._broadcast(values if len(values) == 1 else values[member], like)

    def argument(self) -> dict[str, Any]:
        """What to construct an equal one with."""
        if self.learned:
            members, outputs = self.raw.shape
            counts = {"outputs": outputs, "members": members}
            return {self.name: "learned"} | {what: count for what, count in counts.items() if count > 1}
        values = self.fixed.flatten()
        if len(values) > 1:
            return {self.name: values}
        # the shortest decimal of a float32: 0.1, not 0.10000000149
        return {self.name: float(str(values.cpu().numpy()[0])) if values.dtype == torch.float32 else float(values)}

    def columns(self, y: Tensor) -> Tensor:
        """Targets [N, *out] with one column for each learned value of a member."""
        return columns_of(y, self.raw.shape[1])

    def _broadcast(self, values: Tensor, like: Tensor) -> Tensor:
        rows = len(values)
        if rows not in (1, len(like)):
            raise ValueError(
                f"{self.name} has {rows} values, but there are {len(like)} members: give one, or one a member"
            )
        return over_outputs(values, like)


def over_outputs(values: Tensor, like: Tensor) -> Tensor:
    """Values [rows, outputs] in a shape that broadcasts to `like`, [rows, N, *out], with the outputs on its last axis."""
    rows, outputs = values.shape
    if outputs > 1 and (like.dim() < 3 or like.shape[-1] != outputs):
        raise ValueError(f"the likelihood has {outputs} outputs, but the network returned {tuple(like.shape[1:])}")
    shape = (rows, *[1] * (like.dim() - 2), outputs) if like.dim() > 2 else (rows, 1)
    return values.reshape(shape).to(like.dtype)


def columns_of(y: Tensor, outputs: int) -> Tensor:
    """Targets [N, *out] as [rows, outputs]."""
    if outputs > 1 and (y.dim() < 2 or y.shape[-1] != outputs):
        raise ValueError(f"the likelihood has {outputs} outputs, but the targets have shape {tuple(y.shape)}")
    return y.reshape(-1, outputs)


def spread_of(y: Tensor, outputs: int) -> Tensor:
    """Standard deviation of the targets [N, *out], float64 on the CPU, [outputs]; never zero."""
    return columns_of(y, outputs).cpu().double().std(0, correction=0).clamp_min(2e-6)


def check_shapes(output: Tensor, y: Tensor) -> None:
    """Refuse targets [N, *out] that are not shaped as what the network returned, [R, N, *out]."""
    if output.shape[1:] != y.shape:
        hint = ""
        if output.shape[1:].numel() == y.numel():
            hint = f": reshape the targets to {tuple(output.shape[1:])}"
        raise ValueError(
            f"the network returned {tuple(output.shape[1:])}, but the targets have shape {tuple(y.shape)}{hint}"
        )


def check_varied(y: Tensor, outputs: int, what: str) -> None:
    """Refuse targets [N, *out] that are all the same: `what` would shrink to zero."""
    same = columns_of(y == y[:1], outputs).all(0)
    if bool(same.any()):
        which = f"output {int(same.nonzero()[0])} of the targets is" if len(same) > 1 else "the targets are"
        raise ValueError(
            f"{which} constant, so {what} would shrink to zero: check the target column, or give a fixed noise"
        )


def summed(terms: Tensor) -> Tensor:
    """[R, N, *out] summed over the outputs: [R, N]."""
    return terms.flatten(2).sum(2) if terms.dim() > 2 else terms


LOG_2PI = math.log(2 * math.pi)
