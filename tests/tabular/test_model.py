"""Fitted models: predictions row by row, and files that are complete or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tabular.data import Small, line, numeric
from torch import nn

import yuragi as yu
from yuragi.networks import TabularNetwork
from yuragi.posteriors import FullCovariance
from yuragi.tabular import fit_tabular, load_tabular

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 30}


def test_what_is_said_of_a_row_does_not_depend_on_the_others() -> None:
    x, y = line(rows=300)
    for settings in (FAST, {**FAST, "posterior": "meanfield", "members": 1, "epochs": 5}):
        model = fit_tabular(x, y, "regression", **settings)
        whole, one = numeric(model, x), numeric(model, x[273:274])
        assert torch.equal(one.samples[:, 0], whole.samples[:, 273])
        for name in ("mean", "std", "epistemic", "aleatoric"):
            torch.testing.assert_close(getattr(one, name)[0], getattr(whole, name)[273], rtol=1e-12, atol=0)


def test_predictions_refuse_other_columns() -> None:
    x, y = line(rows=20)
    model = fit_tabular(x, y, "regression", **FAST)
    with pytest.raises(ValueError, match="x has 3 columns, but the model was fitted to 2"):
        model.predict(np.zeros((5, 3)))
    with pytest.raises(TypeError, match=r"module must make an nn.Module, got int"):
        fit_tabular(x, y, "regression", module=lambda a, b: a * b)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"posterior": "auto"},
        {"posterior": "meanfield"},
        {"noise": "learned"},
        {"noise": 0.3},
        {"module": Small},
        {"posterior": FullCovariance(), "members": 1, "module": Small},
    ],
    ids=str,
)
def test_a_file_is_complete(settings: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=60), np.full(60, 3.0), np.arange(60) % 2, np.arange(60) % 5])
    model = fit_tabular(x, rng.normal(size=(60, 2)), "regression", **{**FAST, **settings})
    model.save(tmp_path / "m.yuragi", {"note": 1})
    assert yu.files.read(tmp_path / "m.yuragi").extra["note"] == 1
    loaded = load_tabular(tmp_path / "m.yuragi", settings.get("module"))
    assert loaded.history is None
    assert isinstance(loaded.bnn.module, TabularNetwork) == ("module" not in settings)
    one, other = numeric(model, x), numeric(loaded, x)
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(one.std, other.std)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    x, y = line(rows=20)
    path = tmp_path / "m.yuragi"
    fit_tabular(x, y, "regression", module=Small, **FAST).save(path)
    with pytest.raises(ValueError, match="network of your own, whose code no file can hold: give module="):
        load_tabular(path)
    with pytest.raises(yu.FileError, match="another architecture"):
        load_tabular(path, nn.Linear)
    fit_tabular(x, y, "regression", **FAST).save(path)
    with pytest.raises(ValueError, match="leave module= out"):
        load_tabular(path, Small)
    yu.save(yu.bayesianize(nn.Linear(2, 1)), path)
    with pytest.raises(yu.FileError, match="without its standardisation"):
        load_tabular(path)


UNKNOWN: list[dict[str, Any]] = [
    {"task": "ranking"},
    {"loc": [0.0, 0.0]},
    {"scale": []},
    {"x_loc": [[0.0], [0.0]]},
    {"x_scale": [1.0, float("nan")]},
    {"outputs": 3},
    {"network": {"bins": [16, 16], "width": 100}},
    {"network": {"bins": [16], "width": 100, "depth": 2}},
    {"network": {"bins": [16, 10**9], "width": 100, "depth": 2}},
    {"network": {"bins": [16, 16], "width": 10**6, "depth": 2}},  # would be a terabyte
    {"network": {"bins": [16, 16], "width": 1, "depth": 10**9}},
    {"network": {"bins": [16, 16], "width": "100", "depth": 2}},
    {"network": 7},
    {"more": 1},
]


@pytest.mark.parametrize("change", UNKNOWN, ids=str)
def test_a_file_that_describes_its_network_otherwise_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "m.yuragi"
    model = fit_tabular(*line(rows=20), "regression", posterior="anchored", members=2, epochs=1)
    model.save(path)
    described = yu.files.read(path).extra["tabular"]
    yu.files.save(model.bnn, path, {"tabular": described | change})
    with pytest.raises(yu.FileError, match=r"m.yuragi describes its network .* upgrade yuragi"):
        load_tabular(path)
    yu.files.save(model.bnn, path, {"tabular": described})  # and it was not the rest of the file
    load_tabular(path)
