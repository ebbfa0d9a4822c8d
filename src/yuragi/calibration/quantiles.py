"""Quantiles moved to where the observed shares say that they belong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from yuragi.calibration.calibrator import Calibrator, HasQuantiles, Partial, check_outputs, held_out, require
from yuragi.metrics.checks import check_level, double

_TAIL = 1e-12  # quantiles further out than this are numerically without meaning


@dataclass(frozen=True, eq=False)
class IsotonicQuantiles(Calibrator):
    """Replaces each predicted probability F(y) by R(F(y)), the share of held-out data that stayed below it.

    R is the isotonic regression of the held-out shares: with the values u_1 ≤ … ≤ u_n of F at the held-out targets it is the
    line through (0, 0), (u_i, i/(n + 1)) and (1, 1). (The shares grow with u already, so isotonic regression leaves them as
    they are.) A new target then stays below `quantile(i/(n + 1))` with probability i/(n + 1) exactly, over held-out and new
    data that are exchangeable. Each output has its own R. Kuleshov, Fenner & Ermon, "Accurate uncertainties for deep
    learning using calibrated regression", 2018.

    For targets that are continuous. A target to which the prediction gives a probability of 0 or 1 in floating-point numbers
    is beyond the reach of any R: use `StdScaling` first where errors are many standard deviations.

    Args:
        pit: F at the held-out targets, [n, *out].

    Raises:
        ValueError: `pit` holds no data, or what is no probability.

    Example:
        >>> from yuragi import RegressionPrediction
        >>> held_out = RegressionPrediction(samples=torch.zeros(1, 3, 1), noise=torch.tensor(1.0))
        >>> calibrator = IsotonicQuantiles.fit(held_out, torch.tensor([[0.5], [1.0], [1.5]]))  # each is too low
        >>> calibrator(RegressionPrediction(samples=torch.zeros(1, 1, 1), noise=torch.tensor(1.0))).quantile(0.5)
        tensor([[1.]])
    """

    pit: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        """Check and sort the held-out probabilities."""
        object.__setattr__(self, "pit", held_out("pit", self.pit, 0, 1))

    @classmethod
    def fit(cls, prediction: HasQuantiles, y: object) -> Self:
        """Fit to the prediction of held-out inputs and their targets [N, *out].

        Raises:
            TypeError: the prediction has no distribution function.
            ValueError: the targets do not fit or are not finite.
        """
        require(cls.__name__, prediction, "mean", "cdf", "quantile")
        return cls(prediction.cdf(y))

    def __call__(self, prediction: HasQuantiles) -> RecalibratedQuantiles:
        """Quantiles, intervals and distribution function, recalibrated."""
        require(type(self).__name__, prediction, "mean", "cdf", "quantile")
        check_outputs(self.pit.shape[1:], prediction.mean)
        return RecalibratedQuantiles(prediction, self)

    def predicted_level(self, level: float) -> Tensor:
        """R⁻¹: the level whose predicted quantile a share `level` of data stays below, [*out]."""
        knots = self._knots()
        position = level * (len(knots) - 1)
        below = min(int(position), len(knots) - 2)
        return torch.lerp(knots[below], knots[below + 1], position - below)

    def observed_share(self, probability: Tensor) -> Tensor:
        """R: the share of data that stays below a quantile of this predicted level, float64 [N, *out]."""
        probability = double(probability)
        # searchsorted wants the values along the last axis, [outputs, ...]
        knots = self._knots().to(probability.device)
        knots = knots.reshape(len(knots), -1).T.contiguous()
        values = probability.reshape(len(probability), -1).T.contiguous()
        above = torch.searchsorted(knots, values, right=True).clamp(1, knots.shape[-1] - 1)
        low, high = knots.gather(-1, above - 1), knots.gather(-1, above)
        # a step without width is met only at its end, from probability 1 on
        part = torch.where(high > low, (values - low) / (high - low), torch.ones_like(values))
        share = (above - 1 + part) / (knots.shape[-1] - 1)
        return share.T.reshape(probability.shape)

    def _knots(self) -> Tensor:
        return torch.cat([torch.zeros_like(self.pit[:1]), self.pit, torch.ones_like(self.pit[:1])])


@dataclass(frozen=True, eq=False)
class RecalibratedQuantiles(Partial):
    """A prediction whose quantiles have been moved: it has quantiles, intervals and a distribution function.

    It has no density, since R is a line with as many corners as there were held-out data, and no mean: take `quantile(0.5)`.
    """

    before: HasQuantiles
    calibrator: IsotonicQuantiles
    _has: ClassVar[str] = "quantile, interval and cdf"

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]."""
        check_level("a quantile's level", level)
        levels = self.calibrator.predicted_level(level).clamp(_TAIL, 1 - _TAIL)
        if levels.dim() == 0:
            return self.before.quantile(float(levels))
        columns = [self.before.quantile(one).flatten(1)[:, i] for i, one in enumerate(levels.flatten().tolist())]
        return torch.stack(columns, 1).reshape(-1, *levels.shape)

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the central interval that holds y with probability `level`, each [N, *out]."""
        check_level("an interval's level", level)
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def cdf(self, y: Any) -> Tensor:
        """P(Y ≤ y) of each output, float64 [N, *out]."""
        return self.calibrator.observed_share(self.before.cdf(y))
