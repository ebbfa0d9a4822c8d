"""Files of estimators: what they hold, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from tests.tabular.data import Quick, line

import yuragi as yu
from yuragi.posteriors import MeanField
from yuragi.sklearn import BayesianClassifier, BayesianRegressor

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 2, "module": Quick, "epochs": 3}
X, Y = line(rows=30)


@pytest.mark.parametrize(
    "labels",
    [np.array([3, 7]), np.array([-1.0, 2.0]), np.array([False, True]), np.array(["いいえ", "はい"])],
    ids=["integers", "floats", "truth values", "text"],
)
def test_labels_come_back_as_they_were(labels: Any, tmp_path: Path) -> None:
    model = BayesianClassifier(**FAST).fit(X, labels[np.arange(30) % 2])
    model.save(tmp_path / "m.yuragi")
    loaded = BayesianClassifier.load(tmp_path / "m.yuragi", module=Quick)
    assert loaded.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_settings_that_json_does_not_know(tmp_path: Path) -> None:
    model = BayesianRegressor(
        MeanField(0.02), module=Quick, epochs=3, noise=np.float64(0.5), random_state=np.random.RandomState(0)
    ).fit(X, Y)
    model.save(tmp_path / "m.yuragi")
    loaded = BayesianRegressor.load(tmp_path / "m.yuragi", module=Quick)
    assert isinstance(loaded.posterior, MeanField)
    assert loaded.posterior.init_scale == 0.02
    assert (loaded.noise, loaded.random_state) == (0.5, None)
    np.testing.assert_array_equal(loaded.predict(X, return_std=True), model.predict(X, return_std=True))
    loaded.partial_fit(X, Y)  # goes on from there


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.yuragi"
    with pytest.raises(NotFittedError):
        BayesianRegressor().save(path)
    model = BayesianRegressor(**FAST).fit(X, Y)
    model.save(path)
    with pytest.raises(yu.FileError, match="holds a BayesianRegressor, where a BayesianClassifier was to be"):
        BayesianClassifier.load(path)
    with pytest.raises(ValueError, match="give module="):
        BayesianRegressor.load(path)
    model.model_.save(path)
    with pytest.raises(yu.FileError, match="holds no scikit-learn estimator"):
        BayesianRegressor.load(path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(yu.FileError, match="damaged"):
        BayesianRegressor.load(path)
    dates = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")[np.arange(30) % 2]
    with pytest.raises(TypeError, match="numbers, truth values or strings"):
        BayesianClassifier(**FAST).fit(X, dates).save(path)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("params", {"colour": 1}, "holds a BayesianClassifier that this yuragi does not know"),
        ("fitted", {"classes_": {"values": ["a", "b"], "kind": "<U999999999"}}, "a classes_ that cannot be read"),
        ("fitted", {"classes_": {"values": ["a", "b"], "kind": "<i8"}}, "a classes_ that cannot be read"),
        ("fitted", {"classes_": {"values": [1, 300], "kind": "|i1"}}, "a classes_ that cannot be read"),
        ("fitted", {"classes_": ["a", "b"]}, "a classes_ that cannot be read"),
        ("fitted", None, "does not know"),
    ],
    ids=str,
)
def test_a_file_that_describes_its_estimator_otherwise_is_refused(
    part: str, change: dict[str, Any] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.yuragi"
    model = BayesianClassifier(**FAST).fit(X, np.where(Y > 7, "a", "b"))
    model.save(path)
    extra = yu.files.read(path).extra
    extra["sklearn"][part] = None if change is None else extra["sklearn"][part] | change
    yu.files.save(model.model_.bnn, path, extra)
    with pytest.raises(yu.FileError, match=message):
        BayesianClassifier.load(path, module=Quick)


def test_a_file_from_before_a_setting_was_there_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "m.yuragi"
    model = BayesianRegressor(**FAST).fit(X, Y)
    model.save(path)
    extra = yu.files.read(path).extra
    del extra["sklearn"]["params"]["estimator"]
    yu.files.save(model.model_.bnn, path, extra)
    assert BayesianRegressor.load(path, module=Quick).get_params() == model.get_params()
