"""What every calibrator does, and what it asks of a prediction."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from yuragi.data import check_finite, to_tensors
from yuragi.metrics.checks import double


@dataclass(frozen=True, eq=False)
class Calibrator(ABC):
    """Fitted on held-out data, then called with other predictions; it holds only numbers and tensors."""

    @classmethod
    @abstractmethod
    def fit(cls, prediction: Any, y: Any) -> Self:
        """Fit to the prediction of held-out inputs and their targets."""

    @abstractmethod
    def __call__(self, prediction: Any) -> Any:
        """The prediction, recalibrated."""

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal calibrator with."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class HasMean(Protocol):
    """A prediction of numbers that has a mean, [N, *out]."""

    @property
    def mean(self) -> Tensor:
        """E[y], [N, *out]."""


class HasStd(HasMean, Protocol):
    """A prediction of numbers that has a mean and a standard deviation, [N, *out]."""

    @property
    def std(self) -> Tensor:
        """Standard deviation of y, [N, *out]."""


class Rescalable(HasStd, Protocol):
    """A prediction of numbers that can be shifted and scaled."""

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> Self:
        """The prediction of loc + scale·y, in float64."""


class HasQuantiles(HasMean, Protocol):
    """A prediction of numbers that has a distribution function and quantiles."""

    def cdf(self, y: Any) -> Tensor:
        """P(Y ≤ y), [N, *out]."""

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]."""


class Partial:
    """A prediction that is less than a distribution: it refuses, by name, whatever it cannot say."""

    _has: ClassVar[str]

    if not TYPE_CHECKING:  # else every attribute would pass the type checker

        def __getattr__(self, name: str) -> Any:
            """Refuse; called for what is not found."""
            raise AttributeError(
                f"{type(self).__name__} has no '{name}', only {self._has}: it is no full distribution; "
                "for the rest ask the prediction that was calibrated, or calibrate it otherwise"
            )


def require(calibrator: str, prediction: Any, *names: str) -> None:
    """Refuse a prediction that lacks what the calibrator needs."""
    has = set(dir(prediction))  # hasattr would compute it
    missing = [name for name in names if name not in has]
    if missing:
        raise TypeError(
            f"{calibrator} needs a prediction with {', '.join(names)}, and {type(prediction).__name__} has no "
            f"{', '.join(missing)}: help(yuragi.calibration) lists the calibrators of numbers and of classes"
        )


def targets_for(mean: Tensor, y: Any) -> Tensor:
    """Held-out targets in float64, of the shape of `mean`, finite and at least one."""
    device = torch.device("cpu") if mean.device.type == "mps" else mean.device
    target = to_tensors(y, device, torch.float64)
    if not isinstance(target, Tensor):
        raise TypeError(f"y must be a tensor or array, got {type(y).__name__}")
    check_finite("y", target)
    if target.shape != mean.shape:
        raise ValueError(
            f"predictions have shape {tuple(mean.shape)}, but the targets have shape {tuple(target.shape)}"
        )
    if not target.numel():
        raise ValueError("there are no held-out data: a calibrator needs at least one row")
    return target.double()


def check_outputs(fitted: torch.Size, mean: Tensor) -> None:
    """Refuse a prediction with other outputs than the calibrator was fitted to."""
    if mean.shape[1:] != fitted:
        raise ValueError(
            f"the calibrator was fitted to outputs of shape {tuple(fitted)}, and the prediction has {tuple(mean.shape[1:])}"
        )


def positive_spread(std: Tensor) -> Tensor:
    """Standard deviations in float64, each of them positive and finite."""
    std = double(std)
    bad = ~(std.isfinite() & (std > 0))
    if bool(bad.any()):
        raise ValueError(
            f"the predicted std must be positive and finite to measure errors by, and is {float(std[bad][0])} at "
            f"{bad.nonzero()[0].tolist()}: give the likelihood a noise, or use SplitConformal"
        )
    return std


def held_out(name: str, values: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Sorted held-out scores [n, *out] in float64, at least one and each within low…high."""
    if values.dim() == 0 or not values.numel():
        raise ValueError(f"{name} must be [n, *out] with at least one held-out datum, got shape {tuple(values.shape)}")
    check_finite(name, values)
    if float(values.min()) < low or float(values.max()) > high:
        raise ValueError(f"{name} must lie within {low:g}…{high:g}, got {float(values.min())}…{float(values.max())}")
    return double(values.detach()).sort(0).values
