"""`partial_fit`: the conjugate answer, batch after batch, and a reason where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import hadamard
from tests.tabular.data import Quick, heaps, line
from torch import nn

from yuragi.posteriors import FullCovariance
from yuragi.sklearn import BayesianClassifier, BayesianRegressor

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
ONE: dict[str, Any] = {"posterior": "meanfield", "members": 1, "random_state": 0}
NOISE = 0.5
Array = npt.NDArray[Any]


def batches() -> tuple[Array, list[Array]]:
    """Inputs of ±1, orthogonal to each other and to the constant in every batch, and targets of the same mean and spread."""
    x = np.tile(hadamard(16)[:, 1:4], (4, 1)).astype(float)
    rng = np.random.default_rng(0)
    raw = [x @ [1, -0.5, 0.3] + NOISE * rng.normal(size=64) for _ in range(3)]
    return x, [3 + 1.2 * (y - y.mean()) / y.std() for y in raw]  # so that each batch gives the same units


def conjugate(x: Array, y: Array) -> tuple[Array, Array]:
    """Mean and std of (weights, bias) in standardised units, under N(0, 1/3) for weights and N(0, 1) for the bias."""
    design, noise = np.column_stack([x, np.ones(len(x))]), NOISE / 1.2
    precision = design.T @ design / noise**2 + np.diag([3.0, 3.0, 3.0, 1.0])
    covariance = np.linalg.inv(precision)
    return covariance @ design.T @ ((y - 3) / 1.2) / noise**2, np.sqrt(covariance.diagonal())


@pytest.mark.parametrize("order", [[0, 1, 2], pytest.param([2, 0, 1], marks=pytest.mark.slow)])
def test_batches_in_any_order_give_the_conjugate_answer(order: list[int]) -> None:
    x, y = batches()
    model = BayesianRegressor(**ONE, noise=NOISE, module=nn.Linear, epochs=700)
    for i in order:
        model.partial_fit(x, y[i])
    mean, std = conjugate(np.tile(x, (3, 1)), np.concatenate(y))
    q = model.model_.bnn.q()
    assert q.sigma is not None
    got = np.concatenate([part.detach().numpy().ravel() for part in q.mean])
    assert (np.abs(got - mean) / std).max() < 0.2
    assert np.abs(q.sigma[0].detach().numpy() / std - 1).max() < 0.03
    at = np.array([[1.0, 1.0, 1.0]])
    expected = 1.2 * np.sqrt((std**2).sum())  # of the function there; the noise comes on top
    assert abs(model.predict_uncertainty(at)["epistemic"].iloc[0] / expected - 1) < 0.25  # 100 draws: ± 7 %
    assert model.predict(at, return_std=True)[1][0] == pytest.approx(np.hypot(expected, NOISE), rel=0.02)


@pytest.mark.slow
def test_a_full_covariance_gives_the_conjugate_answer_for_correlated_inputs() -> None:
    x, y = line(rows=60)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    model = BayesianRegressor(FullCovariance(), noise=NOISE, module=nn.Linear, epochs=3000, random_state=0)
    for batch in (slice(0, 25), slice(25, 60)):  # standardised by the first one, whose units are not those of all
        model.partial_fit(x[batch], y[batch])
    fitted = model.model_
    scale = fitted.scale.item()
    design = np.column_stack([(x - fitted.x_loc.numpy()) / fitted.x_scale.numpy(), np.ones(60)])
    noise = NOISE / scale
    covariance = np.linalg.inv(
        design.T @ design / noise**2 + np.diag([2.0, 2.0, 1.0])
    )  # weights N(0, 1/2), bias N(0, 1)
    mean = covariance @ design.T @ ((y - fitted.loc.item()) / scale) / noise**2
    q = fitted.bnn.q()
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    got = np.concatenate([part.detach().numpy().ravel() for part in q.mean])
    assert np.abs(whitening @ (got - mean)).max() < 0.3
    root = whitening @ q.root[0].detach().numpy()  # type: ignore[attr-defined]
    assert np.abs(root @ root.T - np.eye(3)).max() < 0.2


def test_a_full_covariance_learns_from_each_batch() -> None:
    x, y = line(rows=60)
    model = BayesianRegressor(FullCovariance(), noise=NOISE, module=nn.Linear, epochs=300, random_state=0)
    first = model.partial_fit(x[:30], y[:30]).predict_uncertainty(x)["epistemic"].mean()
    second = model.partial_fit(x[30:], y[30:]).predict_uncertainty(x)["epistemic"].mean()
    assert second < 0.9 * first


def test_the_first_call_is_a_fit_and_fit_begins_anew() -> None:
    x, y = line(rows=40)
    settings: dict[str, Any] = {**ONE, "module": Quick, "epochs": 20}
    fitted = BayesianRegressor(**settings).fit(x, y)
    model = BayesianRegressor(**settings).partial_fit(x, y)
    np.testing.assert_array_equal(model.predict(x), fitted.predict(x))
    model.partial_fit(x, y)
    assert (model.predict(x) != fitted.predict(x)).any()
    np.testing.assert_array_equal(model.fit(x, y).predict(x), fitted.predict(x))


def test_classes_are_known_from_the_first_call() -> None:
    x, y = heaps(3)
    settings: dict[str, Any] = {**ONE, "module": Quick, "epochs": 400}
    model = BayesianClassifier(**settings)
    model.partial_fit(x[:40], y[:40], classes=["heap 2", "heap 0", "heap 1"])  # one class alone
    assert model.classes_.tolist() == ["heap 0", "heap 1", "heap 2"]
    assert model.predict_proba(x[:40]).mean(0).argmax() == 0
    model.partial_fit(x[40:80], y[40:80])
    model.partial_fit(x[80:], y[80:], classes=model.classes_)
    assert model.predict_proba(x).shape == (120, 3)
    with pytest.raises(ValueError, match="'heap 9', which is not one of the classes of the first call"):
        model.partial_fit(x[:2], ["heap 0", "heap 9"])
    with pytest.raises(ValueError, match="is not what the first call had"):
        model.partial_fit(x, y, classes=["heap 0", "heap 1"])
    with pytest.raises(ValueError, match="not one of the classes of the first call"):
        BayesianClassifier(**settings).partial_fit(x, y, classes=["heap 0", "heap 1"])


@pytest.mark.parametrize("kind", [BayesianRegressor, BayesianClassifier])
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "anchored members are points, which have no density"),
        ({"posterior": "anchored"}, "anchored members are points"),
        ({"posterior": "meanfield"}, "a mixture of members, each fitted to all data, is not one posterior"),
        ({"posterior": "meanfield", "members": 3}, "a mixture of members"),
    ],
    ids=str,
)
def test_it_is_refused_with_the_reason_where_it_is_undefined(
    kind: type[Any], settings: dict[str, Any], reason: str
) -> None:
    model = kind(**settings)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
        model.partial_fit(np.zeros((2, 1)), [0, 1])
    assert reason in str(caught.value.__cause__)
    assert 'posterior="meanfield" with members=1' in str(caught.value.__cause__)
