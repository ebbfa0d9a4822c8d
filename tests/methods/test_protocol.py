"""Every method of `yuragi.methods` keeps to the page at its top: the same names, the same call, and a known posterior."""

from __future__ import annotations

import copy
import inspect
import itertools
import sys
import time
from typing import Any

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import METHODS
from yuragi.torch_warnings import without_script_warnings

SETTINGS: dict[str, dict[str, Any]] = {
    "collapsed": {"draws": 4000, "steps": 0},
    "hmc": {"chains": 64, "warmup": 50, "draws": 50, "steps": 8},
    "laplace": {"draws": 4000, "hessian": "full"},
    "last_layer": {"draws": 4000, "epochs": 1},
    "sghmc": {"chains": 200, "draws": 20, "steps": 800, "warmup": 300},
    "sgld": {"chains": 200, "draws": 20, "steps": 1500, "warmup": 300, "lr": 0.1},
    "svi": {"posterior": yu.posteriors.FullCovariance(), "members": 20, "epochs": 1500, "lr": 0.02, "draws": 4000},
}
"""Own settings under which the linear model's posterior is found, by those methods that claim it."""
QUICK: dict[str, dict[str, Any]] = {
    "collapsed": {"draws": 20, "steps": 2},
    "deep_gp": {"draws": 20, "epochs": 2},
    "hmc": {"chains": 4, "warmup": 4, "draws": 4, "steps": 2},
    "laplace": {"draws": 20, "epochs": 2, "evidence_steps": 2},
    "last_layer": {"draws": 20, "epochs": 2},
    "quantile": {"epochs": 2},
    "ensemble": {"members": 3, "epochs": 3},
    "mc_dropout": {"draws": 5, "epochs": 3},
    "sghmc": {"chains": 2, "draws": 4, "steps": 20, "warmup": 3},
    "sgld": {"chains": 2, "draws": 4, "steps": 20, "warmup": 3},
    "svi": {"draws": 5, "epochs": 3},
    "swag": {"draws": 5, "epochs": 3, "snapshots": 3, "rank": 2},
}
"""Own settings under which anything is found."""
TOLERANCE = {
    "collapsed": 0.1,
    "hmc": 0.1,
    "laplace": 0.1,
    "last_layer": 0.1,
    "sghmc": 0.1,
    "sgld": 0.15,
    "svi": 0.1,
}
"""In posterior standard deviations, and as a share of the posterior variance."""
ENDLESS: dict[str, dict[str, Any]] = {
    "collapsed": {"draws": 20, "steps": 10**6},
    "deep_gp": {"draws": 20, "inducing": 5, "epochs": 10**6},
    "hmc": {"chains": 4, "warmup": 10**6, "draws": 10**6, "steps": 2},
    "laplace": {"draws": 20, "epochs": 10**6, "evidence_steps": 10**6},
    "last_layer": {"draws": 20, "epochs": 10**6},
    "quantile": {"epochs": 10**6},
    "ensemble": {"members": 3, "epochs": 10**6},
    "mc_dropout": {"draws": 5, "epochs": 10**6},
    "sghmc": {"chains": 2, "draws": 4, "steps": 10**5, "warmup": 10**6},
    "sgld": {"chains": 2, "draws": 4, "steps": 10**5, "warmup": 10**6},
    "svi": {"draws": 5, "epochs": 10**6},
    "swag": {"draws": 5, "epochs": 10**6, "snapshots": 10**6},
}
"""Own settings that would take hours."""
WITHOUT_NETWORK = {"deep_gp", "quantile"}
"""Those that have no posterior of a network's weights."""
WITH_NETWORK = [method for method in METHODS if method not in WITHOUT_NETWORK]
NEEDS = {"deep_gp": "gpytorch", "laplace": "laplace"}
"""What a method is skipped without."""


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    method = request.node.callspec.params["method"]
    if method in NEEDS:
        with without_script_warnings():
            pytest.importorskip(NEEDS[method])


def network(outputs: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, outputs))


def quick(method: str, seed: int = 0) -> Any:
    return METHODS[method](network(), regression_problem(), likelihood=yu.Gaussian(NOISE), seed=seed, **QUICK[method])


@pytest.mark.parametrize("method", METHODS)
def test_the_names_and_the_call(method: str) -> None:
    module = sys.modules[f"yuragi.methods.{method}"]
    assert METHODS[method] is module.run
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    assert [name for name in defined if not name.startswith("_")] == ["Result", "run"]
    parameters = list(inspect.signature(module.run).parameters.values())
    assert [p.name for p in parameters[:7]] == ["net", "data", "likelihood", "prior", "seed", "seconds", "progress"]
    assert [p.kind for p in parameters[:2]] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2
    assert {p.kind for p in parameters[2:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert [p.default for p in parameters[2:7]] == [None, None, 0, None, None]
    assert inspect.Parameter.empty not in [p.default for p in parameters[7:]]


@pytest.mark.parametrize("method", SETTINGS)
def test_the_exact_posterior_of_a_linear_model(method: str) -> None:
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    found = METHODS[method](
        nn.Linear(FEATURES, 1),
        (x, y),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        **SETTINGS[method],
    )
    prediction = found.predict(x)
    design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    exact_mean = design @ mean
    exact_std = (design @ precision.inverse() * design).sum(1).sqrt()
    assert isinstance(prediction, yu.RegressionPrediction)
    assert ((prediction.mean[:, 0] - exact_mean) / exact_std).abs().max() < TOLERANCE[method]
    assert (prediction.epistemic[:, 0].square() / exact_std.square() - 1).abs().max() < TOLERANCE[method]
    torch.testing.assert_close(prediction.aleatoric, torch.full_like(y, NOISE))
    draws: dict[str, Tensor] = found.network.draws(len(prediction.samples), seed=1)
    white = (torch.cat([draws["weight"].flatten(1), draws["bias"]], 1).double() - mean) @ torch.linalg.cholesky(
        precision
    )
    assert white.mean(0).abs().max() < TOLERANCE[method]
    assert (white.T.cov() - torch.eye(FEATURES + 1)).abs().max() < TOLERANCE[method]


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_seeds_and_what_is_left_alone(method: str) -> None:
    net = network()
    before = [parameter.clone() for parameter in net.parameters()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    x = regression_problem()[0]
    first, again, other = (quick(method, seed).predict(x).samples for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(5)
    METHODS[method](net, regression_problem(), likelihood=yu.Gaussian(NOISE), **QUICK[method])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    assert net.training


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", WITH_NETWORK)
def test_the_network_survives_a_file(method: str, tmp_path: object) -> None:
    found = quick(method)
    x = regression_problem()[0]
    expected = found.predict(x).samples
    with pytest.raises(TypeError, match="got Result: of what a method found, give the network"):
        yu.save(found, f"{tmp_path}/found.yuragi")
    yu.save(found.network, f"{tmp_path}/found.yuragi")
    module = copy.deepcopy(
        found.network.module
    )  # its architecture may be another than that of the network it was given
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.zero_()
    loaded = yu.load(f"{tmp_path}/found.yuragi", module)
    assert torch.equal(yu.predict(loaded, x, samples=len(expected)).samples, expected)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time in which every look at the clock takes ten milliseconds, so that what a budget allows is no chance."""
    looks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.01 * next(looks))


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_budget_of_time_ends_it(method: str, clock: None) -> None:
    told: list[float] = []
    x, y = regression_problem()
    found = METHODS[method](
        network(), (x, y), likelihood=yu.Gaussian(NOISE), seconds=1.0, progress=told.append, **ENDLESS[method]
    )
    assert found.predict(x).mean.shape == y.shape
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 4


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_who_watches_may_end_it(method: str, clock: None) -> None:
    x, y = regression_problem()
    found = METHODS[method](
        network(), (x, y), likelihood=yu.Gaussian(NOISE), progress=lambda done: True, **ENDLESS[method]
    )
    assert found.predict(x).mean.shape == y.shape
    with pytest.raises(ValueError, match="positive number of seconds, got 0"):
        METHODS[method](network(), (x, y), seconds=0.0)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_classes_are_predicted_or_refused_by_name(method: str) -> None:
    x, y = regression_problem()
    labels = (y[:, 0] > 0).long() + (y[:, 0] > 1)
    try:
        found = METHODS[method](network(3), (x, labels), likelihood=yu.Categorical(), **QUICK[method])
    except ValueError as error:
        if "Categorical" not in str(error):
            raise
        return
    prediction = found.predict(x)
    assert isinstance(prediction, yu.ClassificationPrediction)
    assert prediction.probs.shape == (len(x), 3)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_several_outputs(method: str) -> None:
    x, y = regression_problem()
    found = METHODS[method](network(2), (x, torch.cat([y, -y], 1)), likelihood=yu.Gaussian(NOISE), **QUICK[method])
    assert found.predict(x).mean.shape == (len(x), 2)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_what_it_prints_says_which_method_it_was(method: str) -> None:
    assert len(str(quick(method))) > 40


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS)
def test_what_is_left_out_has_a_default(method: str) -> None:
    x, y = regression_problem()
    found = METHODS[method](network(), (x, y), **QUICK[method])
    assert (found.predict(x).aleatoric > 0).all()
