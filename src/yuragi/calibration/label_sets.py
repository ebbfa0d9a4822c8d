"""Conformal sets of labels: the right one is inside as often as was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Self

from torch import Tensor

from yuragi.calibration.calibrator import Calibrator, Partial, held_out, require
from yuragi.calibration.scaling import labels_for
from yuragi.metrics.checks import check_level, double
from yuragi.prediction import ClassificationPrediction


@dataclass(frozen=True, eq=False)
class ConformalSets(Calibrator):
    """Sets of labels that hold the right one with a guaranteed probability: all labels that are probable enough.

    If held-out and new data are exchangeable, P(label ∈ set) ≥ level, and at most level + 1/(n + 1) where probabilities do
    not tie: for every n and network. The guarantee is marginal, over all inputs and labels. No rule with it has smaller sets
    on average if the probabilities are right; a set may be empty, where no label is probable enough. Sadinle, Lei &
    Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", 2019.

    Args:
        chosen: predicted probabilities of the held-out labels, [n].

    Raises:
        ValueError: there are none, or one is no probability.

    Example:
        >>> import torch
        >>> calibrator = ConformalSets(torch.tensor([0.2, 0.5, 0.6, 0.7, 0.8, 0.8, 0.9, 0.9, 0.9]))
        >>> new = ClassificationPrediction(torch.tensor([[[0.9, 0.05, 0.05], [0.4, 0.35, 0.25]]]).log())
        >>> calibrator(new).labels(0.9)  # all labels of probability 0.2 and more
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """

    chosen: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        """Check and sort the probabilities."""
        chosen = held_out("chosen", self.chosen, 0, 1)
        if chosen.dim() != 1:
            raise ValueError(f"chosen must be [n], one label a row, got shape {tuple(chosen.shape)}")
        object.__setattr__(self, "chosen", chosen)

    @classmethod
    def fit(cls, prediction: ClassificationPrediction, y: object) -> Self:
        """Fit to the prediction of held-out inputs and their labels, integers [N].

        Raises:
            TypeError: the prediction is not one of classes.
            ValueError: the labels do not fit, or there are several a row: positions of one datum are not exchangeable.
        """
        require(cls.__name__, prediction, "samples", "probs")
        labels = labels_for(prediction, y)
        return cls(double(prediction.probs).gather(-1, labels.to(prediction.probs.device).unsqueeze(-1)).squeeze(-1))

    def __call__(self, prediction: ClassificationPrediction) -> LabelSets:
        """The probabilities with sets of labels."""
        require(type(self).__name__, prediction, "samples", "probs")
        if prediction.probs.dim() != 2:
            raise ValueError(
                f"conformal sets are of one label a row, and probs have shape {tuple(prediction.probs.shape)}"
            )
        return LabelSets(prediction.probs, self.chosen)


@dataclass(frozen=True, eq=False)
class LabelSets(Partial):
    """Class probabilities with sets of labels whose coverage is guaranteed."""

    probs: Tensor
    """Those of the prediction before, [N, C]."""

    chosen: Tensor = field(repr=False)
    """Sorted probabilities of the held-out labels, [n]."""

    _has: ClassVar[str] = "probs, label and labels"

    @property
    def label(self) -> Tensor:
        """The most probable class, int64 [N]."""
        return self.probs.argmax(-1)

    def labels(self, level: float = 0.9) -> Tensor:
        """Which labels are in the set that holds the right one with probability `level` at least, bool [N, C].

        Raises:
            ValueError: the level is out of range, or there were fewer than 1/(1 − level) − 1 held-out data.
        """
        check_level("the level of a set", level)
        count = len(self.chosen)
        left_out = count - math.ceil(round(level * (count + 1), 9))
        if left_out < 0:
            needed = math.ceil(round(1 / (1 - level), 6)) - 1
            raise ValueError(
                f"a set of level {level:.6g} needs at least {needed} held-out data, and there were {count}: hold out "
                "more, or ask for a lower level"
            )
        probs = double(self.probs)
        return probs >= self.chosen[left_out].to(probs.device)
