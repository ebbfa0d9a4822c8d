"""Baselines against closed forms, and comparisons on rows that tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from yuragi.described import Described, FileError
from yuragi.prediction import ClassificationPrediction, RegressionPrediction
from yuragi.tables.baselines import Baselines
from yuragi.tables.scores import compared, score

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
Y = 5 + X @ np.array([2.0, -1.0]) + 0.5 * RNG.normal(size=400)
LABELS = (X[:, 0] + 0.3 * RNG.normal(size=400) > 0).astype(np.int64)


def test_of_numbers() -> None:
    found = Baselines.fit(X, Y, classes=0)
    predictions = found.predictions(X)
    linear, constant = predictions["linear"], predictions["constant"]
    assert isinstance(linear, RegressionPrediction)
    assert isinstance(constant, RegressionPrediction)
    assert constant.mean[0].item() == pytest.approx(Y.mean())
    assert constant.std[0].item() == pytest.approx(Y.std())
    np.testing.assert_allclose(found.weights, [[2.0, -1.0]], atol=0.1)
    assert linear.std[0].item() == pytest.approx(0.5, abs=0.06)  # of the noise, not of what is left after fitting it
    assert constant.log_prob(torch.tensor(Y[:, None]))[0].item() == pytest.approx(
        -0.5 * ((Y[0] - Y.mean()) / Y.std()) ** 2 - math.log(Y.std() * math.sqrt(2 * math.pi))
    )


def test_the_residuals_are_those_of_rows_that_were_not_fitted() -> None:
    noise = RNG.normal(size=(60, 50))
    y = RNG.normal(size=60)  # nothing to learn, and nearly as many columns as rows
    assert Baselines.fit(noise, y, classes=0).scales[1] > 1


def test_of_classes() -> None:
    found = Baselines.fit(X, LABELS, classes=3)  # the third is in no row
    predictions = found.predictions(X)
    linear, constant = predictions["linear"], predictions["constant"]
    assert isinstance(linear, ClassificationPrediction)
    assert isinstance(constant, ClassificationPrediction)
    share = LABELS.mean()
    np.testing.assert_allclose(constant.probs[0, :2], [1 - share, share], atol=2e-3)
    assert float((linear.label.numpy() == LABELS).mean()) > 0.85
    assert float(linear.probs[:, 2].max()) < 0.1
    three = np.arange(400) % 3
    assert Baselines.fit(np.eye(3)[three], three, classes=3).predictions(np.eye(3))["linear"].label.tolist() == [  # type: ignore[union-attr]
        0,
        1,
        2,
    ]


def test_a_comparison_is_paired() -> None:
    predictions = Baselines.fit(X, Y, classes=0).predictions(X)
    found = compared(predictions["linear"], predictions, Y)
    assert found["gain"]["linear"] == [0, 0]
    difference = found["model"]["log_likelihood"] - found["constant"]["log_likelihood"]
    assert found["gain"]["constant"][0] == pytest.approx(difference)
    assert found["rows"] == 400


def test_scores_of_a_known_prediction() -> None:
    # standard normals: the quantiles of the normal distribution hold what they say
    rng = np.random.default_rng(1)
    y = rng.normal(size=20_000)
    normal = RegressionPrediction(torch.zeros(1, len(y), 1, dtype=torch.float64), noise=torch.ones(()).double())
    found = score(normal, y)
    for level in (50, 80, 90, 95):
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=3 * math.sqrt(0.25 / len(y)))
    assert found["width_90"] == pytest.approx(2 * 1.6449, abs=1e-3)
    assert found["crps"] == pytest.approx(1 / math.sqrt(math.pi), abs=0.02)
    assert found["log_likelihood"] == pytest.approx(-0.5 - 0.5 * math.log(2 * math.pi), abs=0.03)


def test_a_score_that_is_not_finite_is_none() -> None:
    certain = ClassificationPrediction(torch.tensor([[[0.0, -2000.0]]], dtype=torch.float64))
    assert score(certain, np.array([0]))["log_likelihood"] == 0
    narrow = RegressionPrediction(torch.zeros(1, 1, 1).double(), noise=torch.tensor(1e-200).double())
    assert score(narrow, np.array([1.0]))["log_likelihood"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [[1.0]]},
        {"weights": []},
        {"weights": [[1.0, "a"]]},
        {"constant": [1.0, 2.0, 3.0]},
        {"scales": []},
        {"scales": [1.0, -1.0]},
        {"intercept": [float("nan")]},
    ],
)
def test_descriptions_of_something_else_are_refused(change: dict[str, object]) -> None:
    described = Baselines.fit(X, Y, classes=0).described()
    assert Baselines.restore(Described("m", described), 2, 0) == Baselines.fit(X, Y, classes=0)
    with pytest.raises(FileError, match="m is no file that this yuragi can use"):
        Baselines.restore(Described("m", described | change), 2, 0)
