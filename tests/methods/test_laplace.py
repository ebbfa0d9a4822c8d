"""Laplace's approximation against exact posteriors and evidence, and brute-force curvature."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.test_collapsed import evidence, network, problem
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import yuragi as yu
from yuragi.methods import laplace
from yuragi.methods.linearised import Linearised
from yuragi.torch_warnings import without_script_warnings

with without_script_warnings():
    pytest.importorskip("laplace")


def linear(bias: bool = True, outputs: int = 1) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(FEATURES, outputs, bias=bias)


def log_normal(y: Tensor, covariance: Tensor) -> Tensor:
    result: Tensor = MultivariateNormal(torch.zeros(len(y)).double(), covariance).log_prob(y.double())
    return result


@pytest.mark.parametrize("bias", [True, False])
def test_a_kronecker_product_is_exact_but_for_the_bias(bias: bool) -> None:
    x, y = regression_problem()
    settings: dict[str, Any] = {"likelihood": yu.Gaussian(NOISE), "prior": yu.priors.Normal(scale=2.0), "draws": 4000}
    found = laplace.run(linear(bias), (x, y), hessian="kron", **settings)
    _, precision = exact_posterior(x, y, NOISE, scale=2.0)
    precision = precision[:FEATURES, :FEATURES]  # with no correlation with a bias
    draws = found.network.draws(4000)["weight"].flatten(1).double()
    white = (draws - draws.mean(0)) @ torch.linalg.cholesky(precision)
    assert (white.T.cov() - torch.eye(FEATURES)).abs().max() < 0.1


@pytest.mark.parametrize("hessian", ["full", "kron"])
def test_the_evidence_of_a_linear_model_chooses_its_noise(hessian: Any) -> None:
    x, y = regression_problem()
    prior = yu.priors.FanIn()
    found = laplace.run(linear(hessian == "full"), (x, y), prior=prior, hessian=hessian, draws=5)
    grid = torch.linspace(0.35, 0.75, 401)

    def exact(noise: Tensor) -> Tensor:
        if hessian == "full":
            return evidence(x, y[:, 0], float(noise))
        covariance = x.double() @ x.T.double() / FEATURES + noise.double() ** 2 * torch.eye(len(y))
        return log_normal(y[:, 0], covariance)

    scores = torch.stack([exact(noise) for noise in grid])
    likelihood = found.network.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    # the most probable weights are those under the noise that the training found
    assert float(likelihood.noise.detach()) == pytest.approx(float(grid[scores.argmax()]), abs=0.01)
    assert found.log_evidence * len(y) == pytest.approx(float(scores.max()), abs=0.02)


def test_the_evidence_chooses_the_gain() -> None:
    x, y = regression_problem()
    found = laplace.run(linear(False), (x, y), likelihood=yu.Gaussian(NOISE), hessian="full", draws=5)
    grid = torch.linspace(-1, 2, 601).exp()

    def exact(gain: Tensor) -> Tensor:
        covariance = gain.double() ** 2 * x.double() @ x.T.double() / FEATURES + NOISE**2 * torch.eye(len(y))
        return log_normal(y[:, 0], covariance)

    chosen = found.network.prior
    assert isinstance(chosen, yu.priors.FanIn)
    best = grid[torch.stack([exact(gain) for gain in grid]).argmax()]
    assert float(chosen.gain) == pytest.approx(float(best), rel=0.05)
    assert f"FanIn(gain={chosen.gain}" in str(found)


def test_all_layers_have_the_covariance_of_the_curvature_computed_by_hand() -> None:
    x, y = problem()
    found = laplace.run(
        network(width=3),
        (x, y),
        likelihood=yu.Gaussian(0.2),
        prior=yu.priors.Normal(scale=1.5),
        hessian="full",
        draws=4000,
        epochs=300,
    )
    module = found.network.module
    assert isinstance(module, Linearised)
    at = {name: module.anchor(name).double() for name, _ in module.net.named_parameters()}
    net = network(width=3).double()
    jacobian = torch.func.jacrev(lambda w: torch.func.functional_call(net, w, (x.double(),)))(at)
    flat = torch.cat([jacobian[name].reshape(30, -1) for name in at], 1)
    covariance = torch.linalg.inv(flat.T @ flat / 0.2**2 + torch.eye(flat.shape[1]) / 1.5**2)
    # a function's variance is JΣJᵀ and its mean is the network's: the predictions are of the linearised network
    prediction = found.predict(x)
    assert isinstance(prediction, yu.RegressionPrediction)
    std = (flat @ covariance * flat).sum(1).sqrt()
    assert (prediction.epistemic[:, 0] / std - 1).abs().max() < 0.05
    mean = torch.func.functional_call(net, at, (x.double(),))
    assert ((prediction.mean - mean)[:, 0] / std).abs().max() < 4 / 4000**0.5


@pytest.mark.parametrize("likelihood", [yu.Categorical(), yu.likelihoods.Bernoulli()])
def test_classes_have_the_curvature_of_their_softmax(likelihood: yu.likelihoods.Likelihood) -> None:
    x, _ = problem()
    binary = isinstance(likelihood, yu.likelihoods.Bernoulli)
    y = (x[:, 0] + 0.3 * (9 * x[:, 0]).sin() > 0).long()
    outputs = 1 if binary else 2
    found = laplace.run(
        network(outputs),
        (x, y.reshape(-1, 1).float() if binary else y),
        likelihood=likelihood,
        prior=yu.priors.Normal(scale=1.0),
        where="2",
        hessian="full",
        draws=4000,
        epochs=400,
    )
    module = found.network.module
    assert isinstance(module, nn.Sequential)  # not Linearised: it is linear in the last layer
    features = torch.cat([module[:2](x), torch.ones(30, 1)], 1).double().detach()
    draws = found.network.draws(4000)
    v = torch.cat([draws["2.weight"], draws["2.bias"].unsqueeze(2)], 2).double()
    mode = v.mean(0)
    logits = features @ mode.T
    if binary:
        p = logits.sigmoid()[:, 0]
        precision = (features * (p * (1 - p)).unsqueeze(1)).T @ features + torch.eye(7)
    else:
        p = logits.softmax(1)
        weight = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
        precision = torch.einsum("nab,nd,ne->adbe", weight, features, features).reshape(14, 14) + torch.eye(14)
    white = (v - mode).flatten(1) @ torch.linalg.cholesky(precision)
    assert (white.T.cov() - torch.eye(white.shape[1])).abs().max() < 0.15
    target = y.reshape(-1, 1).float() if binary else y
    assert float(found.predict(x).log_prob(target).mean()) > -0.5


def test_linearised_is_the_network_at_the_anchor_and_its_tangent_elsewhere() -> None:
    x, _ = problem()
    net = network()
    linear_net = Linearised(net)
    torch.testing.assert_close(linear_net(x), net(x))
    at = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    jacobian = torch.func.jacrev(lambda w: torch.func.functional_call(net, w, (x,)))(at)
    with torch.no_grad():
        base = net(x)
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
        change = sum(jacobian[name].flatten(2) @ (value - at[name]).flatten() for name, value in net.named_parameters())
        torch.testing.assert_close(linear_net(x), base + change)


def test_a_linearised_network_survives_a_file(tmp_path: object) -> None:
    x, y = problem()
    found = laplace.run(network(), (x, y), epochs=20, draws=10)
    yu.save(found.network, f"{tmp_path}/found.yuragi")
    loaded = yu.load(f"{tmp_path}/found.yuragi", Linearised(network()))
    assert torch.equal(yu.predict(loaded, x, samples=10).samples, found.predict(x).samples)
    torch.testing.assert_close(found.predict(x[:3]).samples, found.predict(x).samples[:, :3])


def test_convolutions_and_normalisation() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) > 0).long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    settings: dict[str, Any] = {"likelihood": yu.Categorical(), "epochs": 50, "draws": 10}
    found = laplace.run(net, (x, y), where=yu.weights.everything_but(yu.weights.NORMS), **settings)
    assert found.network.weight_names == ["net.0.weight", "net.0.bias", "net.4.weight", "net.4.bias"]
    torch.testing.assert_close(found.predict(x[:3]).samples, found.predict(x).samples[:, :3])
    with pytest.raises(ValueError, match=r"1\.weight is of BatchNorm2d"):
        laplace.run(net, (x, y), **settings)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (network(), {"draws": 0}, "draws must be at least 1, got 0"),
        (network(), {"evidence_steps": -1}, "evidence_steps must be at least 0, got -1"),
        (network(), {"hessian": "diag"}, 'hessian must be "full" or "kron"'),
        (network(), {"likelihood": yu.likelihoods.StudentT()}, "knows the curvature of classes and of Gaussian noise"),
        (network(), {"likelihood": yu.Gaussian(outputs=2)}, None),
        (network(), {"prior": yu.priors.Laplace()}, "needs a Normal prior with a fixed scale"),
        (network(width=4000), {"hessian": "full"}, 'hessian="full" of 12001 weights'),
        (network(2), {}, "the network returned"),
        (nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)), {}, r"return one tensor \[N, out\]"),
    ],
)
def test_what_cannot_be_is_refused(net: nn.Module, settings: dict[str, Any], message: str | None) -> None:
    with pytest.raises(ValueError, match=message):
        laplace.run(net, problem(), epochs=1, **settings)
