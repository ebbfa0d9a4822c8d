"""What is scored of a prediction of one split, what is better, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from yuragi import metrics
from yuragi.prediction import ClassificationPrediction, NumericPrediction
from yuragi.predictions.counts import CountPrediction

LEVELS = (0.5, 0.9, 0.95)
"""Of the intervals whose coverage and width are told."""
_BINS = 10  # of confidence

Predicted = NumericPrediction | ClassificationPrediction


@dataclass(frozen=True)
class Score:
    """One of the numbers of a comparison.

    Attributes:
        name: its key.
        label: its heading.
        group: of the table that it stands in.
        better: which is, "larger" or "smaller"; None where neither is by itself, and no method can be the best.
        form: how a value is written.
    """

    name: str
    label: str
    group: str
    better: Literal["larger", "smaller"] | None
    form: str

    @property
    def difference_form(self) -> str:
        """How a difference and its error are written."""
        return ".2g" if self.form.endswith("g") else self.form


SCORES = (
    Score("accuracy", "accuracy", "scores", "larger", ".1%"),
    Score("log_likelihood", "log-likelihood", "scores", "larger", ".3f"),
    Score("crps", "CRPS", "scores", "smaller", ".4g"),
    Score("rmse", "RMSE", "scores", "smaller", ".4g"),
    Score("brier", "Brier score", "scores", "smaller", ".4f"),
    Score("calibration_error", "calibration error", "calibration", "smaller", ".3f"),
    *(Score(f"coverage_{100 * level:.0f}", f"{level:.0%} hold", "calibration", None, ".1%") for level in LEVELS),
    *(Score(f"width_{100 * level:.0f}", f"{level:.0%} width", "calibration", None, ".4g") for level in LEVELS),
    Score("gap_log_likelihood", "log-likelihood", "gap", "larger", ".3f"),
    Score("gap_coverage_90", "90% hold", "gap", None, ".1%"),
    Score("gap_ratio", "epistemic std / in the data", "gap", None, ".2f"),
    Score("fit_seconds", "fit s", "cost", None, ".2f"),
    Score("predict_seconds", "predict s", "cost", None, ".3f"),
    Score("memory", "memory MiB", "cost", None, ".0f"),
)
"""All of them in the order of a table; which a comparison has depends on its target and on what was asked."""


def scored(
    prediction: Predicted, y: Tensor, coverage: Sequence[float] = LEVELS, width: Sequence[float] = LEVELS
) -> dict[str, float]:
    """Scores of one prediction; where one is not finite, it is so.

    Args:
        prediction: of N rows.
        y: their targets: numbers [N, *out], or labels.
        coverage: levels of intervals, of which is told how often they hold the target.
        width: levels of intervals whose mean width is told.

    Returns:
        Of numbers: "rmse", "log_likelihood" (nats a row), "crps", "calibration_error" (the area between the calibration
        curve and the diagonal), "coverage_50" and so on, "width_50" and so on. Of classes: "accuracy", "log_likelihood"
        (minus the cross-entropy), "brier", "calibration_error" (expected, of the confidence, in ten bins).
    """
    if isinstance(prediction, ClassificationPrediction):
        labels = y.long()
        return {
            "accuracy": float((prediction.label.cpu() == labels.cpu()).double().mean()),
            "log_likelihood": float(prediction.log_prob(labels).mean()),
            "brier": float(metrics.brier_score(prediction.probs, labels).mean()),
            "calibration_error": metrics.expected_calibration_error(prediction.probs, labels, _BINS),
        }
    found = {
        "rmse": metrics.rmse(prediction.mean, y.to(prediction.mean.device)),
        "log_likelihood": float(prediction.log_prob(y).mean()),
        "crps": float(prediction.crps(y).mean()),
    }
    found["calibration_error"] = metrics.quantile_calibration_error(_pit(prediction, y))
    found |= {f"coverage_{100 * level:.0f}": _covered(prediction, y, level) for level in coverage}
    return found | {f"width_{100 * level:.0f}": metrics.interval_width(*prediction.interval(level)) for level in width}


def scored_in_gap(prediction: Predicted, inside: Predicted, y: Tensor) -> dict[str, float]:
    """Scores of a fit whose training rows have a gap.

    Args:
        prediction: of rows in the gap.
        inside: of rows like those that it was trained on.
        y: the targets of the rows in the gap.

    Returns:
        "gap_log_likelihood" (nats a row); of numbers, "gap_coverage_90", how often the 90 % intervals hold the target;
        "gap_ratio", the mean epistemic standard deviation in the gap (of numbers, or of class probabilities) in units of
        that inside, NaN where it is zero: a method that has none cannot tell the gap.
    """
    found = {"gap_log_likelihood": float(prediction.log_prob(y).mean())}
    if isinstance(prediction, NumericPrediction):
        found["gap_coverage_90"] = _covered(prediction, y, 0.9)
    usual = float(inside.epistemic.double().mean())
    found["gap_ratio"] = float(prediction.epistemic.double().mean()) / usual if usual > 0 else math.nan
    return found


def _pit(prediction: NumericPrediction, y: Tensor) -> Tensor:
    if isinstance(prediction, CountPrediction):
        return metrics.randomised_pit(prediction.cdf(y - 1), prediction.cdf(y))
    return prediction.cdf(y)


def _covered(prediction: NumericPrediction, y: Tensor, level: float) -> float:
    # intervals of counts end at whole numbers, and hold more than the level says
    if isinstance(prediction, CountPrediction):
        return metrics.interval_coverage(*prediction.interval(level), y.to(prediction.samples.device))
    return float(((prediction.cdf(y) - 0.5).abs() <= level / 2).double().mean())
