"""Within scikit-learn: pipelines, searches, cross-validation, processes, pickles and frames."""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.tabular.data import Quick, Small, heaps, line

from yuragi.sklearn import BayesianClassifier, BayesianRegressor

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 3, "module": Quick, "epochs": 40, "random_state": 0}
X, Y = line(rows=60)


def fitted(kind: type[Any], **settings: Any) -> tuple[Any, Any]:
    x, y = heaps(3) if kind is BayesianClassifier else (X, Y)
    return kind(**{**FAST, **settings}).fit(x, y), x


@pytest.mark.parametrize("kind", [BayesianRegressor, BayesianClassifier])
@pytest.mark.parametrize("settings", [{}, {"module": None}, {"posterior": "meanfield", "members": 1}], ids=str)
def test_a_pickle_predicts_the_same_to_the_last_bit(kind: type[Any], settings: dict[str, Any]) -> None:
    model, x = fitted(kind, **settings)
    other = pickle.loads(pickle.dumps(model))
    one, again = (m.predict_distribution(x) for m in (model, other))
    np.testing.assert_array_equal(one.samples, again.samples)
    assert model.get_params() == other.get_params()


def test_joblib_writes_and_reads(tmp_path: Any) -> None:
    model, x = fitted(BayesianRegressor)
    joblib.dump(model, tmp_path / "m.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "m.joblib").predict(x), model.predict(x))


@pytest.mark.slow
def test_joblib_runs_fits_in_processes() -> None:
    with joblib.parallel_config("loky", n_jobs=2):
        scores = cross_val_score(BayesianRegressor(**FAST), X, Y, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(BayesianRegressor(**FAST), X, Y, cv=2))


def test_a_search_finds_the_better_setting() -> None:
    model = BayesianRegressor(**{**FAST, "posterior": "meanfield", "members": 1})
    search = GridSearchCV(model, {"epochs": [1, 150], "noise": np.array([0.5])}, cv=2).fit(X, Y)
    assert search.best_params_["epochs"] == 150
    assert search.score(X, Y) > 0.9
    x, y = heaps(2)
    settings = {"classifier__posterior": ["anchored", "meanfield"], "classifier__members": [2]}
    pipeline = Pipeline([("scaler", StandardScaler()), ("classifier", BayesianClassifier(**FAST))])
    assert GridSearchCV(pipeline, settings, cv=2).fit(x, y).score(x, y) == 1


def test_cross_validation_scores_what_was_left_out() -> None:
    model = BayesianRegressor(**{**FAST, "epochs": 200})
    scores = cross_val_score(model, X, Y, cv=3)
    folds = [(np.setdiff1d(np.arange(60), out), out) for out in np.array_split(np.arange(60), 3)]
    expected = [r2_score(Y[out], clone(model).fit(X[kept], Y[kept]).predict(X[out])) for kept, out in folds]
    np.testing.assert_allclose(scores, expected)
    x, y = heaps(3)
    assert (cross_val_score(BayesianClassifier(**{**FAST, "epochs": 300}), x, y, cv=2) == 1).all()


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_and_their_names(kind: type[Any]) -> None:
    frame = kind({"a": X[:, 0], "b": X[:, 1]})
    model = BayesianRegressor(**FAST).fit(frame, Y)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(model.predict(frame), BayesianRegressor(**FAST).fit(X, Y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(kind({"b": X[:, 1], "a": X[:, 0]}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


@pytest.mark.parametrize("series", [pd.Series, pl.Series])
def test_targets_and_weights_of_frames(series: type[Any]) -> None:
    expected = BayesianRegressor(**FAST).fit(X, Y, np.arange(60) % 3).predict(X)
    found = BayesianRegressor(**FAST).fit(X, series(Y), series(np.arange(60) % 3)).predict(X)
    np.testing.assert_array_equal(found, expected)
    x, y = heaps(2)
    model = BayesianClassifier(**FAST).fit(x, series(y))
    assert (model.predict(x) == y).all()
    assert model.score(x, series(y)) == 1


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_several_outputs_from_a_frame(kind: type[Any]) -> None:
    x, y = line(rows=60, outputs=2)
    frame = kind({"first": y[:, 0], "second": y[:, 1]})
    np.testing.assert_array_equal(
        BayesianRegressor(**FAST).fit(x, frame).predict(x), BayesianRegressor(**FAST).fit(x, y).predict(x)
    )


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_pipelines_of_frames(output: str) -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    pipeline = make_pipeline(StandardScaler(), BayesianRegressor(**FAST)).set_output(transform=output)
    pipeline.fit(frame, Y, bayesianregressor__sample_weight=np.ones(60))
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b"]
    mean, std = pipeline.predict(frame, return_std=True)
    assert mean.shape == std.shape == (60,)
    assert len(pipeline[-1].predict_uncertainty(pipeline[:-1].transform(frame))) == 60


def test_other_meta_estimators() -> None:
    x, y = heaps(2)
    probs = cross_val_predict(BayesianClassifier(**FAST), x, y, cv=2, method="predict_proba")
    assert probs.shape == (80, 2)
    logarithm = TransformedTargetRegressor(BayesianRegressor(**FAST), func=np.log, inverse_func=np.exp)
    assert (logarithm.fit(X, np.exp(Y / 10)).predict(X) > 0).all()


@pytest.mark.parametrize("kind", [BayesianRegressor, BayesianClassifier])
@pytest.mark.parametrize("module", [None, Small])
def test_a_file_is_complete(kind: type[Any], module: Any, tmp_path: Any) -> None:
    x, y = heaps(3) if kind is BayesianClassifier else line(rows=50, outputs=2)
    frame = pd.DataFrame(x, columns=["first", "second"])
    model = kind(**{**FAST, "module": module, "samples": 3}).fit(frame, y)
    model.save(tmp_path / "m.yuragi")
    loaded = kind.load(tmp_path / "m.yuragi", module=module)
    np.testing.assert_array_equal(loaded.predict_distribution(frame).samples, model.predict_distribution(frame).samples)
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    assert loaded.get_params() == model.get_params()
    assert loaded.feature_names_in_.tolist() == ["first", "second"]
