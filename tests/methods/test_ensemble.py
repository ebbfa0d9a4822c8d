"""Deep ensembles: members are what they would have become alone, and of a linear model all the same."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import ensemble

EPOCHS, LR = 60, 0.02


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def trained_alone(net: nn.Module, weights: dict[str, Tensor], x: Tensor, y: Tensor, scale: float) -> nn.Module:
    net = copy.deepcopy(net)
    net.load_state_dict(weights)
    optimizer = torch.optim.Adam(net.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / EPOCHS)))
    for _ in range(EPOCHS):
        decay = sum((w.square().sum() for w in net.parameters()), torch.zeros(())) / (2 * scale**2 * len(x))
        loss = 0.5 * ((net(x) - y) / NOISE).square().mean() + decay
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("scale", [None, 0.7])
def test_members_are_those_that_are_trained_one_by_one(scale: float | None) -> None:
    x, y = (part.double() for part in regression_problem())
    net = network()
    prior = None if scale is None else yu.priors.Normal(scale=scale)
    settings = {"likelihood": yu.Gaussian(NOISE), "prior": prior, "members": 3, "seed": 4}
    starts = yu.bayesianize(copy.deepcopy(net), members=3, posterior=yu.posteriors.Points(), seed=4).draws(3)
    found = ensemble.run(net, (x, y), epochs=EPOCHS, lr=LR, **settings)  # type: ignore[arg-type]
    samples = found.predict(x).samples
    for member in range(3):
        weights = {name: start[member] for name, start in starts.items()}
        alone = trained_alone(net, weights, x, y, float("inf") if scale is None else scale)
        torch.testing.assert_close(samples[member], alone(x).detach(), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(samples[0], samples[1], atol=1e-2)


@pytest.mark.parametrize("scale", [None, 0.5])
def test_members_of_a_linear_model_agree_on_the_mode(scale: float | None) -> None:
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=1e6 if scale is None else scale)
    prior = None if scale is None else yu.priors.Normal(scale=scale)
    found = ensemble.run(nn.Linear(FEATURES, 1), (x, y), likelihood=yu.Gaussian(NOISE), prior=prior, epochs=1500)
    weights = torch.cat([part.flatten(1) for part in found.network.draws(5).values()], 1).double()
    white = (weights - mean) @ torch.linalg.cholesky(precision)
    assert white.abs().max() < 1e-3  # posterior standard deviations


def test_each_member_learns_its_own_noise() -> None:
    x, y = regression_problem()
    found = ensemble.run(nn.Linear(FEATURES, 1), (x, y), epochs=1500)
    likelihood = found.network.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    design = torch.cat([x, torch.ones(len(x), 1)], 1)
    residual = y - design @ torch.linalg.lstsq(design, y).solution
    expected = residual.square().mean().sqrt().expand(5, 1)  # the maximum of the likelihood
    torch.testing.assert_close(likelihood.noise.detach(), expected, rtol=1e-3, atol=0)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_weighted_rows_are_rows_that_come_twice() -> None:
    x, y = (part.double() for part in regression_problem())
    weight = 1.0 + (torch.arange(len(x)) % 2)
    rows = torch.cat([torch.arange(len(x)), torch.arange(1, len(x), 2)])
    settings = {"likelihood": yu.Gaussian(NOISE), "epochs": 50, "members": 2}
    net = network()
    weighted = ensemble.run(net, (x, y), sample_weight=weight, **settings)  # type: ignore[arg-type]
    repeated = ensemble.run(net, (x[rows], y[rows]), **settings)  # type: ignore[arg-type]
    # the loss is 1.5 times as large, which Adam does not see
    torch.testing.assert_close(weighted.predict(x).samples, repeated.predict(x).samples, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_running_statistics_are_each_members_own() -> None:
    x, y = regression_problem()
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    found = ensemble.run(net, (x, y), likelihood=yu.Gaussian(NOISE), epochs=5, members=3)
    whole, alone = found.predict(x).samples, found.predict(x[:1]).samples
    torch.testing.assert_close(whole[:, :1], alone)  # not those of the batch
    own = found.network.member_buffers.own()["1.running_mean"]
    assert own.shape == (3, 6)
    assert not torch.equal(own[0], own[1])


def test_a_fit_that_was_still_improving_says_so() -> None:
    with pytest.warns(yu.ConvergenceWarning, match="the ensemble stopped after 30 epochs"):
        found = ensemble.run(nn.Linear(FEATURES, 1), regression_problem(), likelihood=yu.Gaussian(NOISE), epochs=30)
    assert "still improving at the end" in str(found)


def test_what_cannot_be_is_refused() -> None:
    x, y = regression_problem()
    net = nn.Linear(FEATURES, 1)
    with pytest.raises(ValueError, match="members must be at least 1, got 0"):
        ensemble.run(net, (x, y), members=0)
    with pytest.raises(ValueError, match="lr must be positive and finite, got -1"):
        ensemble.run(net, (x, y), lr=-1.0)
    with pytest.raises(ValueError, match="learn=True"):
        ensemble.run(net, (x, y), prior=yu.priors.FanIn(learn=True))
