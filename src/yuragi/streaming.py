"""Mean and standard deviation over any number of draws, of which none is kept."""

from __future__ import annotations

import torch
from torch import Tensor

from yuragi.draws import Draws, Plan
from yuragi.likelihoods import Likelihood
from yuragi.predictions import (
    ClassificationPrediction,
    MomentPrediction,
    NumericPrediction,
    Prediction,
    RegressionPrediction,
    prediction_of,
)

_HELD = 2**24
"""Numbers of the network's output that are held at once: the draws come in as large groups as this allows."""


class RunningMoments:
    """Sums over draws of a number's mean f and variance v, from which std² = Var f + E v and its error follow.

    They are taken from the mean of the first group, so that no digits are lost where the mean is far larger than the
    spread (Chan, Golub & LeVeque, "Algorithms for computing the sample variance", 1983).
    """

    def __init__(self) -> None:
        self.draws = 0
        self._dtype = torch.float64
        self._pivot: Tensor | None = None
        self._sums: list[Tensor] = []

    def add(self, mean: Tensor, variance: Tensor) -> None:
        """Take further draws into account, [S, N, *out] each."""
        exact = torch.float32 if mean.device.type == "mps" else torch.float64
        self._dtype = mean.dtype
        mean, variance = mean.to(exact), variance.to(exact)
        if self._pivot is None:
            self._pivot = mean.mean(0)
        moved = mean - self._pivot
        both = moved.square() + variance
        new = [part.sum(0) for part in (moved, variance, both, both.square(), both * moved)]
        self._sums = new if not self._sums else [old + more for old, more in zip(self._sums, new, strict=True)]
        self.draws += len(mean)

    def _means(self) -> list[Tensor]:
        return [total / self.draws for total in self._sums]

    @property
    def error(self) -> Tensor:
        """Standard error of std relative to std, [N, *out], from its draws being finitely many and independent.

        By the delta method: a draw moves std² by (f − m)² + v − std².
        """
        moved, noise, both, both_squared, crossed = self._means()
        variance = (both - moved.square()).clamp_min(0)
        # the variance over draws of (f − m)² + v, which is that of both − 2·moved·(f − pivot), up to a constant
        spread = both - moved.square() - noise  # Var f
        moves = both_squared - both.square() - 4 * moved * (crossed - both * moved) + 4 * moved.square() * spread
        found = (moves.clamp_min(0) / self.draws).sqrt() / (2 * variance)
        return torch.where(variance > 0, found, 0.0)

    def prediction(self) -> MomentPrediction:
        """What is known of y, in the dtype of what was added."""
        assert self._pivot is not None
        moved, variance, both, _, _ = self._means()
        between = (both - variance - moved.square()).clamp_min(0)
        found = (self._pivot + moved, between.sqrt(), variance.sqrt())
        return MomentPrediction.of(*[one.to(self._dtype) for one in found])


def streamed(draws: Draws, likelihood: Likelihood, plan: Plan) -> RunningMoments:
    """Moments over as many draws as planned; memory does not grow with their number.

    Raises:
        ValueError: a prediction is more than a mean and a standard deviation.
    """
    moments = RunningMoments()
    group = plan.first
    while (wanted := plan.wanted(moments.draws, lambda: float(moments.error.max()))) > moments.draws:
        while moments.draws < wanted:
            output, member = draws.take(min(group, wanted - moments.draws))
            found = prediction_of(output, likelihood.distribution(output, member))
            if not isinstance(found, RegressionPrediction):
                raise ValueError(
                    f'a {type(found).__name__} is more than a mean and a standard deviation: predict with method="draws"'
                )
            moments.add(found.samples, found.draw_std.expand_as(found.samples).square())
            group = max(1, _HELD // output[0].numel())
    return moments


def monte_carlo_error(prediction: Prediction) -> Tensor:
    """Standard error that comes from the number of draws, if they are independent.

    Returns:
        That of `std` relative to it, [N, *out]; that of each class's probability, [N, *positions, C].
    """
    if isinstance(prediction, NumericPrediction):
        moments = RunningMoments()
        moments.add(prediction.samples, prediction.draw_std.expand_as(prediction.samples).square())
        return moments.error
    assert isinstance(prediction, ClassificationPrediction)
    error: Tensor = prediction.draw_probs.std(0, correction=0) / len(prediction.samples) ** 0.5
    return error
