"""Scores beside those of the baselines, as a table and in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from yuragi.cli.console import harmless, results
from yuragi.judgement import FEW, SLACK, judged

_NUMERIC = {
    "rmse": ("RMSE", "{:.4g}"),
    "crps": ("CRPS", "{:.4g}"),
    "log_likelihood": ("log-likelihood", "{:.3f}"),
    "coverage_50": ("50 % intervals hold", "{:.1%}"),
    "coverage_80": ("80 % intervals hold", "{:.1%}"),
    "coverage_90": ("90 % intervals hold", "{:.1%}"),
    "width_90": ("their mean width", "{:.4g}"),
    "coverage_95": ("95 % intervals hold", "{:.1%}"),
    "calibration_error": ("calibration error", "{:.3f}"),
}
_CLASSES = {
    "accuracy": ("accuracy", "{:.1%}"),
    "log_likelihood": ("log-likelihood", "{:.3f}"),
    "brier": ("Brier score", "{:.3f}"),
    "calibration_error": ("calibration error (ECE)", "{:.3f}"),
}
_NAMES = {
    True: {"linear": "linear regression", "constant": "a constant Gaussian"},
    False: {"linear": "logistic regression", "constant": "the class frequencies"},
}
_CERTAIN = 2  # standard errors
_CHANCE = math.sqrt(2 * math.pi) / 8  # calibration error of calibrated predictions, times √rows


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """Print the scores of a model and of the baselines on the same rows, side by side."""
    numeric = "rmse" in scores["model"]
    table = Table(title=harmless(title), title_justify="left")
    table.add_column("")
    table.add_column("this model", justify="right")
    for name in ("linear", "constant"):
        table.add_column(_NAMES[numeric][name].removeprefix("the ").removeprefix("a "), justify="right")
    for key, (label, form) in (_NUMERIC if numeric else _CLASSES).items():
        values = [scores[who][key] for who in ("model", "linear", "constant")]
        table.add_row(label, *("not finite" if value is None else form.format(value) for value in values))
    results.print(table)


def verdict(scores: Mapping[str, Any]) -> list[str]:
    """What the scores say, a sentence each: whether the error bars are honest, and whether the model is of use."""
    numeric = "rmse" in scores["model"]
    honest = _intervals(scores) if numeric else _probabilities(scores)
    return [*honest, *(_gain(scores, name, numeric) for name in ("linear", "constant"))]


def _intervals(scores: Mapping[str, Any]) -> list[str]:
    rows, held = scores["rows"], scores["model"]["coverage_90"]
    found = judged(held, 0.9, rows)
    if found == "few":
        return [f"{rows} rows are too few to tell whether the error bars are honest."]
    error, usual = scores["model"]["calibration_error"], _CHANCE / math.sqrt(rows)
    chance = f"the calibration error of honest ones would be about {usual:.3f} on so many rows"
    if found == "narrow":
        return [f"The error bars are TOO NARROW: the 90 % intervals hold {held:.0%} of the targets ({chance})."]
    if found == "wide":
        return [f"The error bars are wider than they need be: the 90 % intervals hold {held:.0%} ({chance})."]
    if error > SLACK + _CERTAIN * usual:
        return [
            f"The 90 % intervals hold {held:.0%} of the targets, as they should, but others do NOT hold theirs ({chance})."
        ]
    return [f"The error bars are honest here: the 90 % intervals hold {held:.0%} of the targets ({chance})."]


def _probabilities(scores: Mapping[str, Any]) -> list[str]:
    rows, error, accuracy = (scores["rows"], scores["model"]["calibration_error"], scores["model"]["accuracy"])
    if rows < FEW:
        return [f"{rows} rows are too few to tell whether the probabilities are honest."]
    # of ten bins of equal size, each with the mean absolute error of a share of its rows
    chance = math.sqrt(2 / math.pi) * math.sqrt(max(accuracy * (1 - accuracy), 1 / rows) * 10 / rows)
    if error > SLACK + 2 * chance:
        return [f"The probabilities are NOT calibrated: on average {error:.0%} away from what happens."]
    return [
        f"The probabilities are honest here: on average {error:.0%} away from what happens, as chance alone would allow."
    ]


def _gain(scores: Mapping[str, Any], name: str, numeric: bool) -> str:
    than = _NAMES[numeric][name]
    mean, error = scores["gain"][name]
    if mean is None:
        return f"The model and {than} cannot be compared: a log-likelihood is not finite."
    by = f"{abs(mean):.3f} nats a row"
    if error is None or abs(mean) <= _CERTAIN * error:
        return (
            f"The model is NO BETTER than {than} as far as these rows can tell (log-likelihood {mean:+.3f} nats a row)."
        )
    if mean < 0:
        return f"The model is WORSE than {than} (by {by}): use that instead, or give more data or columns."
    return f"The model is better than {than} (by {by})."
