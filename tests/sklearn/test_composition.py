"""Within scikit-learn: pipelines, searches, cross-validation, processes, pickles and frames."""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.sklearn.data import Quick, Small, heaps, line

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
    search = GridSearchCV(model, {"epochs": [1, 150], "noise": [0.5]}, cv=2).fit(X, Y)
    assert search.best_params_["epochs"] == 150
    assert search.score(X, Y) > 0.9


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


def test_pipelines_of_frames() -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    pipeline = make_pipeline(StandardScaler(), BayesianRegressor(**FAST)).set_output(transform="pandas")
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
