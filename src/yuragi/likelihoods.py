"""Likelihoods p(y∣f(x)): how a network's output describes a target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

_LOG_2PI = math.log(2 * math.pi)


class Likelihood(nn.Module, ABC):
    """What the user passes as `likelihood=`. Outputs have a leading axis R of draws or members throughout."""

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

    def check_targets(self, y: Tensor) -> None:
        """Refuse targets that this likelihood cannot describe."""

    def initialise(self, y: Tensor) -> None:
        """Set the likelihood's own parameters from training targets, before the first fit."""

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        return {}

    def extra_repr(self) -> str:
        """Arguments, for printing."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())


class Gaussian(Likelihood):
    """y ~ N(f(x), noise²), independent for each output.

    Args:
        noise: standard deviation in the units of y, > 0: a number, a tensor [K] that gives each member its own, or
            "learned".
        outputs: how many outputs have a learned noise of their own, along the last axis; 1 shares one among all.

    Raises:
        ValueError: the noise is not positive and finite.

    Example:
        >>> likelihood = Gaussian(noise=0.5)
        >>> likelihood.log_prob(torch.zeros(1, 2, 1), torch.zeros(2, 1))
        tensor([[-0.2258, -0.2258]])
    """

    fixed: Tensor
    initialised: Tensor

    def __init__(self, noise: float | Tensor | Literal["learned"] = "learned", outputs: int = 1) -> None:
        super().__init__()
        self.learned = isinstance(noise, str)
        if isinstance(noise, str):
            if noise != "learned":
                raise ValueError(f'noise must be a positive number or "learned", got {noise!r}')
            if outputs < 1:
                raise ValueError(f"outputs must be at least 1, got {outputs}")
            self.raw = nn.Parameter(torch.full((1, outputs), math.log(math.expm1(1.0))))
            self.register_buffer("initialised", torch.tensor(False))
            return
        fixed = torch.as_tensor(noise, dtype=None if isinstance(noise, Tensor) else torch.float32).detach()
        if fixed.dim() > 1 or not bool((torch.isfinite(fixed) & (fixed > 0)).all()):
            raise ValueError(f"noise must be positive and finite (a number, or a tensor [members]), got {noise}")
        if outputs != 1:
            raise ValueError('outputs= goes with noise="learned"')
        self.register_buffer("fixed", fixed.reshape(-1, 1))

    @property
    def noise(self) -> Tensor:
        """The noise standard deviation, [1 or K, outputs], with gradient when it is learned."""
        return F.softplus(self.raw) if self.learned else self.fixed

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over outputs: [R, N, *out] and [N, *out] give [R, N]."""
        self._check_shapes(output, y)
        return _normal_log_prob(output, y, self._noise_like(output, self.noise))

    def randomised_log_prob(self, output: Tensor, y: Tensor, unit: Tensor) -> Tensor:
        """Objective of an anchored member: log p(y + noise·unit∣output), and the noise learned from clean residuals.

        The noised residuals would make the noise grow without need, so its gradient comes from log p(y∣output) in their
        place, averaged over members like everything else: the M step of expectation maximisation.

        Args:
            output: [K, N, *out].
            y: targets, [N, *out].
            unit: standard normals, [K, N, *out].

        Returns:
            [K, N].
        """
        self._check_shapes(output, y)
        noise = self._noise_like(output, self.noise)
        known = noise.detach()
        fit = _normal_log_prob(output, y + known * unit, known)
        if not self.learned:
            return fit
        learn = _normal_log_prob(output.detach(), y, noise)
        return fit + (learn - learn.detach())

    def distribution(self, output: Tensor, member: Tensor) -> torch.distributions.Normal:
        """N(output, noise²), batch shape [R, N, *out]."""
        return torch.distributions.Normal(output, self.noise_of(output, member).expand_as(output))

    def noise_of(self, output: Tensor, member: Tensor) -> Tensor:
        """The noise standard deviation of each row of `output` [R, N, *out], to which it broadcasts."""
        return self._noise_like(output, self.noise if len(self.noise) == 1 else self.noise[member])

    def check_targets(self, y: Tensor) -> None:
        """Refuse class labels and, when the noise is learned, targets that are all the same."""
        if not y.is_floating_point():
            raise ValueError(
                f"Gaussian targets must be floating point, got dtype {y.dtype}: convert them with y.float()"
            )
        if not self.learned:
            return
        same = self._columns(y == y[:1]).all(0)
        if bool(same.any()):
            which = f"output {int(same.nonzero()[0])} of the targets is" if len(same) > 1 else "the targets are"
            raise ValueError(
                f"{which} constant, so the learned noise would shrink to zero: "
                "check the target column, or give a fixed noise"
            )

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set a learned noise to half the standard deviation of the targets, once."""
        if not self.learned or bool(self.initialised):
            return
        half = (0.5 * self._columns(y).cpu().double().std(0, correction=0)).clamp_min(1e-6)
        self.raw.copy_(half + torch.log(-torch.expm1(-half)))
        self.initialised.fill_(True)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal likelihood with."""
        if self.learned:
            return {"noise": "learned", "outputs": self.raw.shape[1]}
        values = self.fixed.flatten()
        if len(values) > 1:
            return {"noise": values}
        # the shortest decimal of a float32: 0.1, not 0.10000000149
        return {"noise": float(str(values.cpu().numpy()[0])) if values.dtype == torch.float32 else float(values)}

    def _columns(self, y: Tensor) -> Tensor:
        # one column for each learned noise
        outputs = self.raw.shape[1]
        if outputs > 1 and (y.dim() < 2 or y.shape[-1] != outputs):
            raise ValueError(f"the likelihood has {outputs} outputs, but the targets have shape {tuple(y.shape)}")
        return y.reshape(-1, outputs)

    def _noise_like(self, output: Tensor, noise: Tensor) -> Tensor:
        rows, outputs = noise.shape
        if rows not in (1, len(output)):
            raise ValueError(f"noise has {rows} values, but there are {len(output)} members: give one, or one a member")
        if outputs > 1 and (output.dim() < 3 or output.shape[-1] != outputs):
            raise ValueError(
                f"the likelihood has {outputs} outputs, but the network returned {tuple(output.shape[1:])}"
            )
        shape = (rows, *[1] * (output.dim() - 2), outputs) if output.dim() > 2 else (rows, 1)
        return noise.reshape(shape).to(output.dtype)

    def _check_shapes(self, output: Tensor, y: Tensor) -> None:
        if output.shape[1:] != y.shape:
            hint = ""
            if output.shape[1:].numel() == y.numel():
                hint = f": reshape the targets to {tuple(output.shape[1:])}"
            raise ValueError(
                f"the network returned {tuple(output.shape[1:])}, but the targets have shape {tuple(y.shape)}{hint}"
            )


class Categorical(Likelihood):
    """y ∈ {0, …, C−1} with probabilities softmax(f(x)).

    The network returns logits [N, C, *positions], the targets are integers [N, *positions], as for
    `torch.nn.functional.cross_entropy`.

    Example:
        >>> Categorical().log_prob(torch.zeros(1, 2, 4), torch.tensor([0, 3]))
        tensor([[-1.3863, -1.3863]])
    """

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over positions: [R, N, C, *positions] and [N, *positions] give [R, N]."""
        if output.dim() < 3 or output.shape[1:2] + output.shape[3:] != y.shape:
            raise ValueError(
                f"the network returned {tuple(output.shape[1:])}, which must be [N, classes], but the labels have shape "
                f"{tuple(y.shape)}, which must be [N]"
            )
        self.check_targets(y)
        # on an accelerator the comparison would make the host wait for it at every step
        if y.device.type == "cpu" and y.numel() and int(y.max()) >= output.shape[2]:
            raise ValueError(
                f"the labels go up to {int(y.max())}, but the network has {output.shape[2]} classes, from 0 on"
            )
        labels = y.long().unsqueeze(1).expand(len(output), -1, -1, *output.shape[3:])
        chosen = output.log_softmax(2).gather(2, labels).squeeze(2)
        return chosen.flatten(2).sum(2) if chosen.dim() > 2 else chosen

    def distribution(self, output: Tensor, member: Tensor) -> torch.distributions.Categorical:
        """Categorical with logits `output`, batch shape [R, N, *positions]."""
        return torch.distributions.Categorical(logits=output.movedim(2, -1))

    def check_targets(self, y: Tensor) -> None:
        """Refuse labels that are not integers from 0 on."""
        if y.is_floating_point() or y.is_complex():
            raise ValueError(f"class labels must be integers, got dtype {y.dtype}: convert them with y.long()")
        if y.device.type == "cpu" and y.numel() and int(y.min()) < 0:
            raise ValueError(f"class labels must be 0 or more, got {int(y.min())}")


def _normal_log_prob(mean: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    # the constant is added once a datum, not once an output
    scaled = (y - mean) / noise
    terms = -0.5 * scaled.square() - noise.log()
    terms = terms.flatten(2).sum(2) if terms.dim() > 2 else terms
    return terms - 0.5 * _LOG_2PI * (mean.shape[2:].numel())
