"""`TableModel`: predictions in the table's units and columns, scores on rows held out, and its file."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.made_up_tables import NOISE, model, model_file, table
from torch import nn

import yuragi as yu
from yuragi.comparison.splits import random_split
from yuragi.prediction import ClassificationPrediction, NumericPrediction
from yuragi.tables import TableError, TableModel, fit_table, load_table_model

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
QUICK: dict[str, Any] = {"posterior": "anchored", "members": 2, "epochs": 2}


@pytest.fixture(scope="module")
def fitted() -> TableModel:
    return fit_table(table(160).drop(columns="kind"), "price", posterior="anchored", members=3, epochs=250)


def test_predictions_are_in_the_units_of_the_table(fitted: TableModel) -> None:
    new = table(200, seed=1)
    prediction = fitted.predict(new.drop(columns="price"))
    assert isinstance(prediction, NumericPrediction)
    assert prediction.mean.shape == (200, 1)
    error = prediction.mean[:, 0].numpy() - new["price"].to_numpy()
    known = new["size"].notna() & new["colour"].notna()
    assert np.sqrt(np.mean(error[known] ** 2)) < 4 * NOISE  # the standard deviation of price is 6
    lower, upper = prediction.interval(0.9)
    held = (lower[:, 0].numpy() <= new["price"]) & (new["price"] <= upper[:, 0].numpy())
    assert 0.5 < held.mean() <= 1


def test_the_scores_held_out_are_those_of_the_rows_that_were_not_learnt_from(fitted: TableModel) -> None:
    scores = fitted.about["scores"]
    assert fitted.about["rows"] == {"learnt from": 128, "held out": 32, "without a target": 0}
    assert scores["rows"] == 32
    frame = table(160).drop(columns="kind")
    learnt, checked = random_split(160, 0.2, seed=0)
    assert sorted([*learnt, *checked]) == list(range(160))
    again = fitted.evaluate(frame.iloc[checked])
    assert again["model"] == pytest.approx(scores["model"])
    assert fitted.baselines.constant == [pytest.approx(frame["price"].iloc[learnt].mean())]
    # the noise alone has this log-likelihood, in expectation
    assert scores["model"]["log_likelihood"] < -0.5 * math.log(2 * math.pi * NOISE**2) - 0.5 + 0.4
    assert scores["model"]["rmse"] < scores["constant"]["rmse"] / 3
    gap = scores["model"]["log_likelihood"] - scores["linear"]["log_likelihood"]
    assert scores["gain"]["linear"][0] == pytest.approx(gap)


def test_the_predicted_table_keeps_every_column_and_adds_its_own() -> None:
    frame = table(30, seed=2).assign(note="kept", code=range(30))
    predicted = model().predict_table(frame, level=0.8)
    pd.testing.assert_frame_equal(predicted[frame.columns], frame)
    added = predicted.drop(columns=frame.columns)
    assert list(added.columns) == [
        f"price_{name}" for name in ("mean", "std", "epistemic", "aleatoric", "lower", "upper")
    ]
    np.testing.assert_allclose(
        added["price_std"], np.hypot(added["price_epistemic"], added["price_aleatoric"]), rtol=1e-6
    )
    prediction = model().predict(frame)
    lower, upper = prediction.interval(0.8)  # type: ignore[union-attr]
    np.testing.assert_array_equal(added["price_lower"], lower[:, 0])
    np.testing.assert_array_equal(added["price_upper"], upper[:, 0])


def test_several_levels_have_an_interval_each() -> None:
    new = table(6, seed=1).drop(columns=["price", "kind"])
    several = model().predict_table(new, [0.5, 0.9])
    for level in (0.5, 0.9):
        one = model().predict_table(new, level)
        for end in ("lower", "upper"):
            assert several[f"price_{end}_{level}"].tolist() == one[f"price_{end}"].tolist()
    assert several.shape[1] == new.shape[1] + 8


def test_a_value_of_another_kind_says_its_row() -> None:
    new = table(6, seed=1).drop(columns=["price", "kind"])
    with pytest.raises(TableError, match="'big' in row 3") as refused:
        model().predict_table(new.assign(size=[1, 2, "big", "x", 5, 6]))
    assert refused.value.row == 3


def test_the_predicted_table_of_classes() -> None:
    frame = table(30, seed=2)
    added = model("kind").predict_table(frame).drop(columns=frame.columns)
    assert list(added.columns) == [
        "kind_label",
        "kind_probability_large",
        "kind_probability_small",
        "kind_entropy",
        "kind_mutual_information",
    ]
    prediction = model("kind").predict(frame)
    assert isinstance(prediction, ClassificationPrediction)
    probs = added[["kind_probability_large", "kind_probability_small"]].to_numpy()
    np.testing.assert_allclose(probs.sum(1), 1)
    np.testing.assert_array_equal(added["kind_label"], np.array(["large", "small"])[probs.argmax(1)])
    np.testing.assert_allclose(added["kind_entropy"], -(probs * np.log(probs)).sum(1))


def test_rows_are_predicted_the_same_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(40, seed=3)
    whole = model().predict_table(frame)
    monkeypatch.setattr("yuragi.tables.model._TOGETHER", 7)
    pd.testing.assert_frame_equal(model().predict_table(frame), whole)


def test_a_column_that_would_be_overwritten_is_refused() -> None:
    with pytest.raises(TableError, match="'price_std' already, where the prediction would go: rename it"):
        model().predict_table(table(5).assign(price_std=1.0))


def test_evaluation_leaves_rows_without_a_target_aside() -> None:
    frame = table(60, seed=4)
    scores = model().evaluate(frame.assign(price=frame["price"].where(frame.index >= 20)))
    assert scores == model().evaluate(frame.iloc[20:])
    assert scores["rows"] == 40
    with pytest.raises(TableError, match="'price' has no values: there is nothing to score"):
        model().evaluate(frame.assign(price=np.nan))


@pytest.mark.parametrize("target", ["price", "kind"])
def test_a_file_is_complete(target: str, tmp_path: Path) -> None:
    path = tmp_path / "m.yuragi"
    path.write_bytes(model_file(target))
    loaded = load_table_model(path)
    assert loaded.schema == model(target).schema
    assert loaded.about == json.loads(json.dumps(model(target).about))
    assert loaded.baselines == model(target).baselines
    frame = table(20, seed=5)
    pd.testing.assert_frame_equal(loaded.predict_table(frame), model(target).predict_table(frame))
    assert loaded.evaluate(frame) == model(target).evaluate(frame)
    loaded.save(tmp_path / "again.yuragi")
    assert (tmp_path / "again.yuragi").read_bytes() == path.read_bytes()


def test_what_was_done_is_told() -> None:
    frame = table().drop(columns="kind")
    about = model().about
    json.dumps(about, allow_nan=False)
    assert about["data"]["sha256"] == hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    assert about["versions"]["torch"] == torch.__version__
    assert len(about["training_curve"]["loss"]) == about["settings"]["epochs"] == 40
    assert about["settings"]["members"] == 2
    assert fit_table(frame, "price", sha256="f" * 64, **QUICK).about["data"]["sha256"] == "f" * 64


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_state_alone() -> None:
    frame = table(50).drop(columns="kind")
    state = torch.get_rng_state()
    first, second, other = (fit_table(frame, "price", seed=seed, **QUICK) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.predict(frame).samples, second.predict(frame).samples)
    assert not torch.equal(first.predict(frame).samples, other.predict(frame).samples)
    assert first.about["scores"] == second.about["scores"]


def test_every_class_keeps_rows_to_learn_from() -> None:
    frame = pd.DataFrame({"x": np.arange(46) % 7 + 0.5, "y": ["a"] * 40 + ["b"] * 4 + ["c"] * 2})
    fitted = fit_table(frame, "y", held_out=0.25, **QUICK)
    assert fitted.about["rows"] == {"learnt from": 35, "held out": 11, "without a target": 0}
    assert fitted.schema.classes == ("a", "b", "c")
    assert fit_table(frame, "y", held_out=0, **QUICK).about["scores"] is None
    with pytest.raises(ValueError, match="held_out must be a share"):
        fit_table(frame, "y", held_out=1.0)


def test_a_fit_that_is_stopped_keeps_what_it_has_learnt() -> None:
    told: list[float] = []

    def stop(done: float) -> bool:
        told.append(done)
        return done > 0.3

    fitted = fit_table(table(60).drop(columns="kind"), "price", members=2, epochs=40, progress=stop)
    assert told == sorted(told)
    assert 0.3 < told[-1] < 1
    assert fitted.predict(table(3)).mean.isfinite().all()  # type: ignore[union-attr]


def test_a_fit_that_was_interrupted_is_continued(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(done: float) -> None:
        if done > 0.5:
            raise Interrupted

    settings: dict[str, Any] = {"posterior": "meanfield", "members": 2, "epochs": 8}  # its kl_weight is chosen
    expected = fit_table(table(), "price", **settings)
    options: dict[str, Any] = {"checkpoint": tmp_path / "run", "every": 0, "resume": True}
    with pytest.raises(Interrupted):
        fit_table(table(), "price", progress=interrupt, **options, **settings)
    found = fit_table(table(), "price", **options, **settings)
    assert torch.equal(found.predict(table()).samples, expected.predict(table()).samples)
    assert found.about["scores"] == expected.about["scores"]


def test_a_network_without_its_table_is_refused(tmp_path: Path) -> None:
    yu.save(yu.bayesianize(nn.Linear(2, 1)), tmp_path / "n.yuragi")
    with pytest.raises(yu.FileError, match=r"without the table it was fitted on: load it with yuragi\.load"):
        load_table_model(tmp_path / "n.yuragi")


def test_a_model_of_before_the_first_release_is_refused(tmp_path: Path) -> None:
    held = {"table": {"columns": {"features": ["a"], "target": "y"}, "hidden": [100, 100]}}
    yu.save(yu.bayesianize(nn.Linear(2, 1)), tmp_path / "old.yuragi", extra=held)
    with pytest.raises(yu.FileError, match="as a development version wrote it: fit it again"):
        load_table_model(tmp_path / "old.yuragi")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table["schema"]["columns"][0].update(kind="sound"),
        lambda table: table["schema"]["columns"][0].update(quantiles=[0.0] * 100),
        lambda table: table["schema"]["columns"][0].update(notation="#"),
        lambda table: table["schema"]["columns"].pop(),
        lambda table: table["schema"].update(task="sorting"),
        lambda table: table["schema"].update(classes=["a", "b"]),
        lambda table: table["schema"]["target"].update(name="size"),
        lambda table: table["encoder"]["learned"]["numbers"].update(size=[0.0, 0.0, 0.0]),
        lambda table: table["encoder"]["learned"]["dates"]["day"].update(parts=["tide"]),
        lambda table: table["encoder"]["learned"].update(encodings=[[[0.0]]]),
        lambda table: table["baselines"].update(scales=[]),
        lambda table: table["about"].update(scores=[]),
        lambda table: table["about"]["training_curve"].update(loss="falling"),
        lambda table: table.pop("about"),
    ],
)
def test_a_file_that_says_something_else_of_its_table_is_refused(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.yuragi"
    path.write_bytes(model_file())
    held = yu.files.read(path).extra
    change(held["table"])
    model().tabular.save(path, {"table": held["table"]})
    with pytest.raises(yu.FileError, match=r"m\.yuragi is no file that this yuragi can use: "):
        load_table_model(path)


def test_a_numeric_target_may_be_classes() -> None:
    frame = pd.DataFrame({"x": np.arange(60) % 11 + 0.5, "y": np.arange(60) % 3})
    assert fit_table(frame, "y", **QUICK).schema.task == "classification"
    assert fit_table(frame, "y", "regression", **QUICK).schema.task == "regression"


def test_numbers_whose_training_fails_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: object, **__: object) -> None:
        raise FloatingPointError("the loss became nan")

    monkeypatch.setattr("yuragi.tables.fitting.fit_tabular", diverged)
    with pytest.raises(TableError, match=r"the fit failed .* values that are far from all others"):
        fit_table(table(), "price")
