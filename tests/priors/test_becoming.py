"""Priors that an earlier posterior becomes: against `torch.distributions`, for independent and for correlated posteriors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal

import yuragi as yu
from yuragi.flat import split_like
from yuragi.priors import Multivariate, PerLayer, PerWeight, Prior
from yuragi.weights import select_weights

K, P = 3, 9


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).double()


def numbers() -> tuple[Tensor, Tensor, Tensor]:
    """Mean, std and a lower triangular root."""
    torch.manual_seed(1)
    mean, std = torch.randn(P).double(), 0.1 + torch.rand(P).double()
    return mean, std, torch.randn(P, P).double().tril(-1) + std.diag()


def ready(kind: type[Prior]) -> tuple[Prior, TorchNormal | MultivariateNormal]:
    prior = kind()
    prior.setup(select_weights(network())[0], K)
    mean, std, root = numbers()
    if isinstance(prior, PerWeight):
        prior.become(mean, std)
        return prior, TorchNormal(mean, std)
    assert isinstance(prior, Multivariate)
    prior.become(mean, root)
    return prior, MultivariateNormal(mean, scale_tril=root)


def posterior() -> tuple[list[Tensor], Tensor, Tensor]:
    """Means [K, *shape], sigma [K, P] and root [K, P, P] of a posterior."""
    torch.manual_seed(2)
    flat, sigma = torch.randn(K, P).double(), 0.05 + torch.rand(K, P).double()
    means = split_like(flat, [w.parameter.unsqueeze(0) for w in select_weights(network())[0]])
    root = 0.3 * torch.randn(K, P, P).double().tril(-1) + torch.diag_embed(sigma)
    return means, sigma.requires_grad_(), root.requires_grad_()


@pytest.mark.parametrize("kind", [PerWeight, Multivariate])
def test_density_draws_and_kl_are_those_of_torch(kind: type[Prior]) -> None:
    prior, p = ready(kind)
    means, sigma, _ = posterior()
    flat = torch.cat([mean.flatten(1) for mean in means], 1)
    expected: Tensor = p.log_prob(flat)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(prior.log_prob(flat), expected.sum(1) if kind is PerWeight else expected)
    if isinstance(p, TorchNormal):
        exact = kl_divergence(TorchNormal(flat, sigma), p).sum(1)
    else:
        exact = kl_divergence(MultivariateNormal(flat, scale_tril=torch.diag_embed(sigma)), p)
    kl = prior.kl_from_normal(means, sigma)
    torch.testing.assert_close(kl, exact)
    ours, theirs = (torch.autograd.grad(one.sum(), sigma)[0] for one in (kl, exact))
    torch.testing.assert_close(ours, theirs)
    drawn = prior.sample(select_weights(network())[0], 20_000, torch.Generator().manual_seed(0))
    rows = torch.cat([one.flatten(1) for one in drawn], 1)
    covariance = p.covariance_matrix if isinstance(p, MultivariateNormal) else p.variance.diag()
    unit = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (rows - p.mean).T, upper=False)
    assert unit.mean(1).abs().max() < 4.5 / 20_000**0.5
    assert (unit.cov() - torch.eye(P)).abs().max() < 4.5 * (2 / 20_000) ** 0.5


def test_kl_of_correlated_posteriors_is_that_of_torch() -> None:
    prior, p = ready(Multivariate)
    means, _, root = posterior()
    flat = torch.cat([mean.flatten(1) for mean in means], 1)
    assert isinstance(prior, Multivariate)
    kl, exact = prior.kl_from_correlated(means, root), kl_divergence(MultivariateNormal(flat, scale_tril=root), p)
    torch.testing.assert_close(kl, exact)
    ours, theirs = (torch.autograd.grad(one.sum(), root)[0].tril() for one in (kl, exact))
    torch.testing.assert_close(ours, theirs)


def test_a_full_covariance_network_asks_for_that_kl() -> None:
    bnn = yu.bayesianize(network(), prior=Multivariate(), posterior=yu.posteriors.FullCovariance(0.2))
    with torch.no_grad():
        bnn.posterior.lower.normal_(0, 0.1)  # type: ignore[operator]
    mean, _, root = numbers()
    bnn.prior.become(mean, root)  # type: ignore[operator]
    q = bnn.q()
    flat = torch.cat([part.flatten() for part in q.mean])
    exact = kl_divergence(
        MultivariateNormal(flat, scale_tril=q.root[0]),  # type: ignore[attr-defined]
        MultivariateNormal(mean, scale_tril=root),
    )
    torch.testing.assert_close(bnn.kl(), exact)


def test_anchors_are_held_by_the_scale_of_each_weight() -> None:
    prior, p = ready(PerWeight)
    means, _, _ = posterior()
    anchors = [mean + 0.3 for mean in means]
    expected = (0.09 / (2 * p.variance)).sum().expand(K)
    torch.testing.assert_close(prior.squared_distance(means, anchors), expected)


@pytest.mark.parametrize("kind", [PerWeight, Multivariate])
def test_the_numbers_are_state_and_go_into_a_file(kind: type[Prior], tmp_path: Path) -> None:
    bnn = yu.bayesianize(network(), prior=kind(), estimator="local")
    mean, std, root = numbers()
    bnn.prior.become(mean, std if kind is PerWeight else root)  # type: ignore[operator]
    yu.save(bnn, tmp_path / "net.yuragi")
    assert torch.equal(yu.load(tmp_path / "net.yuragi", network()).kl(), bnn.kl())


def test_what_is_refused() -> None:
    for kind in (PerWeight, Multivariate):
        prior, _ = ready(kind)
        with pytest.raises(ValueError, match="for 9 weights"):
            prior.become(torch.zeros(2), torch.ones(2))  # type: ignore[operator]
        with pytest.raises(ValueError, match="must be positive and finite, got 0"):
            prior.become(torch.zeros(P), torch.zeros(P) if kind is PerWeight else torch.zeros(P, P))  # type: ignore[operator]
    with pytest.raises(ValueError, match="lower triangular"):
        prior.become(torch.zeros(P), torch.ones(P, P))  # type: ignore[operator]
    for refused in (Multivariate(), PerLayer({}, default=Multivariate())):
        bnn = yu.bayesianize(network(), prior=refused, posterior=yu.posteriors.LowRank(2))
        with pytest.raises(TypeError, match="under which they are correlated too"):
            bnn.kl()
    with pytest.raises(ValueError, match="needs a Normal prior, got Multivariate"):
        yu.bayesianize(network(), prior=Multivariate(), posterior=yu.posteriors.Anchored())
