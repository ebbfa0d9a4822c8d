"""The verdict in words: each sentence where the scores call for it."""

from __future__ import annotations

from typing import Any

import pytest

from yuragi.cli import scores

NUMERIC: dict[str, Any] = {
    "rows": 400,
    "model": {"rmse": 1.0, "coverage_90": 0.9, "calibration_error": 0.02},
    "gain": {"linear": [0.5, 0.1], "constant": [1.0, 0.1]},
}
CLASSES: dict[str, Any] = {
    "rows": 400,
    "model": {"accuracy": 0.8, "calibration_error": 0.02},
    "gain": {"linear": [0.5, 0.1], "constant": [1.0, 0.1]},
}


@pytest.mark.parametrize(
    ("found", "change", "sentence"),
    [
        (NUMERIC, {}, "The error bars are honest here: the 90 % intervals hold 90% of the targets"),
        (
            NUMERIC,
            {"model": {"rmse": 1.0, "coverage_90": 0.7, "calibration_error": 0.02}},
            "The error bars are TOO NARROW",
        ),
        (
            NUMERIC,
            {"model": {"rmse": 1.0, "coverage_90": 1.0, "calibration_error": 0.02}},
            "The error bars are wider than they need be",
        ),
        # 80 % of so few rows may be chance, and of many is not
        (
            NUMERIC,
            {"rows": 40, "model": {"rmse": 1.0, "coverage_90": 0.8, "calibration_error": 0.02}},
            "The error bars are honest here",
        ),
        (
            NUMERIC,
            {"rows": 4000, "model": {"rmse": 1.0, "coverage_90": 0.8, "calibration_error": 0.02}},
            "The error bars are TOO NARROW",
        ),
        (
            NUMERIC,
            {"model": {"rmse": 1.0, "coverage_90": 0.9, "calibration_error": 0.09}},
            "hold 90% of the targets, as they should, but others do NOT hold theirs (the calibration error of honest ones",
        ),
        (NUMERIC, {"rows": 20}, "20 rows are too few to tell whether the error bars are honest."),
        (NUMERIC, {}, "The model is better than linear regression (by 0.500 nats a row)."),
        (
            NUMERIC,
            {"gain": {"linear": [0.1, 0.1], "constant": [1, 0.1]}},
            "The model is NO BETTER than linear regression",
        ),
        (
            NUMERIC,
            {"gain": {"linear": [-0.1, 0.1], "constant": [1, 0.1]}},
            "The model is NO BETTER than linear regression",
        ),
        (NUMERIC, {"gain": {"linear": [1, 0.1], "constant": [-1, 0.1]}}, "The model is WORSE than a constant Gaussian"),
        (
            NUMERIC,
            {"gain": {"linear": [1, None], "constant": [1, 0.1]}},
            "The model is NO BETTER than linear regression",
        ),
        (NUMERIC, {"gain": {"linear": [None, None], "constant": [1, 0.1]}}, "and linear regression cannot be compared"),
        (CLASSES, {}, "The probabilities are honest here: on average 2% away from what happens"),
        (CLASSES, {"model": {"accuracy": 0.8, "calibration_error": 0.3}}, "The probabilities are NOT calibrated"),
        (CLASSES, {"rows": 20}, "20 rows are too few to tell whether the probabilities are honest."),
        (CLASSES, {}, "The model is better than logistic regression"),
        (CLASSES, {"gain": {"linear": [1, 0.1], "constant": [0, 0]}}, "NO BETTER than the class frequencies"),
    ],
)
def test_the_verdict(found: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    assert any(sentence in one for one in scores.verdict(found | change))
