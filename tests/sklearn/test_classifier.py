"""`BayesianClassifier`: classes that lie apart, labels of every kind, and what is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.tabular.data import heaps

from yuragi.sklearn import BayesianClassifier

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 100, "random_state": 0}
X, LABEL = heaps(3)


@pytest.fixture(scope="module")
def model() -> BayesianClassifier:
    return BayesianClassifier(**FAST).fit(X, LABEL)


def test_classes_that_lie_apart_are_told_apart(model: BayesianClassifier) -> None:
    assert model.classes_.tolist() == ["heap 0", "heap 1", "heap 2"]
    assert (model.predict(X) == LABEL).all()
    assert model.score(X, LABEL) == 1.0
    probs = model.predict_proba(X)
    assert probs.shape == (120, 3)
    np.testing.assert_allclose(probs.sum(1), 1)
    assert probs.max(1).min() > 0.8


def test_a_frame_of_uncertainty(model: BayesianClassifier) -> None:
    frame = model.predict_uncertainty(np.vstack([X, [[0.0, 0.0]]]))
    names = ["probability_heap 0", "probability_heap 1", "probability_heap 2"]
    assert list(frame) == ["label", *names, "entropy", "mutual_information"]
    probs = frame[names].to_numpy()
    np.testing.assert_allclose(frame["entropy"], -(probs * np.log(probs)).sum(1), rtol=1e-6)
    assert (frame["mutual_information"] <= frame["entropy"] + 1e-12).all()
    assert frame["entropy"].iloc[-1] > 3 * frame["entropy"].iloc[:-1].max()  # between all heaps
    assert (frame["label"].iloc[:-1] == LABEL).all()


def test_functions_average_to_the_probabilities(model: BayesianClassifier) -> None:
    functions = model.sample_functions(X, 4)
    assert functions.shape == (4, 120, 3)
    np.testing.assert_allclose(functions.mean(0), model.predict_proba(X))


@pytest.mark.parametrize(
    "labels",
    [np.array([3, 7]), np.array([-1.0, 2.0]), np.array([False, True]), np.array(["no", "yes"], dtype=object)],
    ids=["integers", "floats", "truth values", "objects"],
)
def test_labels_may_be_of_any_kind(labels: Any) -> None:
    x, _ = heaps(2)
    y = labels[np.arange(2).repeat(40)]
    model = BayesianClassifier(**FAST).fit(x, y)
    predicted = model.predict(x)
    assert predicted.dtype == labels.dtype
    assert (predicted == y).all()


def test_many_classes() -> None:
    x, y = heaps(30, rows=8)
    model = BayesianClassifier(**{**FAST, "members": 2, "epochs": 200}).fit(x, y)
    assert model.predict_proba(x).shape == (240, 30)
    assert model.score(x, y) > 0.8


def test_weights_count_rows() -> None:
    weight = np.arange(120) % 3
    one = BayesianClassifier(**FAST).fit(X, LABEL, sample_weight=weight)
    other = BayesianClassifier(**FAST).fit(X.repeat(weight, 0), LABEL.repeat(weight))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="y holds one class alone, 'heap 0': give data of 2 classes"):
        BayesianClassifier(**FAST).fit(X[:40], LABEL[:40])
    with pytest.raises(ValueError, match="Unknown label type"):
        BayesianClassifier(**FAST).fit(X, X[:, 0])
