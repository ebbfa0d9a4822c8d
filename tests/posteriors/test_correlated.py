"""Posteriors with correlated weights: densities and draws against torch's, and the exact posterior of a linear model."""

from __future__ import annotations

import warnings

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, exact_posterior, regression_problem
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

import yuragi as yu
from yuragi.flat import joined
from yuragi.posteriors import FullCovariance, LowRank, MeanField, PerLayer, Posterior

K = 2
POSTERIORS: dict[str, Posterior] = {
    "low rank": LowRank(rank=2, init_scale=0.3),
    "full": FullCovariance(init_scale=0.3),
    "per layer": PerLayer({"1": FullCovariance(0.2), "0.bias": LowRank(1, 0.4)}, default=MeanField(0.1)),
}


def made(name: str, members: int = K, prior: yu.priors.Prior | None = None) -> yu.Bayesian:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    bnn = yu.bayesianize(net, posterior=POSTERIORS[name], prior=prior, members=members, likelihood=yu.Gaussian(0.1))
    with torch.no_grad():  # anywhere but at the start
        for parameter in bnn.posterior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return bnn


def covariance(posterior: Posterior, member: int) -> Tensor:
    """Built from the parameters by hand, block by block in the order of the weights."""
    if isinstance(posterior, LowRank):
        sigma = nn.functional.softplus(posterior.rho[member])
        factor = posterior.factor[member]
        result: Tensor = torch.diag(sigma.square()) + factor @ factor.T
        return result
    if isinstance(posterior, FullCovariance):
        size = posterior.rho.shape[1]
        root = torch.diag(nn.functional.softplus(posterior.rho[member]))
        entries = iter(posterior.lower[member])
        for i in range(size):
            for j in range(i):
                root[i, j] = next(entries)
        square: Tensor = root @ root.T
        return square
    if isinstance(posterior, MeanField):
        variance: Tensor = nn.functional.softplus(posterior.rho[member]).square()
        return torch.diag(variance)
    assert isinstance(posterior, PerLayer)
    head, bias, rest = posterior.parts
    blocks = [covariance(part, member) for part in (rest, bias, head)]  # type: ignore[arg-type]
    whole: Tensor = torch.block_diag(*blocks)
    return whole


def means(bnn: yu.Bayesian) -> Tensor:
    return joined(bnn.q().means, bnn.members, torch.float64).detach()


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("members", [1, K])
def test_kl_is_that_of_the_multivariate_normals(name: str, members: int) -> None:
    prior = yu.priors.FanIn(1.3)
    bnn = made(name, members, prior)
    scale = torch.cat([torch.full((6,), 1.3 / 2**0.5), torch.ones(3), torch.full((3,), 1.3 / 3**0.5), torch.ones(1)])
    p = MultivariateNormal(torch.zeros(13).double(), torch.diag(scale.double().square()))
    expected = [
        kl_divergence(MultivariateNormal(mean, covariance(bnn.posterior, k).detach()), p)
        for k, mean in enumerate(means(bnn))
    ]
    torch.testing.assert_close(bnn.q().kl(bnn.prior).detach(), torch.stack(expected))
    bnn.kl().backward()
    for parameter in bnn.posterior.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()


@pytest.mark.parametrize("name", POSTERIORS)
def test_draws_have_the_covariance(name: str) -> None:
    bnn = made(name)
    q = bnn.q()
    with torch.no_grad():
        sampled = joined(q.sample([s % K for s in range(8000)], torch.Generator().manual_seed(0)), 8000, torch.float64)
        torch.manual_seed(1)
        passed = [joined(q.rsample(), K, torch.float64) for _ in range(4000)]
    for k in range(K):
        exact = covariance(bnn.posterior, k).detach()
        root = torch.linalg.cholesky(exact)
        for draws in (sampled[k::K], torch.stack(passed)[:, k]):
            white = torch.linalg.solve_triangular(root, (draws - means(bnn)[k]).T, upper=False)
            assert white.mean(1).abs().max() < 5 / 4000**0.5
            assert (white.cov() - torch.eye(13)).abs().max() < 0.1
        torch.testing.assert_close(q.sigma[k].detach(), exact.diagonal().sqrt())  # type: ignore[index]


@pytest.mark.parametrize("name", POSTERIORS)
def test_draws_do_not_depend_on_how_many_are_asked_for(name: str) -> None:
    bnn = made(name)
    many, few = bnn.draws(9, seed=0), bnn.draws(4, seed=0)
    for parameter, draws in few.items():
        torch.testing.assert_close(draws, many[parameter][:4], rtol=0, atol=0)


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("estimator", ["flipout", "local"])
def test_per_example_estimators_are_refused_with_the_reason(name: str, estimator: str) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    with pytest.raises(ValueError, match=f"{estimator}.*correlated.*shared"):
        yu.bayesianize(net, posterior=POSTERIORS[name], estimator=estimator)  # type: ignore[arg-type]
    assert yu.bayesianize(net, posterior=POSTERIORS[name]).estimator == "shared"


def test_parts_that_are_independent_keep_a_per_example_estimator() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    bnn = yu.bayesianize(net, posterior=PerLayer({"0": MeanField(0.5)}, default=MeanField(1e-6)))
    assert bnn.estimator == "flipout"
    bnn(torch.randn(4, 2)).sum().backward()
    assert {row.estimator for row in bnn.coverage().rows} == {"flipout"}
    assert bnn.q().scales is not None
    assert float(bnn.q().scales[0].detach().mean()) == pytest.approx(0.5)  # type: ignore[index]


@pytest.mark.parametrize(
    "posterior",
    [FullCovariance(0.1), pytest.param(LowRank(rank=4, init_scale=0.1), marks=pytest.mark.slow)],
    ids=str,
)
def test_the_exact_posterior_with_its_correlations(posterior: Posterior) -> None:
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    exact = precision.inverse()
    torch.manual_seed(0)
    bnn = yu.bayesianize(
        nn.Linear(FEATURES, 1),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        posterior=posterior,
        members=40,  # the spreads still jitter when a fit ends: average them
    )
    yu.fit(bnn, (x, y), epochs=3000, batch_size=len(x), lr=0.01, seed=0)
    with torch.no_grad():
        found = torch.stack([covariance(bnn.posterior, k) for k in range(40)]).mean(0).double()
        centre = joined(bnn.q().means, 40, torch.float64).mean(0)
    deviation = exact.diagonal().sqrt()
    assert ((centre - mean) / deviation).abs().max() < 0.05
    scaled = found / deviation.outer(deviation)
    correlation = exact / deviation.outer(deviation)
    assert (scaled - correlation).abs().max() < 0.05
    assert correlation[0, 1].abs() > 0.3  # or the test would not see a correlation that is missing


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_network_trains_predicts_and_survives_a_file(name: str, tmp_path: object) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 2)
    y = x.sum(1, keepdim=True)
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    bnn = yu.bayesianize(net, posterior=POSTERIORS[name], members=2, likelihood=yu.Gaussian(0.1), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", yu.ConvergenceWarning)
        history = yu.fit(bnn, (x, y), epochs=300, lr=0.02, seed=0)
    assert history.loss[-1] < history.loss[0]
    prediction = yu.predict(bnn, x)
    yu.save(bnn, f"{tmp_path}/net.yuragi")
    loaded = yu.load(f"{tmp_path}/net.yuragi", nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    assert torch.equal(yu.predict(loaded, x).samples, prediction.samples)
    assert str(loaded.posterior) == str(bnn.posterior)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        LowRank(rank=0)
    with pytest.raises(ValueError, match=r"FullCovariance of 10100 weights .* up to 8192"):
        yu.bayesianize(nn.Linear(100, 100), posterior=FullCovariance())
    with pytest.raises(ValueError, match="Anchored is a posterior of the network as a whole"):
        PerLayer({"0": yu.posteriors.Anchored()})
    with pytest.raises(ValueError, match="'9' matches no Bayesian weight"):
        yu.bayesianize(nn.Linear(2, 2), posterior=PerLayer({"9": LowRank()}))
