"""`BayesianRegressor`: shapes, units and identities of what it predicts, against data that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tests.tabular.data import Small, global_state, line
from torch import nn

from yuragi.posteriors import FullCovariance
from yuragi.prediction import StudentTPrediction
from yuragi.sklearn import BayesianRegressor

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 30, "random_state": 0}
X, Y = line(rows=60)


@pytest.fixture(scope="module")
def single() -> BayesianRegressor:
    return BayesianRegressor(**FAST).fit(X, Y)


@pytest.fixture(scope="module")
def several() -> BayesianRegressor:
    return BayesianRegressor(**FAST).fit(*line(rows=60, outputs=3))


def test_shapes_follow_those_of_y(single: BayesianRegressor, several: BayesianRegressor) -> None:
    x = X[:7]
    for model, shape in ((single, (7,)), (several, (7, 3)), (BayesianRegressor(**FAST).fit(X, Y[:, None]), (7, 1))):
        mean, std = model.predict(x, return_std=True)
        assert mean.shape == std.shape == shape
        assert mean.dtype == np.float64
        assert model.predict(x, return_cov=True)[1].shape == (7, *shape)
        assert [end.shape for end in model.predict_interval(x)] == [shape, shape]
        assert model.predict_quantiles(x, [0.1, 0.5, 0.9]).shape == (*shape, 3)
        assert model.sample_functions(x, 2).shape == (2, *shape)
        assert model.predict_distribution(x).mean.shape == (7, shape[1] if len(shape) > 1 else 1)


def test_all_of_it_is_of_the_same_distribution(single: BayesianRegressor) -> None:
    p = single.predict_distribution(X)
    assert isinstance(p, StudentTPrediction)
    mean, std = single.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, p.mean[:, 0])
    np.testing.assert_array_equal(std, p.std[:, 0])
    lower, upper = single.predict_interval(X, 0.5)
    for end, level in ((lower, 0.25), (upper, 0.75)):
        np.testing.assert_allclose(p.cdf(end[:, None])[:, 0], level, atol=1e-6)
    np.testing.assert_array_equal(single.predict_quantiles(X, [0.25, 0.75]), np.stack([lower, upper], -1))


@pytest.mark.parametrize("which", ["single", "several"])
def test_the_covariance_is_that_of_the_draws_and_the_noise(which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    x = X[:6]
    mean, std = model.predict(x, return_std=True)
    functions = model.sample_functions(x, 4).reshape(4, 6, -1)  # anchored: these are all draws that there are
    np.testing.assert_allclose(functions.mean(0), mean.reshape(6, -1))
    _, cov = model.predict(x, return_cov=True)
    aleatoric = model.predict_distribution(x).aleatoric.numpy()
    for output in range(functions.shape[2]):
        expected = np.cov(functions[:, :, output], rowvar=False, bias=True) + np.diag(aleatoric[:, output] ** 2)
        np.testing.assert_allclose(cov.reshape(6, 6, -1)[..., output], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            expected.diagonal() ** 0.5, std.reshape(6, -1)[:, output]
        )  # std² = epistemic² + aleatoric²


def test_a_frame_of_uncertainty(single: BayesianRegressor, several: BayesianRegressor) -> None:
    frame = single.predict_uncertainty(X)
    assert list(frame) == ["mean", "std", "epistemic", "aleatoric"]
    np.testing.assert_allclose(frame["std"], np.hypot(frame["epistemic"], frame["aleatoric"]))
    np.testing.assert_array_equal(frame["mean"], single.predict(X))
    index = pd.Index([f"row {i}" for i in range(60)])
    many = several.predict_uncertainty(pd.DataFrame(X, index=index).to_numpy())
    assert list(many)[:4] == ["mean_0", "mean_1", "mean_2", "std_0"]
    named = BayesianRegressor(**FAST).fit(pd.DataFrame(X, columns=["a", "b"]), Y)
    assert named.predict_uncertainty(pd.DataFrame(X, columns=["a", "b"], index=index)).index.equals(index)


@pytest.mark.slow
def test_linear_data_with_known_noise() -> None:
    x, y = line(rows=250)
    model = BayesianRegressor("anchored", noise="learned", module=nn.Linear, members=5, epochs=800, random_state=0)
    model.fit(x, y)
    fresh = np.random.default_rng(1).normal(size=(4000, 2))
    target = 3 * fresh[:, 0] - 2 * fresh[:, 1] + 7 + 0.5 * np.random.default_rng(2).normal(size=4000)
    mean, std = model.predict(fresh, return_std=True)
    assert abs(np.median(std) / 0.5 - 1) < 0.1  # ± 0.5/√500 from the training rows
    lower, upper = model.predict_interval(fresh, 0.9)
    assert abs(((lower <= target) & (target <= upper)).mean() - 0.9) < 0.03
    assert model.score(fresh, target) > 0.97  # 1 − 0.25/13.25 = 0.981
    assert ((target - mean) ** 2).mean() < 0.27


def test_weights_count_rows() -> None:
    weight = np.arange(60) % 3
    one = BayesianRegressor(**FAST).fit(X, Y, sample_weight=weight)
    other = BayesianRegressor(**FAST).fit(X.repeat(weight, 0), Y.repeat(weight))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_a_fixed_random_state_repeats_and_leaves_the_global_ones_alone(single: BayesianRegressor) -> None:
    before = global_state()
    again = clone(single).fit(X, Y)
    np.testing.assert_array_equal(again.predict(X, return_std=True), single.predict(X, return_std=True))
    other = clone(single).set_params(random_state=1).fit(X, Y)
    assert (other.predict(X) != single.predict(X)).any()
    assert global_state() == before
    BayesianRegressor(**{**FAST, "random_state": None}).fit(X, Y)
    assert global_state() != before  # scikit-learn's meaning of None: NumPy's global state is drawn from


@pytest.mark.parametrize(
    "settings",
    [
        {"posterior": "meanfield", "module": Small},
        {"posterior": FullCovariance(), "members": 1, "module": Small},
        {"estimator": "flipout", "posterior": "meanfield", "members": 2},
        {"estimator": "shared", "posterior": "meanfield", "members": 1, "module": Small},
        {"module": lambda d_in, d_out: nn.Sequential(nn.Linear(d_in, 4), nn.Tanh(), nn.Linear(4, d_out)), "noise": 0.5},
    ],
    ids=["meanfield", "full covariance", "flipout", "shared", "lambda"],
)
def test_every_posterior_predicts(settings: dict[str, Any]) -> None:
    model = BayesianRegressor(**{**FAST, **settings}).fit(X, Y)
    assert np.isfinite(model.predict(X, return_cov=True)[1]).all()
    again = clone(model).fit(X, Y)  # with the same settings, which the first fit left as they were
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_functions_are_smooth_and_as_many_as_there_are(single: BayesianRegressor) -> None:
    model = BayesianRegressor(**{**FAST, "posterior": "meanfield", "members": 1}).fit(X, Y)
    grid = np.column_stack([np.linspace(-1, 1, 500), np.zeros(500)])
    functions = model.sample_functions(grid, 20)
    assert functions.shape == (20, 500)
    spread = functions.std(0).mean()
    assert np.abs(np.diff(functions, axis=1)).max() < 0.2 * spread  # with a draw a row it would be about 1.1 spreads
    with pytest.raises(ValueError, match="n=5 draws of 4 members, each of which is one draw: fit with members=5"):
        single.sample_functions(X, 5)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        single.sample_functions(X, 0)


def test_what_is_refused(single: BayesianRegressor) -> None:
    with pytest.raises(ValueError, match="return_std or for return_cov"):
        single.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        single.predict_interval(X, 1.0)
    wrong: list[Any] = [0.5, []]
    for levels in wrong:
        with pytest.raises(ValueError, match="levels must be a list of probabilities"):
            single.predict_quantiles(X, levels)
    for method in ("predict", "predict_interval", "predict_uncertainty", "predict_distribution"):
        with pytest.raises(NotFittedError):
            getattr(BayesianRegressor(), method)(X)
    with pytest.raises(NotFittedError):
        BayesianRegressor().sample_functions(X, 3)
    with pytest.raises(ValueError, match="zero"):
        BayesianRegressor(**FAST).fit(X, Y, sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match="a minimum of 2 is required"):
        BayesianRegressor(**FAST).fit(X[:1], Y[:1])
