"""SWAG: moments of snapshots against their definition, and a walk that stays around the mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import nn

import yuragi as yu
from yuragi.loop import train
from yuragi.methods import swag
from yuragi.methods.point_members import point_members
from yuragi.methods.swag import _Moments, _normal_network


def test_the_covariance_is_half_diagonal_and_half_of_the_last_deviations() -> None:
    generator = torch.Generator().manual_seed(0)
    snapshots = torch.randn(9, FEATURES + 1, generator=generator).double()
    moments = _Moments(rank=4)
    for snapshot in snapshots:
        moments.add(snapshot)
    network = _normal_network(point_members(nn.Linear(FEATURES, 1), None, None, 1, 0), moments)
    so_far = torch.stack([snapshots[: t + 1].mean(0) for t in range(9)])
    deviations = (snapshots - so_far)[-4:]
    exact = 0.5 * torch.diag(snapshots.var(0, correction=0)) + 0.5 * deviations.T @ deviations / 3
    q = network.q()
    assert isinstance(q, yu.posteriors.low_rank.LowRankDistribution)
    got = torch.diag(q.diagonal[0].square()) + q.factor[0] @ q.factor[0].T
    torch.testing.assert_close(got.double(), exact, rtol=1e-4, atol=1e-5)
    mean = torch.cat([part.flatten() for part in q.mean])
    torch.testing.assert_close(mean.double(), snapshots.mean(0), rtol=1e-5, atol=1e-6)
    draws = torch.cat([part.flatten(1) for part in network.draws(20000, seed=0).values()], 1).double()
    assert (draws.T.cov() - exact).abs().max() < 4 * float(exact.max()) * (2 / 20000) ** 0.5


def test_the_walk_stays_around_the_exact_mode() -> None:
    x, y = regression_problem(rows=400)
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    found = swag.run(
        nn.Linear(FEATURES, 1),
        (x, y),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        walk_lr=0.1,
    )
    average = torch.cat([part.detach().flatten() for part in found.network.q().mean]).double()
    deviation = precision.inverse().diagonal().sqrt()
    assert ((average - mean) / deviation).abs().max() < 1
    sigma = found.network.q().sigma
    assert sigma is not None
    assert (sigma[0] / deviation > 0.05).all()
    assert (sigma[0] / deviation < 2).all()
    assert "Normal of rank 20 from 60 snapshots" in str(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_a_learned_noise_is_that_of_the_mode() -> None:
    x, y = regression_problem()
    found = swag.run(nn.Linear(FEATURES, 1), (x, y), epochs=1500, lr=0.02)
    mode = point_members(nn.Linear(FEATURES, 1), None, None, 1, 0)
    train(mode, (x, y), epochs=1500, lr=0.02, seed=0)
    learned = []
    for bnn in (found.network, mode):
        assert isinstance(bnn.likelihood, yu.Gaussian)
        assert all(parameter.requires_grad for parameter in bnn.likelihood.parameters())
        learned.append(bnn.likelihood.noise.detach())
    torch.testing.assert_close(learned[0], learned[1], rtol=1e-3, atol=0)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_running_statistics_are_of_the_averaged_weights() -> None:
    x, y = regression_problem()
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    found = swag.run(net, (x, y), likelihood=yu.Gaussian(NOISE), epochs=5, snapshots=4, rank=2, walk_batch_size=60)
    module = found.network.module
    assert isinstance(module, nn.Sequential)
    hidden = module[0](x).detach()
    torch.testing.assert_close(module[1].running_mean, hidden.mean(0))
    torch.testing.assert_close(module[1].running_var, hidden.var(0))
    assert module[1].momentum == 0.1
    torch.testing.assert_close(found.predict(x).samples[:, :1], found.predict(x[:1]).samples)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_a_walk_that_leaves_the_mode_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swag, "_curvature", lambda *_: 1e-3)  # far below the true one
    with pytest.raises(FloatingPointError, match=r"lower walk_lr, which is 0\.2"):
        swag.run(nn.Linear(FEATURES, 1), regression_problem(), likelihood=yu.Gaussian(NOISE), epochs=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"snapshots": 1}, "snapshots must be at least 2, got 1"),
        ({"rank": 1}, "rank must be at least 2, got 1"),
        ({"snapshots": 5, "rank": 6}, "rank must be at most the number of snapshots, 5, got 6"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"walk_lr": 2.5}, "walk_lr must lie strictly between 0 and 2, got 2.5"),
        ({"prior": yu.priors.FanIn(learn=True)}, "learn=True"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        swag.run(nn.Linear(FEATURES, 1), regression_problem(), **settings)
