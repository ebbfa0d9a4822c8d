"""The benchmark on the UCI sets: every method by the same call, and what could not be run named in its table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

import yuragi as yu
from yuragi.methods import METHODS


@pytest.fixture
def uci(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    threads = torch.get_num_threads()
    yield importlib.import_module("uci")
    torch.set_num_threads(threads)
    for name in ("uci", "machine"):
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (80, 2))
    y = 50 + 10 * x[:, 0] + rng.normal(size=80)
    order = [rng.permutation(80) for _ in range(2)]
    train, test = [index[:60] for index in order], [index[60:] for index in order]
    np.savez(tmp_path / "energy.npz", X=x, y=y, train_idx=train, test_idx=test)
    return tmp_path


def test_a_prediction_is_scored_in_the_units_of_the_targets(
    uci: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whoever predicts the mean and standard deviation of the training part has the score of that Normal
    def constant(x: Any, y: Any, seed: int, seconds: float | None) -> Any:
        return lambda rows: yu.RegressionPrediction(torch.zeros(1, len(rows), 1), torch.tensor(1.0)), {}

    monkeypatch.setitem(uci.METHODS, "svi", constant)
    row = uci.attempt("svi", "energy", 1, folder, False, False, 1, 60.0)
    with np.load(folder / "energy.npz") as file:
        train, test = (file["y"][file[f"{part}_idx"][1]] for part in ("train", "test"))
    assert row.log_likelihood == pytest.approx(norm.logpdf(test, train.mean(), train.std()).mean(), rel=1e-5)
    assert row.rmse == pytest.approx(np.sqrt(((test - train.mean()) ** 2).mean()), rel=1e-5)
    assert (row.method, row.name, row.split) == ("svi", "energy", 1)


def test_a_method_of_the_library_sees_inputs_standardised_by_the_training_part(
    uci: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    class Result:
        def predict(self, x: torch.Tensor) -> yu.RegressionPrediction:
            seen.append(x)
            return yu.RegressionPrediction(torch.zeros(1, len(x), 1), torch.tensor(1.0))

    def run(net: Any, data: Any, *, likelihood: Any, seed: int, seconds: float) -> Result:
        assert (repr(likelihood), seed, seconds) == (repr(yu.Gaussian()), 3, 0.5)
        seen.append(data[0])
        return Result()

    monkeypatch.setitem(METHODS, "swag", run)
    x = 1000 + 100 * torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    predict, _ = uci.of_yuragi(x, torch.zeros(60, 1), 3, 0.5, "swag")
    predict(x[:5] + 50)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[0].std(0, correction=0), torch.ones(2))
    torch.testing.assert_close(seen[1], seen[0][:5] + 50 / x.std(0, correction=0), atol=1e-4, rtol=0)


def test_what_cannot_be_run_is_listed_with_the_reason(uci: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(x: Any, y: Any, seed: int, seconds: float | None) -> Any:
        raise ValueError(f"{seconds:g} seconds\nare too few")

    monkeypatch.setitem(uci.METHODS, "svi", picky)
    skipped = [uci.attempt("svi", "energy", split, folder, False, False, 1, 0.5) for split in (0, 1)]
    assert list(uci.left_out(skipped)) == [
        "- svi on energy, splits 0, 1, left out: ValueError: 0.5 seconds are too few"
    ]


def test_all_are_the_methods_of_the_library(uci: Any) -> None:
    assert uci.ALL == ["anchored", *METHODS]
    assert set(uci.ALL) <= set(uci.METHODS)
