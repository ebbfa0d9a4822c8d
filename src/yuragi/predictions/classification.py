"""Predictions of class labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from yuragi import metrics
from yuragi.data import to_tensors
from yuragi.predictions.prediction import Prediction


@dataclass(frozen=True, eq=False)
class ClassificationPrediction(Prediction):
    """A mixture of class probabilities softmax(f_s(x)), s = 1…S, for each of N inputs; `samples` are logits.

    Example:
        >>> p = ClassificationPrediction(samples=torch.tensor([[[0.0, 2.0]], [[0.0, -2.0]]]))
        >>> p.probs
        tensor([[0.5000, 0.5000]])
        >>> round(p.mutual_information.item(), 3)  # the draws contradict each other
        0.328
        >>> p.std, p.epistemic, p.aleatoric  # of each class's indicator; std² = epistemic² + aleatoric²
        (tensor([[0.5000, 0.5000]]), tensor([[0.3808, 0.3808]]), tensor([[0.3240, 0.3240]]))
    """

    @cached_property
    def draw_probs(self) -> Tensor:
        """Class probabilities of each draw, [S, N, *positions, C]."""
        return self.samples.movedim(2, -1).softmax(-1)

    @cached_property
    def probs(self) -> Tensor:
        """Class probabilities, [N, *positions, C]."""
        return self.draw_probs.mean(0)

    @property
    def label(self) -> Tensor:
        """The most probable class, int64 [N, *positions]."""
        return self.probs.argmax(-1)

    @property
    def entropy(self) -> Tensor:
        """Entropy of `probs`, nats: the total uncertainty of the label."""
        return metrics.entropy(self.probs)

    @property
    def expected_entropy(self) -> Tensor:
        """Mean entropy of the draws, nats: the part of `entropy` that more data would not remove."""
        return self.entropy - self.mutual_information

    @property
    def mutual_information(self) -> Tensor:
        """The part of `entropy` that is due to the weights being unknown, nats."""
        return metrics.mutual_information(self.draw_probs)

    @property
    def variation_ratio(self) -> Tensor:
        """Share of draws that would give another label than the most frequent one, [N, *positions]."""
        return metrics.variation_ratio(self.draw_probs)

    @cached_property
    def epistemic(self) -> Tensor:
        """Standard deviation of each class's probability across draws, [N, *positions, C]: shrinks with data."""
        return self.draw_probs.std(0, correction=0)

    @cached_property
    def aleatoric(self) -> Tensor:
        """√E_s[p_s(1 − p_s)] of each class, [N, *positions, C]: its indicator's spread if the weights were known."""
        return (self.draw_probs * (1 - self.draw_probs)).mean(0).sqrt()

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of each class's indicator, √(p(1 − p)), [N, *positions, C].

        std² = epistemic² + aleatoric² (law of total variance).
        """
        return torch.hypot(self.epistemic, self.aleatoric)

    def log_prob(self, y: Any) -> Tensor:
        """log probability of the labels `y`, int64 [N, *positions]: [N], nats, summed over positions within a draw."""
        labels = self._labels(y)
        if labels.is_floating_point() or labels.shape != self.probs.shape[:-1]:
            raise ValueError(
                f"labels must be integers of shape {tuple(self.probs.shape[:-1])}, got {labels.dtype} {tuple(labels.shape)}"
            )
        classes = self.probs.shape[-1]
        if labels.numel() and not (0 <= int(labels.min()) and int(labels.max()) < classes):
            raise ValueError(f"labels must lie in 0…{classes - 1}, got {int(labels.min())}…{int(labels.max())}")
        logits = self.samples.to(self._exact_device).double().movedim(2, -1)
        index = labels.long().expand(len(logits), *labels.shape).unsqueeze(-1)
        chosen = logits.log_softmax(-1).gather(-1, index).flatten(2).sum(2)
        return chosen.logsumexp(0) - math.log(len(logits))

    def _labels(self, y: Any) -> Tensor:
        labels = to_tensors(y, self._exact_device, torch.float64)
        if not isinstance(labels, Tensor):
            raise TypeError(f"y must be a tensor or array of labels, got {type(y).__name__}")
        return labels


@dataclass(frozen=True, eq=False)
class BinaryPrediction(ClassificationPrediction):
    """A mixture of two classes, no and yes, whose labels may be given as floating-point 0 and 1 too.

    `samples` are their logits, [S, N, 2, *positions]: 0, and what the network returned.

    Example:
        >>> p = BinaryPrediction(samples=torch.tensor([[[0.0, 2.0]], [[0.0, -2.0]]]))
        >>> p.log_prob(torch.tensor([1.0])).exp()
        tensor([0.5000], dtype=torch.float64)
    """

    def _labels(self, y: Any) -> Tensor:
        labels = super()._labels(y)
        if not labels.is_floating_point():
            return labels.long()
        if bool(((labels != 0) & (labels != 1)).any()):
            raise ValueError(f"labels must be 0 or 1, got {labels[(labels != 0) & (labels != 1)][0].item():g}")
        return labels.long()
