"""Split-conformal intervals: coverage is guaranteed for finite data, whatever the network and the noise."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from yuragi.calibration.calibrator import (
    Calibrator,
    HasMean,
    HasStd,
    Partial,
    check_outputs,
    held_out,
    positive_spread,
    require,
    targets_for,
)
from yuragi.metrics.checks import check_level, double


@dataclass(frozen=True, eq=False)
class _Conformal(Calibrator):
    scores: Tensor = field(repr=False)

    _needs: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        """Check and sort the scores."""
        object.__setattr__(self, "scores", held_out("scores", self.scores))

    @classmethod
    def fit(cls, prediction: Any, y: object) -> Self:
        """Fit to the prediction of held-out inputs and their targets [N, *out].

        Raises:
            TypeError: the prediction lacks a mean or whatever errors are measured by.
            ValueError: the targets do not fit or are not finite.
        """
        require(cls.__name__, prediction, *cls._needs)
        target = targets_for(prediction.mean, y)
        return cls((target - double(prediction.mean)) / cls._unit(prediction))

    def __call__(self, prediction: Any) -> ConformalPrediction:
        """The mean with quantiles and intervals around it."""
        require(type(self).__name__, prediction, *self._needs)
        check_outputs(self.scores.shape[1:], prediction.mean)
        return ConformalPrediction(double(prediction.mean), self._unit(prediction), self.scores)

    @staticmethod
    @abstractmethod
    def _unit(prediction: Any) -> Tensor:
        """What the error of each prediction is measured in, float64, > 0, [N, *out]."""


@dataclass(frozen=True, eq=False)
class SplitConformal(_Conformal):
    """Intervals of one width around the mean, from the errors y − mean of held-out data.

    If held-out and new data are exchangeable (as independent draws from one source are), then over held-out sets and new data

        P(lower ≤ y ≤ upper) ≥ level,

    and at most level + 2/(n + 1) where errors do not tie: for every n, network and noise. Each end misses with probability
    (1 − level)/2 at most, so `quantile` has the guarantee too. It is marginal, over all inputs: some may be covered less and
    others more. Each output has intervals of its own, with the guarantee for each output by itself. Vovk, Gammerman &
    Shafer, "Algorithmic learning in a random world", 2005; Lei et al., "Distribution-free predictive inference for
    regression", 2018.

    Args:
        scores: errors of held-out data, [n, *out].

    Raises:
        ValueError: there are none, or one is not finite.

    Example:
        >>> from yuragi import RegressionPrediction
        >>> p = RegressionPrediction(samples=torch.zeros(1, 39, 1), noise=torch.tensor(1.0))
        >>> calibrator = SplitConformal.fit(p, torch.arange(-19.0, 20.0).reshape(-1, 1))
        >>> lower, upper = calibrator(p).interval(0.9)
        >>> lower[0], upper[0]  # the second error from below and from above: 39 + 1 times 5 % is 2
        (tensor([-18.], dtype=torch.float64), tensor([18.], dtype=torch.float64))
    """

    _needs = ("mean",)

    @staticmethod
    def _unit(prediction: HasMean) -> Tensor:
        return torch.ones_like(double(prediction.mean))


@dataclass(frozen=True, eq=False)
class NormalisedConformal(_Conformal):
    """Intervals as wide as the predicted std says, from the errors (y − mean)/std of held-out data.

    The guarantee is that of `SplitConformal`; the width is proportional to the std of each prediction, and so stays large
    where the epistemic std is: away from the data. Lei et al., "Distribution-free predictive inference for regression", 2018
    (locally weighted).

    Args:
        scores: errors of held-out data in predicted standard deviations, [n, *out].

    Raises:
        ValueError: there are none, or one is not finite.

    Example:
        >>> from yuragi import RegressionPrediction
        >>> p = RegressionPrediction(samples=torch.zeros(1, 2, 1), noise=torch.tensor([[[1.0], [10.0]]]))
        >>> lower, upper = NormalisedConformal(torch.linspace(-2, 2, 39).reshape(-1, 1))(p).interval(0.9)
        >>> (upper - lower).flatten()
        tensor([ 3.7895, 37.8947], dtype=torch.float64)
    """

    _needs = ("mean", "std")

    @staticmethod
    def _unit(prediction: HasStd) -> Tensor:
        return positive_spread(prediction.std)


@dataclass(frozen=True, eq=False)
class ConformalPrediction(Partial):
    """The mean with quantiles and intervals around it, whose coverage is guaranteed."""

    mean: Tensor
    """That of the prediction before, float64 [N, *out]."""

    unit: Tensor = field(repr=False)
    """What errors are measured in, [N, *out]."""

    scores: Tensor = field(repr=False)
    """Sorted errors of the held-out data, [n, *out]."""

    _has: ClassVar[str] = "mean, quantile and interval"

    def quantile(self, level: float) -> Tensor:
        """A bound that y stays below with probability `level`: at least that from ½ on, at most that under ½; [N, *out].

        Raises:
            ValueError: the level is out of range, or so near 0 or 1 that there were too few held-out data for it.
        """
        check_level("a quantile's level", level)
        count = len(self.scores)
        position = round(level * (count + 1), 9)  # 0.05·20 is 1, whatever floating-point numbers make of it
        rank = math.ceil(position) if level >= 0.5 else math.floor(position)
        if not 1 <= rank <= count:
            needed = math.ceil(round(1 / min(level, 1 - level), 6)) - 1
            raise ValueError(
                f"the quantile of level {level:.6g} needs at least {needed} held-out data, and there were {count}: hold out "
                "more, or ask for an interval of a lower level"
            )
        return self.mean + self.unit * self.scores[rank - 1].to(self.mean.device)

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Lower and upper end of an interval that holds y with probability `level` at least, each [N, *out].

        Raises:
            ValueError: the level is out of range, or there were fewer than 2/(1 − level) − 1 held-out data.
        """
        check_level("an interval's level", level)
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)
