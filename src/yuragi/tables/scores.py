"""How good predictions are on rows whose target is known, and whether they beat what takes no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from yuragi.comparison.scores import scored
from yuragi.prediction import ClassificationPrediction, NumericPrediction

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Of the intervals whose coverage is told."""

Predicted = NumericPrediction | ClassificationPrediction


def score(prediction: Predicted, y: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """Scores of one prediction, None where one is not finite.

    Args:
        prediction: of numbers [N, 1], or of classes.
        y: the targets: numbers [N], or labels [N].

    Returns:
        Of numbers: "rmse", "log_likelihood" (nats a row), "crps", "calibration_error" (the area between the calibration
        curve and the diagonal), "coverage_50" and so on for `LEVELS`, "width_90" (mean). Of classes: "accuracy",
        "log_likelihood", "brier", "calibration_error" (expected, of the confidence).
    """
    target = torch.tensor(y)
    if isinstance(prediction, NumericPrediction):
        target = target.reshape(-1, 1)
    found = scored(prediction, target, coverage=LEVELS, width=(0.9,))
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def compared(model: Predicted, baselines: Mapping[str, Predicted], y: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Scores of a model beside those of baselines, on the same rows.

    Returns:
        "rows"; "model" and each baseline with its `score`; "gain": by baseline, the mean of log p_model(y) −
        log p_baseline(y) and its standard error, nats a row.
    """
    target = torch.tensor(y)  # a copy: the column of a table may not be written to
    if isinstance(model, NumericPrediction):
        target = target.reshape(-1, 1)
    gain = {}
    for name, baseline in baselines.items():
        difference = model.log_prob(target) - baseline.log_prob(target)
        error = float(difference.std()) / math.sqrt(len(y)) if len(y) > 1 else math.inf
        gain[name] = [number if math.isfinite(number) else None for number in (float(difference.mean()), error)]
    return {
        "rows": len(y),
        "model": score(model, y),
        **{name: score(baseline, y) for name, baseline in baselines.items()},
        "gain": gain,
    }
