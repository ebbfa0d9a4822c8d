"""Tables: standardisation, prediction in the table's units, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import yuragi as yu
from yuragi.tables import Columns, TableError, TableModel, fit_table, load_table_model, read_csv, write_csv

RNG = np.random.default_rng(0)


def table(rows: int = 120) -> pd.DataFrame:
    frame = pd.DataFrame({"a": RNG.normal(50, 10, rows), "b": RNG.integers(0, 5, rows), "flat": np.full(rows, 7.0)})
    return frame.assign(y=1000 + 20 * frame["a"] - 30 * frame["b"] + RNG.normal(0, 50, rows))


@pytest.fixture(scope="module")
def model() -> TableModel:
    return fit_table(table(), "y", hidden=(16,), members=5, epochs=800)[0]


def test_columns_are_standardised_by_the_training_table() -> None:
    frame = table()
    columns = Columns.of(frame, "y")
    x = columns.x(frame)
    assert columns.features == ("a", "b", "flat")
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x[:, :2].std(0, correction=0), torch.ones(2))
    assert torch.equal(x[:, 2], torch.zeros(120))  # a constant column has scale 1
    moved = frame.assign(a=frame["a"] + 10 * columns.feature_scale[0])
    torch.testing.assert_close(columns.x(moved)[:, 0] - x[:, 0], torch.full((120,), 10.0))
    back = columns.standardised_y(frame).double() * columns.target_scale + columns.target_loc
    torch.testing.assert_close(back, columns.y(frame), rtol=1e-5, atol=1e-3)


def test_a_fit_predicts_in_the_units_of_the_table(model: TableModel) -> None:
    test = table()
    scores = model.evaluate(test)
    assert scores["rmse"] < 75  # noise 50, standard deviation of the target about 200
    assert 0.75 <= scores["coverage_90"] <= 1
    ideal = -0.5 * np.log(2 * np.pi * 50**2) - 0.5
    assert ideal - 0.6 < scores["log_likelihood"] < ideal + 0.2
    assert scores["crps"] < 45
    predicted = model.predict_table(test.drop(columns="y").assign(note="kept"))
    added = [f"y_{name}" for name in ("mean", "std", "epistemic", "aleatoric", "lower", "upper")]
    assert list(predicted.columns) == ["a", "b", "flat", "note", *added]
    assert (predicted["y_lower"] < predicted["y_mean"]).all()
    assert (predicted["y_mean"] < predicted["y_upper"]).all()
    total = np.hypot(predicted["y_epistemic"], predicted["y_aleatoric"])
    np.testing.assert_allclose(predicted["y_std"], total, rtol=1e-4)
    assert 30 < predicted["y_aleatoric"].iloc[0] < 70


def test_uncertainty_grows_away_from_the_table(model: TableModel) -> None:
    near = model.predict(pd.DataFrame({"a": [50.0], "b": [2], "flat": [7.0]}))
    far = model.predict(pd.DataFrame({"a": [500.0], "b": [2], "flat": [7.0]}))
    assert float(far.epistemic) > 3 * float(near.epistemic)


def test_a_saved_model_needs_nothing_else(model: TableModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m.yuragi")
    loaded = load_table_model(tmp_path / "m.yuragi")
    assert loaded.columns == model.columns
    frame = table(10)
    pd.testing.assert_frame_equal(loaded.predict_table(frame), model.predict_table(frame))


def test_a_network_without_its_table_is_refused(tmp_path: Path) -> None:
    yu.save(yu.bayesianize(nn.Linear(2, 1)), tmp_path / "n.yuragi")
    with pytest.raises(yu.FileError, match="without the table"):
        load_table_model(tmp_path / "n.yuragi")


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    fit_table(table(), "y", hidden=(4,), members=2, epochs=8)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "target", "message"),
    [
        (lambda t: t, "z", "target column 'z' is missing; the table has a, b, flat, y"),
        (lambda t: t.assign(y=3.0), "y", "target 'y' is constant"),
        (lambda t: t.head(1), "y", "target 'y' is constant"),
        (lambda t: t.assign(b="red"), "y", r"column 'b' is not numeric \(it holds 'red'\)"),
        (lambda t: t.assign(y="red"), "y", "column 'y' is not numeric"),
        (
            lambda t: t.assign(a=t["a"].where(t.index != 4)),
            "y",
            "column 'a' has 1 missing or infinite values, .* row 5",
        ),
        (lambda t: t.assign(a=np.inf), "y", "column 'a' has 120 missing or infinite"),
        (lambda t: t[["y"]], "y", "no column besides the target"),
        (lambda t: pd.concat([t, t[["a"]]], axis=1), "y", "column 'a' appears more than once"),
    ],
)
def test_bad_training_tables_are_refused(change: object, target: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        fit_table(change(table()), target)  # type: ignore[operator]


def test_bad_new_tables_are_refused(model: TableModel) -> None:
    with pytest.raises(TableError, match=r"column 'a' is missing; the model was fitted on a, b, flat"):
        model.predict(table().drop(columns="a"))
    with pytest.raises(TableError, match="column 'b' has 120 missing"):
        model.predict(table().assign(b=np.nan))
    with pytest.raises(TableError, match="target column 'y' is missing"):
        model.evaluate(table().drop(columns="y"))


def test_csv_files(tmp_path: Path) -> None:
    frame = table(5)
    write_csv(frame, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), frame)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "binary.csv").write_bytes(b"\x80\x81\xff\n")
    for name, message in (("empty", "not a CSV file"), ("header", "no rows"), ("binary", "not a CSV file")):
        with pytest.raises(TableError, match=message):
            read_csv(tmp_path / f"{name}.csv")
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "nowhere.csv")


def test_a_column_is_constant_whatever_its_rounding() -> None:
    frame = pd.DataFrame({"a": np.arange(1000.0), "b": [0.1] * 1000, "y": np.arange(1000.0)})
    assert Columns.of(frame, "y").feature_scale[1] == 1
    with pytest.raises(TableError, match="'y' is constant"):
        Columns.of(frame.assign(y=0.1), "y")


def test_values_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(TableError, match="'y' has values beyond 1e"):
        Columns.of(pd.DataFrame({"a": [1.0, 2.0], "y": [1e200, 0.0]}), "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,y\n0,0.0,0.0\n1,1.0,2.0\n", "more fields than its header"), ("a,a,y\n1,2,3\n", "'a' appears more than once")],
)
def test_a_malformed_header_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        read_csv(tmp_path / "t.csv")
