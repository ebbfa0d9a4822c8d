"""The benchmark of scikit-learn's estimators: its data are what they say, and its table is whole."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("sklearn_fit")


def test_labels_are_drawn_from_the_probabilities(benchmark: Any) -> None:
    _, label, probs = benchmark.classification(20_000, seed=0)
    for c, name in enumerate(("low", "middle", "high")):
        gap = ((label == name) - probs[:, c]).mean()
        assert abs(gap) < 4.5 * np.sqrt((probs[:, c] * (1 - probs[:, c])).mean() / 20_000)


def test_the_noise_grows_with_the_fourth_column(benchmark: Any) -> None:
    x, y = benchmark.regression(200_000, seed=0)
    clean = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    for low in (0.0, 0.9):
        rows = (low <= x[:, 3]) & (x[:, 3] < low + 0.1)
        assert (y - clean)[rows].std() == pytest.approx(0.55 + low, rel=0.03)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_the_table_is_whole(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"posterior": "anchored", "members": 2, "epochs": 2, "module": nn.Linear}
    lines = benchmark.table([100, 1_000], 2, **settings).splitlines()
    assert [line.split(" | ")[:2] for line in lines[-4:]] == [
        [f"| {name}", rows] for rows in ("100", "1,000") for name in ("BayesianRegressor", "BayesianClassifier")
    ]
    assert [line.split(" | ")[3].strip() for line in lines[-4:]] == ["", "", "15", "15"]
    assert capsys.readouterr().out.splitlines() == lines[-4:]
