"""`compare_table` scores in the target's units, and learns nothing from the rows that it scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.made_up_tables import table
from torch import nn

from yuragi import methods
from yuragi.comparison import random_splits
from yuragi.predictions import RegressionPrediction
from yuragi.tables import TableError, compare_table


class Standard:
    """Predicts a standard normal in whatever units it is given, and keeps what it has seen."""

    def __init__(self) -> None:
        self.x: list[torch.Tensor] = []
        self.y: list[torch.Tensor] = []
        self.nets: list[nn.Module] = []

    def run(self, net: nn.Module, data: Any, **_: Any) -> Standard:
        self.nets.append(net)
        self.x.append(data[0])
        self.y.append(data[1])
        return self

    def predict(self, x: torch.Tensor) -> RegressionPrediction:
        self.x.append(x)
        return RegressionPrediction(torch.zeros(1, len(x), 1, dtype=torch.float64), torch.ones(()).double())


@pytest.fixture
def standard(monkeypatch: pytest.MonkeyPatch) -> Standard:
    method = Standard()
    monkeypatch.setitem(methods.METHODS, "standard", method.run)
    return method


def test_scores_are_in_the_units_of_the_target(standard: Standard) -> None:
    frame = table(100).drop(columns="kind")
    found = compare_table(frame, "price", ["standard"], splits=2, gap=0)
    y = frame["price"].to_numpy()
    for number, split in enumerate(random_splits(100, 2)):
        mean, std = y[split.train].mean(), y[split.train].std()
        errors = y[split.test] - mean
        assert found.values["standard"]["rmse"][number] == pytest.approx(np.sqrt(np.mean(errors**2)))
        log_density = -0.5 * (errors / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
        assert found.values["standard"]["log_likelihood"][number] == pytest.approx(log_density.mean())
        assert found.values["standard"]["width_90"][number] == pytest.approx(2 * 1.6449 * std, rel=1e-4)
        assert float(standard.y[number].mean()) == pytest.approx(0, abs=1e-9)
        assert float(standard.y[number].std(correction=0)) == pytest.approx(1)
    assert found.settings["target"] == "price"
    assert found.settings["task"] == "regression"


def test_what_is_scored_does_not_change_what_is_learnt(standard: Standard) -> None:
    frame = table(60).drop(columns="kind")
    frame["size"] = frame["size"].fillna(10.0)  # what stands for a missing number is the whole table's median
    split = (np.arange(40), np.arange(40, 60))
    compare_table(frame, "price", ["standard"], splits=[split], gap=0)
    other = frame.copy()
    other.loc[40:, ["size", "price"]] *= 3
    compare_table(other, "price", ["standard"], splits=[split], gap=0)
    trained, scored, trained_too, scored_too = standard.x
    assert torch.equal(trained, trained_too)
    assert not torch.equal(scored, scored_too)
    assert torch.equal(standard.y[0], standard.y[1])


def test_rows_without_a_target_are_left_aside(standard: Standard) -> None:
    frame = table(60).drop(columns="kind")
    frame.loc[:9, "price"] = np.nan
    found = compare_table(frame, "price", ["standard"], splits=1, gap=0)
    assert found.sizes == ((40, 10),)
    assert found.settings["rows"] == 50


def test_classes_have_a_network_of_as_many_outputs() -> None:
    few = {"last_layer": {"epochs": 2}, "quantile": {"epochs": 2}}
    found = compare_table(table(60).drop(columns="price"), "kind", few, splits=1)
    assert list(found.values) == ["last_layer"]
    assert "Categorical()" in found.skipped["quantile"]
    assert 0 <= found.values["last_layer"]["accuracy"][0] <= 1
    assert found.values["last_layer"]["gap_ratio"][0] > 0


def test_bad_tables_and_settings() -> None:
    frame = table(60).drop(columns="kind")
    with pytest.raises(ValueError, match="no method is called 'magic'"):
        compare_table(frame, "price", ["magic"])
    with pytest.raises(TableError, match="no method could be run: collapsed: only under Gaussian noise"):
        compare_table(table(60).drop(columns="price"), "kind", ["collapsed"], splits=1)
    with pytest.raises(TableError, match=r"a gap of 0.999 leaves 2 rows to train on"):
        compare_table(frame, "price", ["svi"], gap=0.999)
    with pytest.raises(TableError, match=r"rows are too few to hold 0.01 of them out"):
        compare_table(frame, "price", ["svi"], held_out=0.01)
    with pytest.raises(TableError, match="target column 'cost' is missing"):
        compare_table(frame, "cost")
    with pytest.raises(ValueError, match="budget must be a positive"):
        compare_table(frame, "price", budget=0)


def test_a_fit_that_goes_to_infinity_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverges(*_: Any, **__: Any) -> Any:
        raise FloatingPointError("the loss became nan")

    monkeypatch.setitem(methods.METHODS, "diverges", diverges)
    frame = pd.DataFrame({"a": np.arange(30.0) % 7, "b": np.sin(np.arange(30.0))})
    with pytest.raises(
        TableError, match=r"a fit failed \(compare was running diverges, split 1 of 5: the loss became nan\)"
    ):
        compare_table(frame, "b", ["diverges"])
