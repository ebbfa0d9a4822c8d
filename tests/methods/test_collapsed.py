"""Collapsed variational inference against the evidence and the posterior of a linear model, draw by draw."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, regression_problem
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import yuragi as yu
from yuragi.methods import collapsed


def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-2, 2, 30).reshape(-1, 1)
    return x, (2 * x).sin() + 0.2 * torch.randn(30, 1, generator=generator)


def network(outputs: int = 1, width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, outputs))


def evidence(features: Tensor, y: Tensor, noise: float) -> Tensor:
    """log p(y) of one output under weights N(0, 1/H) and bias N(0, 1)."""
    phi = features.double()
    covariance = phi @ phi.T / phi.shape[1] + 1 + noise**2 * torch.eye(len(y), dtype=torch.float64)
    result: Tensor = MultivariateNormal(torch.zeros(len(y), dtype=torch.float64), covariance).log_prob(y.double())
    return result


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_bound_is_the_evidence_where_only_the_last_layer_is_unknown(outputs: int) -> None:
    x, y = problem()
    y = torch.cat([y, y.square()], 1)[:, :outputs]
    net = network(outputs)
    net[0].requires_grad_(False)
    found = collapsed.run(net, (x, y), likelihood=yu.Gaussian(0.2), draws=3000, steps=0)
    features = net[:2](x).detach()
    exact = sum(float(evidence(features, y[:, o], 0.2)) for o in range(outputs))
    assert found.elbo == pytest.approx(exact / 30)
    assert found.kl == 0
    phi = torch.cat([features, torch.ones(30, 1)], 1).double()
    scale = torch.tensor([1 / 6**0.5] * 6 + [1.0]).double()
    precision = phi.T @ phi / 0.2**2 + torch.diag(scale**-2)
    mean = torch.linalg.solve(precision, phi.T @ y.double() / 0.2**2)
    draws = torch.cat(
        [found.network.draws(3000)["2.weight"], found.network.draws(3000)["2.bias"].unsqueeze(2)], 2
    ).double()
    for o in range(outputs):
        white = (draws[:, o] - mean[:, o]) @ torch.linalg.cholesky(precision)
        assert white.mean(0).abs().max() < 4 / 3000**0.5
        assert (white.T.cov() - torch.eye(7)).abs().max() < 0.12


def test_the_last_layer_follows_each_draw_of_the_others() -> None:
    x, y = problem()
    found = collapsed.run(network(width=3), (x, y), likelihood=yu.Gaussian(0.2), draws=800, steps=30)
    draws = {name: value.double() for name, value in found.network.draws(800).items()}
    hidden = (x.double() @ draws["0.weight"].mT + draws["0.bias"].unsqueeze(1)).tanh()
    phi = torch.cat([hidden, torch.ones(800, 30, 1)], 2)
    precision = phi.mT @ phi / 0.2**2 + torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0]).double())
    mean = torch.linalg.solve(precision, phi.mT @ y.double() / 0.2**2).squeeze(2)
    v = torch.cat([draws["2.weight"].squeeze(1), draws["2.bias"]], 1)
    white = (torch.linalg.cholesky(precision).mT @ (v - mean).unsqueeze(2)).squeeze(2)
    assert white.mean(0).abs().max() < 4 / 800**0.5
    assert (white.T.cov() - torch.eye(4)).abs().max() < 0.2
    # and the bound is the mean of their evidence less the KL of q(θ), on those same draws
    bound = torch.stack([evidence(h, y[:, 0], 0.2) for h in hidden]).mean() - found.kl
    assert found.elbo == pytest.approx(float(bound) / 30, rel=1e-4)
    assert found.kl > 0


def test_training_raises_the_bound_from_that_of_random_features() -> None:
    x, y = problem()
    settings: dict[str, Any] = {"likelihood": yu.Gaussian(0.2), "draws": 500}
    untrained = collapsed.run(network(), (x, y), steps=0, **settings)
    trained = collapsed.run(network(), (x, y), steps=150, **settings)
    assert trained.elbo > untrained.elbo + 0.1
    assert "untrained" in str(untrained)
    assert "last quarter of 150 steps" in str(trained)


def test_a_learned_noise_maximises_the_evidence() -> None:
    x, y = regression_problem()
    found = collapsed.run(nn.Linear(FEATURES, 1), (x, y), draws=10, steps=200)
    likelihood = found.network.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    grid = torch.linspace(0.3, 0.8, 501)
    scores = torch.stack([evidence(x, y[:, 0], float(noise)) for noise in grid])
    assert float(likelihood.noise.detach()) == pytest.approx(float(grid[scores.argmax()]), abs=0.002)
    assert found.elbo == pytest.approx(float(scores.max()) / len(y), abs=1e-4)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    x, y = problem()
    weight = torch.ones(30)
    weight[:5] = 2
    settings: dict[str, Any] = {"likelihood": yu.Gaussian(0.2), "draws": 50, "steps": 20}
    once = collapsed.run(network(), (x, y), sample_weight=weight, **settings)
    twice = collapsed.run(network(), (torch.cat([x, x[:5]]), torch.cat([y, y[:5]])), **settings)
    assert once.elbo * 30 == pytest.approx(twice.elbo * 35, rel=1e-4)
    torch.testing.assert_close(once.predict(x).samples, twice.predict(x).samples, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (network(), {"draws": 0}, "draws must be at least 1, got 0"),
        (network(), {"steps": -1}, "steps must be at least 0, got -1"),
        (network(), {"lr": 0.0}, "lr must be positive and finite, got 0.0"),
        (network(), {"likelihood": yu.Categorical()}, "only under Gaussian noise"),
        (network(), {"likelihood": yu.Gaussian(outputs=2)}, "only under Gaussian noise"),
        (network(), {"prior": yu.priors.Laplace()}, "needs a Normal prior with a fixed scale"),
        (network(), {"prior": yu.priors.FanIn(learn=True)}, "needs a Normal prior with a fixed scale"),
        (network(), {"sample_weight": torch.ones(3)}, r"sample_weight has shape \(3,\), but there are 30 rows"),
        (network(2), {}, r"last linear layer has weights \(2, 6\)"),
        (nn.Sequential(network(), nn.Tanh()), {}, "does not end in its last nn.Linear"),
        (nn.Conv1d(1, 1, 1), {}, "Conv1d has no nn.Linear"),
    ],
)
def test_what_cannot_be_is_refused(net: nn.Module, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collapsed.run(copy.deepcopy(net), problem(), **settings)
