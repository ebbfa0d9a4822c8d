"""Langevin chains: their stationary variances in closed form, the schedule of steps and draws, and what they refuse."""

from __future__ import annotations

import itertools
import time
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import sghmc, sgld
from yuragi.methods.gradient_chains import _kept, cyclical, decreasing
from yuragi.methods.point_members import largest_curvature, point_members
from yuragi.methods.whitening import prior_scale

BOTH = pytest.mark.parametrize("method", [sgld, sghmc])


def whitened(found: Any, mean: Tensor, precision: Tensor) -> Tensor:
    network: yu.Bayesian = found.network
    draws = network.draws(network.members)
    w = torch.cat([draws["weight"].flatten(1), draws["bias"]], 1).double()
    white: Tensor = (w - mean) @ torch.linalg.cholesky(precision)
    return white


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_the_stationary_variance_of_each_step_size() -> None:
    # U = u²/2 with step ε: Langevin steps have variance 1/(1 − ε/2), the underdamped ones 1 at any step size
    generator = torch.Generator().manual_seed(0)
    for step in (0.1, 0.8):
        langevin, underdamped = sgld._Langevin(0.1), sghmc._Underdamped(0.1, 0.3)
        for dynamics, variance in ((langevin, 1 / (1 - step / 2)), (underdamped, 1.0)):
            u = torch.randn(20000, 1, generator=generator)
            for _ in range(80):
                u = dynamics.move(u, u, step, generator)
            assert abs(float(u.var()) / variance - 1) < 4 * (2 / 20000) ** 0.5


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@BOTH
def test_minibatches_are_scaled_to_all_data(method: ModuleType) -> None:
    # a wrong N/B would make the posterior of 60 data that of 20
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    found = method.run(
        nn.Linear(FEATURES, 1),
        (x, y),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        chains=150,
        draws=10,
        steps=900,
        lr=0.3,
        batch_size=20,
        warmup=100,
    )
    white = whitened(found, mean, precision)
    assert white.mean(0).abs().max() < 0.2
    assert (white.T.cov().diagonal() - 1).abs().max() < 0.3


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@BOTH
def test_a_cyclical_schedule_finds_the_exact_posterior(method: ModuleType) -> None:
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    found = method.run(
        nn.Linear(FEATURES, 1),
        (x, y),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        chains=200,
        draws=10,
        steps=800,
        schedule=cyclical(2),
        warmup=300,
    )
    white = whitened(found, mean, precision)
    assert white.mean(0).abs().max() < 0.15
    assert (white.T.cov() - torch.eye(FEATURES + 1)).abs().max() < 0.15


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_a_learned_noise_is_that_of_the_evidence() -> None:
    x, y = regression_problem()
    found = sghmc.run(
        nn.Linear(FEATURES, 1), (x, y), prior=yu.priors.Normal(scale=2.0), chains=100, steps=1200, warmup=1000
    )
    noise = NOISE  # the fixed point of expectation maximisation
    for _ in range(200):
        mean, precision = exact_posterior(x, y, noise, scale=2.0)
        design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        spread = (design @ precision.inverse() * design).sum(1)
        noise = float(((y.double()[:, 0] - design @ mean).square() + spread).mean().sqrt())
    likelihood = found.network.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    assert abs(float(likelihood.noise.detach()) / noise - 1) < 0.01


def test_the_largest_curvature_of_a_linear_model() -> None:
    x, y = regression_problem()
    bnn = point_members(nn.Linear(FEATURES, 1), yu.Gaussian(NOISE), yu.priors.Normal(scale=2.0), 3, 0)
    generator = torch.Generator().manual_seed(0)
    scale = prior_scale(bnn, generator)
    torch.testing.assert_close(scale, torch.full((FEATURES + 1,), 2.0), rtol=0.1, atol=0)
    before = bnn.draws(3)
    found = len(x) * largest_curvature(bnn, lambda: bnn.loss(x, y, len(x)), generator, scale)
    _, precision = exact_posterior(x, y, NOISE, scale=2.0)
    exact = float(torch.linalg.eigvalsh(scale.double() * precision * scale.double().unsqueeze(1)).max())
    assert abs(found / exact - 1) < 0.01
    assert all(torch.equal(before[name], draw) for name, draw in bnn.draws(3).items())


def test_draws_are_equally_far_apart_in_simulated_time() -> None:
    multipliers = torch.tensor([decreasing(step / 1000) for step in range(1000)], dtype=torch.float64)
    kept = _kept(multipliers, 20)
    assert kept[-1] == 999
    assert multipliers[kept].max() <= 0.5
    clock = multipliers.cumsum(0)[kept].diff()
    assert float(clock.max() - clock.min()) <= 2 * 0.5
    cyclic = torch.tensor([cyclical(4)(step / 400) for step in range(400)], dtype=torch.float64)
    assert {index // 100 for index in _kept(cyclic, 8)} == {0, 1, 2, 3}
    assert all(index % 100 >= 50 for index in _kept(cyclic, 8))


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@BOTH
def test_a_budget_shortens_the_schedule_and_keeps_its_end(method: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # every look at the clock takes ten milliseconds: of 10,000 steps there is time for a hundred or two
    looks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.01 * next(looks))
    asked: list[float] = []

    def schedule(done: float) -> float:
        asked.append(done)
        return decreasing(done)

    settings: dict[str, Any] = {"chains": 2, "draws": 6, "steps": 10_000, "warmup": 3}
    found = method.run(nn.Linear(FEATURES, 1), regression_problem(), seconds=4.0, schedule=schedule, **settings)
    made = asked[10_000:]
    assert 50 < len(made) < 400
    assert made == sorted(made)
    assert made[0] < 0.02
    assert made[-1] == 0.9999
    assert found.network.members == 12


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_draws_have_the_running_statistics_of_their_chain() -> None:
    x, y = regression_problem()
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    found = sgld.run(net, (x, y), likelihood=yu.Gaussian(NOISE), chains=2, draws=4, steps=20, warmup=5)
    torch.testing.assert_close(found.predict(x).samples[:, :1], found.predict(x[:1]).samples)
    own = found.network.member_buffers.own()["1.running_mean"]
    assert torch.equal(own[0], own[2])
    assert not torch.equal(own[0], own[1])


@BOTH
def test_chains_that_have_not_mixed_are_named(method: ModuleType) -> None:
    net = nn.Sequential(nn.Linear(FEATURES, 20), nn.Tanh(), nn.Linear(20, 1))
    with pytest.warns(yu.ConvergenceWarning, match="the chains have not converged: R-hat of the outputs is"):
        found = method.run(
            net, regression_problem(), likelihood=yu.Gaussian(0.05), chains=3, draws=4, steps=30, warmup=20
        )
    assert "3 chains of 4 draws" in str(found)


@BOTH
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 1}, "chains must be at least 2, got 1"),
        ({"draws": 3}, "draws must be at least 4, got 3"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"lr": 2.0}, "lr must lie strictly between 0 and 2"),
        ({"steps": 20}, "in only 14 of 20 steps is the step size at most half"),
        ({"schedule": lambda done: -1.0}, "the schedule must give multipliers that are finite, not negative"),
        ({"prior": yu.priors.FanIn(learn=True)}, "learn=True"),
        ({"likelihood": yu.Gaussian(members=8)}, "is learned by each member"),
    ],
)
def test_what_cannot_be_is_refused(method: ModuleType, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method.run(nn.Linear(FEATURES, 1), regression_problem(), **settings)


def test_friction_and_cycles_in_range() -> None:
    with pytest.raises(ValueError, match="friction must lie above 0 and at most at 1, got 0"):
        sghmc.run(nn.Linear(FEATURES, 1), regression_problem(), friction=0.0)
    with pytest.raises(ValueError, match="cycles must be at least 1, got 0"):
        cyclical(0)
