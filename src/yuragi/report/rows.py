"""What the model says of each row, summarised a part of the table at a time so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from yuragi import metrics
from yuragi.predictions import ClassificationPrediction, CountPrediction, NumericPrediction
from yuragi.report.subject import DRAWS, Flags, Floats, Integers, Model, true_classes, true_numbers

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Levels of the intervals whose coverage is shown."""
LEVEL = 0.9
"""Level of the error bars."""
_NUMBERS = 2_000_000  # of draws held at once: rows × draws × classes


@dataclass(frozen=True, eq=False)
class NumericRows:
    """Predictions of a number for N rows, in the target's units; NaN where the true value is not known.

    Attributes:
        mean, std, epistemic, aleatoric: of the predictions, float64 [N].
        y: true values, [N].
        pit: the distribution function at the true values, uniform where the predictions are right, [N].
        log_prob: log density or probability of the true values, nats, [N].
    """

    mean: Floats
    std: Floats
    epistemic: Floats
    aleatoric: Floats
    y: Floats
    pit: Floats
    log_prob: Floats

    @property
    def known(self) -> Flags:
        """Rows whose true value is known, [N]."""
        return np.isfinite(self.y)

    @property
    def uncertainty(self) -> Floats:
        """By which rows are ranked: the total standard deviation, [N]."""
        return self.std

    @property
    def error(self) -> Floats:
        """True value less prediction, [N]."""
        return self.y - self.mean


@dataclass(frozen=True, eq=False)
class ClassRows:
    """Predictions of a class for N rows.

    Attributes:
        probs: class probabilities, float64 [N, C].
        entropy, mutual_information: nats, [N].
        y: index of the true class, int64 [N]: `UNKNOWN`, or `UNSEEN` where the model has never met it.
        log_prob: log probability of the true class, nats, [N], NaN where it is none of the model's.
    """

    probs: Floats
    entropy: Floats
    mutual_information: Floats
    y: Integers
    log_prob: Floats

    @property
    def known(self) -> Flags:
        """Rows whose true class is one of the model's, [N]."""
        return self.y >= 0

    @property
    def label(self) -> Integers:
        """The most probable class, [N]."""
        label: Integers = self.probs.argmax(1)
        return label

    @property
    def confidence(self) -> Floats:
        """The probability of the most probable class, [N]."""
        highest: Floats = self.probs.max(1)
        return highest

    @property
    def right(self) -> Flags:
        """Whether the most probable class is the true one, [N]."""
        right: Flags = self.label == self.y
        return right

    @property
    def uncertainty(self) -> Floats:
        """By which rows are ranked: the entropy of the class probabilities, [N]."""
        return self.entropy


def predicted_numbers(model: Model, frame: pd.DataFrame, seed: int) -> NumericRows:
    """Predict every row of a table whose target is a number."""
    target = true_numbers(model.schema, frame)
    parts: list[list[Floats]] = []
    for part in _parts(len(frame), DRAWS):
        y = target[part]
        known = np.isfinite(y)
        prediction = model.predict(frame.iloc[part], samples=DRAWS, seed=seed)
        assert isinstance(prediction, NumericPrediction)
        # the scores of a row do not depend on other rows: where there is no true value, the mean stands in for it
        at = torch.where(torch.as_tensor(known)[:, None], torch.as_tensor(y)[:, None], prediction.mean.double())
        pit = _pit(prediction, at, seed)
        log_prob = prediction.log_prob(at)
        summaries = [prediction.mean, prediction.std, prediction.epistemic, prediction.aleatoric]
        arrays = [array(summary[:, 0]) for summary in summaries]
        parts.append([*arrays, y, *(np.where(known, array(score), np.nan) for score in (pit[:, 0], log_prob))])
    return NumericRows(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def predicted_classes(model: Model, frame: pd.DataFrame, seed: int) -> ClassRows:
    """Predict every row of a table whose target is a class."""
    y = true_classes(model.schema, frame)
    parts: list[list[Floats]] = []
    for part in _parts(len(frame), DRAWS * len(model.schema.classes)):
        prediction = model.predict(frame.iloc[part], samples=DRAWS, seed=seed)
        assert isinstance(prediction, ClassificationPrediction)
        log_prob = array(prediction.log_prob(torch.as_tensor(np.maximum(y[part], 0))))
        summaries = [array(one) for one in (prediction.probs, prediction.entropy, prediction.mutual_information)]
        parts.append([*summaries, np.where(y[part] >= 0, log_prob, np.nan)])
    probs, entropy, information, scores = (np.concatenate(one) for one in zip(*parts, strict=True))
    return ClassRows(probs, entropy, information, y, scores)


def coverage(pit: Floats, level: float) -> float:
    """Share of true values inside the central interval of a level: where their distribution function is within its ends."""
    values = torch.as_tensor(pit)
    lower, upper = (torch.full_like(values, end) for end in ((1 - level) / 2, (1 + level) / 2))
    return metrics.interval_coverage(lower, upper, values)


def intervals(model: Model, frame: pd.DataFrame, rows: Integers, level: float, seed: int) -> tuple[Floats, Floats]:
    """Ends of the central intervals of some rows, each float64 [len(rows)]: the same draws as for the whole table."""
    prediction = model.predict(frame.iloc[rows], samples=DRAWS, seed=seed)
    assert isinstance(prediction, NumericPrediction)
    lower, upper = prediction.interval(level)
    return array(lower[:, 0]), array(upper[:, 0])


def array(tensor: Tensor) -> Floats:
    """A tensor as float64 NumPy array."""
    found: Floats = tensor.detach().cpu().double().numpy()
    return found


def _pit(prediction: NumericPrediction, y: Tensor, seed: int) -> Tensor:
    if isinstance(prediction, CountPrediction):
        return metrics.randomised_pit(prediction.cdf(y - 1), prediction.cdf(y), seed).cpu()
    return prediction.cdf(y).cpu().clamp(0, 1)


def _parts(rows: int, each: int) -> Iterator[slice]:
    step = max(1, _NUMBERS // each)
    for start in range(0, rows, step):
        yield slice(start, start + step)
