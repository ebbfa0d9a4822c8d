"""One number for the whole prediction: a factor on its spread, or a temperature of its logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from yuragi.calibration.calibrator import (
    Calibrator,
    Rescalable,
    check_outputs,
    positive_spread,
    require,
    targets_for,
)
from yuragi.data import to_tensors
from yuragi.metrics.checks import check_classes, double
from yuragi.prediction import ClassificationPrediction

_RescalableT = TypeVar("_RescalableT", bound=Rescalable)
_COLDEST, _HOTTEST = 0.05, 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class StdScaling(Calibrator):
    """Multiplies the whole spread, epistemic and aleatoric, by one factor for each output; the mean stays.

    factor² = 1/n Σ_i (y_i − mean_i)²/std_i², in closed form: it makes the held-out errors, divided by the std, have mean
    square 1, and is the most probable factor if they are Gaussian. Laves et al., "Well-calibrated regression uncertainty in
    medical imaging with deep learning", 2020. Each output has its own factor.

    Args:
        factor: [*out], > 0; a scalar serves any outputs.

    Raises:
        ValueError: the factor is not positive and finite.

    Example:
        >>> from yuragi import RegressionPrediction
        >>> held_out = RegressionPrediction(samples=torch.zeros(1, 2, 1), noise=torch.tensor(1.0))
        >>> calibrator = StdScaling.fit(held_out, torch.tensor([[3.0], [-3.0]]))
        >>> calibrator(RegressionPrediction(samples=torch.ones(1, 1, 1), noise=torch.tensor(2.0))).std
        tensor([[6.]], dtype=torch.float64)
    """

    factor: Tensor

    def __post_init__(self) -> None:
        """Check the factor."""
        factor = double(torch.as_tensor(self.factor).detach())
        if not bool((factor.isfinite() & (factor > 0)).all()):
            raise ValueError(f"factor must be positive and finite, got {self.factor}")
        object.__setattr__(self, "factor", factor)

    @classmethod
    def fit(cls, prediction: Rescalable, y: object) -> Self:
        """Fit to the prediction of held-out inputs and their targets [N, *out].

        Raises:
            TypeError: the prediction cannot be rescaled.
            ValueError: the targets do not fit, are not finite, or equal the means exactly; or a std is not positive.
        """
        require(cls.__name__, prediction, "mean", "std", "rescaled")
        exact = prediction.rescaled(0.0, 1.0)  # in float64: float32 would swallow an error beside a large mean
        target = targets_for(exact.mean, y)
        factor = ((target - exact.mean) / positive_spread(exact.std)).square().mean(0).sqrt()
        if bool((factor == 0).any()):
            raise ValueError("the held-out targets equal the predicted means exactly: are these the predictions of y?")
        return cls(factor)

    def __call__(self, prediction: _RescalableT) -> _RescalableT:
        """The prediction with its spread around the mean multiplied by the factor, in float64."""
        require(type(self).__name__, prediction, "mean", "std", "rescaled")
        exact = prediction.rescaled(0.0, 1.0)
        if self.factor.dim():
            check_outputs(self.factor.shape, exact.mean)
        factor = self.factor.to(exact.mean.device)
        return exact.rescaled(exact.mean * (1 - factor), factor)


@dataclass(frozen=True, eq=False)
class TemperatureScaling(Calibrator):
    """Divides the logits of every draw by one temperature, the most probable one; above 1 makes less sure.

    The temperature minimises the mean negative log-likelihood of held-out labels under the mixture of draws, by a search
    over 0.05…20. The draws stay draws, so epistemic and aleatoric parts are still told apart; with positions there is one
    temperature for all of them. Guo et al., "On calibration of modern neural networks", 2017.

    Args:
        temperature: > 0.

    Raises:
        ValueError: the temperature is not positive and finite.

    Example:
        >>> logits = torch.tensor([[[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]]])  # sure, and wrong once in four
        >>> calibrator = TemperatureScaling.fit(ClassificationPrediction(logits), torch.tensor([0, 0, 0, 1]))
        >>> calibrator(ClassificationPrediction(logits[:, :1])).probs
        tensor([[0.7500, 0.2500]])
    """

    temperature: float

    def __post_init__(self) -> None:
        """Check the temperature."""
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")

    @classmethod
    def fit(cls, prediction: ClassificationPrediction, y: object) -> Self:
        """Fit to the prediction of held-out inputs and their labels, integers [N, *positions].

        Raises:
            TypeError: the prediction is not one of classes.
            ValueError: the labels do not fit, or their likelihood is best at an end of the search: every label is
                predicted right, or none better than by chance.
        """
        require(cls.__name__, prediction, "samples", "probs")
        labels = labels_for(prediction, y)
        logits = double(prediction.samples).movedim(2, -1)
        chosen = logits.gather(-1, labels.to(logits.device).expand(len(logits), *labels.shape).unsqueeze(-1)).squeeze(
            -1
        )

        def loss(log_temperature: float) -> float:
            inverse = math.exp(-log_temperature)
            log_probs = chosen * inverse - (logits * inverse).logsumexp(-1)
            return -float(log_probs.logsumexp(0).mean())

        return cls(math.exp(_minimum(loss, math.log(_COLDEST), math.log(_HOTTEST))))

    def __call__(self, prediction: ClassificationPrediction) -> ClassificationPrediction:
        """The prediction with the logits of its draws divided by the temperature."""
        require(type(self).__name__, prediction, "samples", "probs")
        return replace(prediction, samples=prediction.samples / self.temperature)


def labels_for(prediction: ClassificationPrediction, y: object) -> Tensor:
    """Held-out labels as int64 [N, *positions], each one of the prediction's classes."""
    labels = to_tensors(y, prediction.probs.device, prediction.probs.dtype)
    if not isinstance(labels, Tensor):
        raise TypeError(f"y must be a tensor or array of labels, got {type(y).__name__}")
    check_classes(prediction.probs, labels)
    return labels.long()


def _minimum(
    loss: Callable[[float], float], low: float, high: float, points: int = 13, tolerance: float = 1e-4
) -> float:
    # a grid, since the likelihood of a mixture may have several maxima, and golden sections around its best point
    grid = [low + (high - low) * i / (points - 1) for i in range(points)]
    losses = [loss(at) for at in grid]
    best = min(range(points), key=losses.__getitem__)
    if best in (0, points - 1):
        why = "every one were predicted right" if best == 0 else "they were predicted no better than by chance"
        raise ValueError(
            f"the held-out labels are most probable at a temperature of {math.exp(grid[best]):.3g} or beyond, as if {why}: "
            "give more held-out data"
        )
    a, b = grid[best - 1], grid[best + 1]
    left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_left, at_right = loss(left), loss(right)
    while b - a > tolerance:
        if at_left < at_right:
            b, right, at_right = right, left, at_left
            left = b - _GOLDEN * (b - a)
            at_left = loss(left)
        else:
            a, left, at_left = left, right, at_right
            right = a + _GOLDEN * (b - a)
            at_right = loss(right)
    return (a + b) / 2
