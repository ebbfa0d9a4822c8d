"""What every `Prediction` has, and what those of numbers have besides."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from yuragi.data import check_finite, to_tensors
from yuragi.predictions import mixtures


@dataclass(frozen=True, eq=False)
class Prediction(ABC):
    """What a Bayesian network says of N inputs: an equal-weight mixture of S draws."""

    samples: Tensor
    """Draws of the mean of a target, or of the logits of its classes, [S, N, *out]."""

    provenance: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)
    """How it was made: what the fit was told or found by held-out data, the draws' number and seed."""

    @abstractmethod
    def log_prob(self, y: Any) -> Tensor:
        """log of the mixture's probability of `y`, [N], nats."""

    @property
    def num_rows(self) -> int:
        """N."""
        return self.samples.shape[1]

    def _target(self, y: Any) -> Tensor:
        target = to_tensors(y, self._exact_device, torch.float64)
        if not isinstance(target, Tensor):
            raise TypeError(f"y must be a tensor or array, got {type(y).__name__}")
        check_finite("y", target)
        return target

    def _exact(self, values: Tensor) -> Tensor:
        return values.to(self._exact_device, torch.float64)

    @property
    def _exact_device(self) -> torch.device:
        # Apple's accelerator has no float64, in which everything is scored
        return torch.device("cpu") if self.samples.device.type == "mps" else self.samples.device


@dataclass(frozen=True, eq=False)
class NumericPrediction(Prediction):
    """A mixture of S distributions of a number, for each of N inputs and each output: what all families have in common.

    All results are [N, *out], in the units of the target, and describe the mixture itself. `samples` are the means of its
    parts, the draws of E[y∣x,w].
    """

    @property
    @abstractmethod
    def draw_std(self) -> Tensor:
        """Standard deviation of y if the weights were those of a draw, broadcastable to [S, N, *out]."""

    @cached_property
    def mean(self) -> Tensor:
        """E[y], [N, *out]."""
        return self.samples.mean(0)

    @cached_property
    def epistemic(self) -> Tensor:
        """Standard deviation of E[y∣w] across draws (divided by S, not S − 1), [N, *out]: shrinks with data."""
        return self.samples.std(0, correction=0)

    @cached_property
    def aleatoric(self) -> Tensor:
        """Standard deviation of y if the weights were known, root mean square over draws, [N, *out]: does not shrink."""
        return self.draw_std.expand_as(self.samples).square().mean(0).sqrt()

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of y, [N, *out]: std² = epistemic² + aleatoric² (law of total variance)."""
        return torch.hypot(self.epistemic, self.aleatoric)

    @abstractmethod
    def quantile(self, level: float) -> Tensor:
        """The smallest value that y does not exceed with probability `level` at least, [N, *out]."""

    @abstractmethod
    def crps(self, y: Any) -> Tensor:
        """Continuous ranked probability score of the mixture at `y`, [N, *out], in the units of y; smaller is better."""

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the central interval that holds y with probability `level`, each [N, *out]."""
        if not 0 < level < 1:
            raise ValueError(f"an interval's level must lie strictly between 0 and 1, got {level}")
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def log_prob(self, y: Any) -> Tensor:
        """log of the mixture's density or probability at `y` [N, *out], jointly over outputs: [N], nats."""
        terms = self._draw_log_prob(self._checked(y))
        joint = terms.flatten(2).sum(2) if terms.dim() > 2 else terms
        return joint.logsumexp(0) - math.log(len(joint))

    def cdf(self, y: Any) -> Tensor:
        """P(Y ≤ y) for each output: [N, *out], float64."""
        return self.draw_cdf(y).mean(0)

    def draw_cdf(self, y: Any) -> Tensor:
        """P(Y ≤ y) of each draw alone: [S, N, *out], float64."""
        return self._draw_cdf(self._checked(y))

    @abstractmethod
    def _draw_log_prob(self, y: Tensor) -> Tensor:
        """log density or probability of each draw at `y`, float64 [..., N, *out]: [..., S, N, *out] by broadcasting."""

    @abstractmethod
    def _draw_cdf(self, y: Tensor) -> Tensor:
        """P(Y ≤ y) of each draw, as `_draw_log_prob`."""

    def _row_parts(self, rows: int) -> list[Self]:
        """The same prediction, `rows` rows at a time."""
        held = {part.name: getattr(self, part.name) for part in fields(self)}
        whole = {name: value.expand_as(self.samples) for name, value in held.items() if isinstance(value, Tensor)}
        pieces = {name: values.split(rows, 1) for name, values in whole.items()}
        count = len(pieces["samples"])
        return [replace(self, **{name: piece[i] for name, piece in pieces.items()}) for i in range(count)]

    def _checked(self, y: Any) -> Tensor:
        target = self._target(y)
        if target.shape != self.samples.shape[1:]:
            raise ValueError(
                f"predictions have shape {tuple(self.samples.shape[1:])}, but the targets have shape {tuple(target.shape)}"
            )
        return target.double()


@dataclass(frozen=True, eq=False)
class IntegratedCRPS(NumericPrediction):
    """A mixture whose CRPS is E∣Y − y∣, in closed form, less half the mean difference of two independent Y, integrated."""

    def crps(self, y: Any) -> Tensor:
        """Continuous ranked probability score of the mixture at `y`, [N, *out], in the units of y; smaller is better."""
        target = self._checked(y)
        return self._draw_deviation(target).mean(0) - self._half_difference

    @cached_property
    def _half_difference(self) -> Tensor:
        rows = mixtures.rows_at_once(self.samples)
        return torch.cat([part._integrated_half_difference() for part in self._row_parts(rows)])

    @abstractmethod
    def _draw_deviation(self, y: Tensor) -> Tensor:
        """E∣Y − y∣ of each draw."""

    @abstractmethod
    def _integrated_half_difference(self) -> Tensor:
        """½E∣Y − Y′∣ of the mixture, [N, *out]."""
