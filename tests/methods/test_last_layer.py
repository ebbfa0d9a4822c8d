"""The variational last layer against evidence, integrals and exact posteriors."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.methods.test_collapsed import evidence, network, problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import last_layer
from yuragi.methods.last_layer import _EXPECTED


@pytest.mark.parametrize("outputs", [1, 2])
def test_with_the_other_layers_known_the_bound_is_the_evidence(outputs: int) -> None:
    x, y = problem()
    y = torch.cat([y, y.square()], 1)[:, :outputs]
    net = network(outputs)
    net[0].requires_grad_(False)
    found = last_layer.run(net, (x, y), likelihood=yu.Gaussian(0.2), draws=3000, epochs=1, batch_size=7)
    features = net[:2](x).detach()
    exact = sum(float(evidence(features, y[:, o], 0.2)) for o in range(outputs))
    assert found.elbo * 30 == pytest.approx(exact, abs=1e-3)
    phi = torch.cat([features, torch.ones(30, 1)], 1).double()
    precision = phi.T @ phi / 0.2**2 + torch.diag(torch.tensor([6.0] * 6 + [1.0]).double())
    mean = torch.linalg.solve(precision, phi.T @ y.double() / 0.2**2)
    draws = found.network.draws(3000)
    v = torch.cat([draws["2.weight"], draws["2.bias"].unsqueeze(2)], 2).double()
    for o in range(outputs):
        white = (v[:, o] - mean[:, o]) @ torch.linalg.cholesky(precision)
        assert white.mean(0).abs().max() < 4 / 3000**0.5
        assert (white.T.cov() - torch.eye(7)).abs().max() < 0.12


def expectation(likelihood: yu.likelihoods.Likelihood, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    """E log p(y∣z) for z ~ N(mean, variance), [1, 1] each, by the trapezoidal rule."""
    unit = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    density = torch.exp(-0.5 * unit.square()) * float(unit[1] - unit[0]) / (2 * torch.pi) ** 0.5
    z = (mean + variance.sqrt() * unit).reshape(-1, 1, 1)
    result: Tensor = (density * likelihood.log_prob(z, y)[:, 0]).sum()
    return result


@pytest.mark.parametrize(
    ("likelihood", "y", "exact"),
    [
        (yu.Gaussian(0.7), 0.3, True),
        (yu.likelihoods.Poisson(), 2.0, True),
        (yu.likelihoods.Bernoulli(), 0.0, False),
        (yu.likelihoods.Bernoulli(), 1.0, False),
    ],
)
@pytest.mark.parametrize("variance", [1e-9, 0.5, 2.0])
def test_expected_log_likelihoods_are_integrals_or_below_them(
    likelihood: yu.likelihoods.Likelihood, y: float, exact: bool, variance: float
) -> None:
    expected = next(value for kind, value in _EXPECTED.items() if isinstance(likelihood, kind))
    mean, spread = (torch.full((1, 1), value, dtype=torch.float64) for value in (0.4, variance))
    target = torch.full((1, 1), y, dtype=torch.float64)
    got = float(expected(likelihood, mean, spread, target))
    truth = float(expectation(likelihood, mean, spread, target))
    if exact or variance < 1e-6:
        assert got == pytest.approx(truth, abs=1e-6)
    else:
        assert truth - variance / 8 < got < truth


def test_the_bound_for_several_classes_is_below_the_expectation() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, variance = torch.randn(5, 3, generator=generator).double(), torch.rand(5, 3, generator=generator).double()
    y = torch.tensor([0, 1, 2, 1, 0])
    z = mean + variance.sqrt() * torch.randn(40_000, 5, 3, generator=generator).double()
    terms = yu.Categorical().log_prob(z, y)
    bound = _EXPECTED[yu.Categorical](yu.Categorical(), mean, variance, y)
    assert (bound < terms.mean(0) + 4 * terms.std(0) / 200).all()
    assert (bound > terms.mean(0) - 0.5).all()
    certain = _EXPECTED[yu.Categorical](yu.Categorical(), mean, 0 * variance, y)
    torch.testing.assert_close(certain, yu.Categorical().log_prob(mean.unsqueeze(0), y)[0])


@pytest.mark.parametrize(
    ("likelihood", "outputs", "make"),
    [
        (yu.Categorical(), 3, lambda x: (x[:, 0] > 0).long() + (x[:, 0] > 1).long()),
        (yu.likelihoods.Bernoulli(), 1, lambda x: (x > 0).float()),
        (yu.likelihoods.Poisson(), 1, lambda x: x.exp().round()),
        (yu.Gaussian(outputs=2), 2, lambda x: torch.cat([x.sin(), 10 * x.cos()], 1)),
    ],
)
def test_every_likelihood_that_it_takes_learns(likelihood: Any, outputs: int, make: Any) -> None:
    x, _ = problem()
    y = make(x)
    settings: dict[str, Any] = {"likelihood": likelihood, "draws": 50}
    first = last_layer.run(network(outputs), (x, y), epochs=1, **settings)
    found = last_layer.run(network(outputs), (x, y), epochs=400, **settings)
    assert found.elbo > first.elbo + 0.1
    assert found.predict(x).log_prob(y).mean() > first.predict(x).log_prob(y).mean()
    assert "in the last quarter of 400 epochs" in str(found)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    x, y = problem()
    net = network()
    net[0].requires_grad_(False)
    weight = torch.ones(30)
    weight[:5] = 2
    settings: dict[str, Any] = {"likelihood": yu.Gaussian(0.2), "draws": 5, "epochs": 1}
    once = last_layer.run(net, (x, y), sample_weight=weight, **settings)
    twice = last_layer.run(net, (torch.cat([x, x[:5]]), torch.cat([y, y[:5]])), **settings)
    assert once.elbo * 30 == pytest.approx(twice.elbo * 35, rel=1e-4)
    torch.testing.assert_close(once.predict(x).samples, twice.predict(x).samples, atol=2e-4, rtol=1e-4)


def test_normalisation_is_that_of_evaluation_and_reaches_the_file(tmp_path: object) -> None:
    x, y = problem()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    before = copy.deepcopy(net.state_dict())
    found = last_layer.run(net, (x, y), draws=20, epochs=100, batch_size=10)
    assert all(torch.equal(old, new) for old, new in zip(before.values(), net.state_dict().values(), strict=True))
    whole = found.predict(x).samples
    torch.testing.assert_close(whole[:, :4], found.predict(x[:4]).samples)
    module = found.network.module
    assert isinstance(module, nn.Sequential)
    features = module[:3].eval()(x)
    draws = found.network.draws(20)
    torch.testing.assert_close(whole, features @ draws["3.weight"].mT + draws["3.bias"].unsqueeze(1))
    yu.save(found.network, f"{tmp_path}/found.yuragi")
    loaded = yu.load(f"{tmp_path}/found.yuragi", net)
    torch.testing.assert_close(yu.predict(loaded, x, samples=20).samples, whole)


def test_what_is_frozen_stays() -> None:
    x, y = problem()
    net = network()
    bias = net.get_parameter("2.bias").requires_grad_(False)
    with torch.no_grad():
        bias.fill_(0.3)
    found = last_layer.run(net, (x, y), draws=10, epochs=5)
    assert found.network.weight_names == ["2.weight"]
    assert float(found.network.module.get_parameter("2.bias")) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (network(), {"draws": 0}, "draws must be at least 1, got 0"),
        (network(), {"epochs": 0}, "epochs must be at least 1, got 0"),
        (network(), {"lr": -1.0}, r"lr must be positive and finite, got -1\.0"),
        (network(), {"likelihood": yu.likelihoods.StudentT()}, "has no closed form"),
        (network(), {"likelihood": yu.Gaussian(torch.tensor([0.1, 0.2]))}, "a noise for each of several members"),
        (network(), {"prior": yu.priors.Laplace()}, "needs a Normal prior with a fixed scale"),
        (network(), {"sample_weight": torch.ones(3)}, r"sample_weight has shape \(3,\)"),
        (network(2), {}, "the network returned"),
        (network(width=9000), {}, "would have 81018001 covariances"),
        (nn.Sequential(network(), nn.Tanh()), {}, "does not end in its last nn.Linear"),
        (nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1).requires_grad_(False)), {}, "'1', is frozen"),
    ],
)
def test_what_cannot_be_is_refused(net: nn.Module, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        last_layer.run(net, problem(), **settings)
