"""Posteriors against the exact answer: Bayesian linear regression with a known prior and noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.posteriors.posterior import inverse_softplus

NOISE, ROWS, FEATURES = 0.5, 60, 3


def regression_problem(rows: int = ROWS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, FEATURES, generator=generator)
    x[:, 1] += 0.5 * x[:, 0]  # correlated features: the exact covariance is not diagonal
    weight = torch.tensor([[1.0], [-0.5], [0.3]])
    return x, x @ weight + 0.2 + NOISE * torch.randn(rows, 1, generator=generator)


def exact_posterior(x: Tensor, y: Tensor, noise: float, scale: float) -> tuple[Tensor, Tensor]:
    """Mean and precision of (weights, bias) under independent N(0, scale²) priors."""
    design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    precision = design.T @ design / noise**2 + torch.eye(FEATURES + 1, dtype=torch.float64) / scale**2
    return torch.linalg.solve(precision, design.T @ y.double()[:, 0] / noise**2), precision


# all rows of a flipout pass share |ΔW|, so its spreads still jitter by some percent when a fit ends: average 40 of them
@pytest.mark.parametrize(
    ("estimator", "members", "epochs"), [("local", 1, 6000), pytest.param("flipout", 40, 4000, marks=pytest.mark.slow)]
)
def test_mean_field_reaches_the_exact_means_and_precisions(estimator: str, members: int, epochs: int) -> None:
    x, y = regression_problem(rows=400)
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    torch.manual_seed(0)
    bnn = yu.bayesianize(
        nn.Linear(FEATURES, 1),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=2.0),
        members=members,
        estimator=estimator,  # type: ignore[arg-type]
    )
    yu.fit(bnn, (x, y), epochs=epochs, batch_size=400, lr=0.003 if members == 1 else 0.006, seed=0)
    q = bnn.q()
    assert q.scales is not None
    got_mean = torch.cat([part.detach().flatten(1) for part in q.mean], 1).double().mean(0)
    got_variance = torch.cat([part.detach().flatten(1) for part in q.scales], 1).double().square().mean(0)
    torch.testing.assert_close(got_mean, mean, rtol=0.02, atol=0)
    torch.testing.assert_close(got_variance, 1 / precision.diagonal(), rtol=0.02, atol=0)


def fit_anchored(noise: float | str, seed: int) -> tuple[yu.Bayesian, Tensor]:
    x, y = regression_problem()
    bnn = yu.bayesianize(
        nn.Linear(FEATURES, 1),
        likelihood=yu.Gaussian(noise),  # type: ignore[arg-type]
        prior=yu.priors.Normal(scale=2.0),
        posterior=yu.posteriors.Anchored(seed=seed),
        members=200,
        seed=seed,
    )
    yu.fit(bnn, (x, y), epochs=2500, batch_size=ROWS, lr=0.02, seed=0)
    return bnn, torch.cat([part.detach().flatten(1) for part in bnn.q().mean], 1).double()


def test_anchored_members_are_draws_of_the_exact_posterior() -> None:
    x, y = regression_problem()
    mean, precision = exact_posterior(x, y, NOISE, scale=2.0)
    covariance = precision.inverse()
    _, members = fit_anchored(NOISE, seed=1)
    # whitened, the members are standard normal draws: mean 0 ± 1/√200, covariance I ± √(2/200) on the diagonal
    white = (members - mean) @ torch.linalg.cholesky(precision)
    assert white.mean(0).abs().max() < 3.5 / 200**0.5
    assert (white.T.cov() - torch.eye(FEATURES + 1)).abs().max() < 3.5 * (2 / 200) ** 0.5
    off = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
    assert abs(members.T.corrcoef()[0, 1] - off) < 0.2
    assert abs(off) > 0.3  # or the test would not see a covariance that is missing


def test_anchored_learns_the_noise_from_clean_residuals() -> None:
    bnn, _ = fit_anchored("learned", seed=2)
    x, y = regression_problem()
    # the noise that maximises the marginal likelihood, the fixed point of expectation maximisation
    noise = NOISE
    for _ in range(200):
        mean, precision = exact_posterior(x, y, noise, scale=2.0)
        design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        spread = (design @ precision.inverse() * design).sum(1)
        noise = float(((y.double()[:, 0] - design @ mean).square() + spread).mean().sqrt())
    likelihood = bnn.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    assert abs(float(likelihood.noise.detach()) / noise - 1) < 0.05
    assert abs(float(likelihood.noise.detach()) / NOISE - 1) < 0.15  # the truth, within what 60 data can tell


def test_anchored_learned_noise_is_within_5_percent_of_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, FEATURES, generator=generator)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(2000, 1, generator=generator)
    bnn = yu.bayesianize(
        nn.Linear(FEATURES, 1), posterior=yu.posteriors.Anchored(seed=0), likelihood=yu.Gaussian("learned"), seed=0
    )
    yu.fit(bnn, (x, y), epochs=60, seed=0)
    likelihood = bnn.likelihood
    assert isinstance(likelihood, yu.Gaussian)
    assert abs(float(likelihood.noise.detach()) / 0.1 - 1) < 0.05


def test_target_noise_depends_on_member_and_datum_only() -> None:
    posterior = yu.posteriors.Anchored(seed=5)
    index = torch.arange(1000)
    whole = posterior.target_noise(index, torch.Size([50, 1000, 2]))
    order = torch.randperm(1000)[:10]
    part = posterior.target_noise(index[order], torch.Size([50, 10, 2]))
    assert torch.equal(whole[:, order], part)
    assert not torch.equal(whole, yu.posteriors.Anchored(seed=6).target_noise(index, whole.shape))
    flat = whole.flatten().double()
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):  # 100,000 draws: at most ± 3 · 0.031
        assert abs(float(flat.pow(power).mean()) - moment) < 0.093, power
    # no correlation between neighbours along any axis
    assert abs(float((whole[1:] * whole[:-1]).mean())) < 0.015
    assert abs(float((whole[:, 1:] * whole[:, :-1]).mean())) < 0.015
    assert abs(float((whole[..., 0] * whole[..., 1]).mean())) < 0.02


def test_anchored_starts_at_its_anchors_which_are_prior_draws() -> None:
    bnn = yu.bayesianize(
        nn.Linear(50, 20), posterior=yu.posteriors.Anchored(), members=30, prior=yu.priors.Normal(0.5, 2.0), seed=0
    )
    assert float(bnn.kl().detach()) == 0
    weights = bnn.q().mean[0].detach()
    assert abs(float(weights.mean()) - 0.5) < 0.05
    assert abs(float(weights.std()) - 2.0) < 0.05


def test_anchored_refuses_a_batch_without_indices() -> None:
    bnn = yu.bayesianize(nn.Linear(2, 1), posterior=yu.posteriors.Anchored(), likelihood=yu.Gaussian(0.1))
    with pytest.raises(ValueError, match="index="):
        bnn.loss(torch.zeros(3, 2), torch.zeros(3, 1), num_data=3)


def test_mean_field_draws_have_its_moments_and_are_stratified() -> None:
    bnn = yu.bayesianize(nn.Linear(4, 5), posterior=yu.posteriors.MeanField(0.2), members=2, seed=0)
    draws = bnn.draws(4000, seed=0)["weight"]
    means = bnn.q().mean[0].detach()
    for member in (0, 1):
        own = draws[member::2]
        assert (own.mean(0) - means[member]).abs().max() < 5 * 0.2 / 2000**0.5
        assert (own.std(0) / 0.2 - 1).abs().max() < 0.1
    assert torch.equal(bnn.draws(10, seed=0)["weight"], draws[:10])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_initial_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="init_scale must be positive"):
        yu.posteriors.MeanField(scale)


def test_large_and_small_spreads_neither_overflow_nor_vanish() -> None:
    for scale in (1e-8, 90.0, 1e6):
        bnn = yu.bayesianize(nn.Linear(2, 1), posterior=yu.posteriors.MeanField(scale))
        scales = bnn.q().scales
        assert scales is not None
        torch.testing.assert_close(scales[0], torch.full((1, 1, 2), scale), rtol=1e-4, atol=0)
        assert torch.isfinite(bnn.kl())


def linear_members(**options: Any) -> Tensor:
    """Whitened members under the posterior of the data as they are: [200, weights]."""
    x, y = regression_problem()
    bnn = yu.bayesianize(
        nn.Linear(FEATURES, 1),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(scale=20.0),  # so wide that the data alone decide
        posterior=yu.posteriors.Anchored(seed=1),
        members=200,
        seed=1,
    )
    with torch.no_grad():  # the anchors are far away
        for parameter in bnn.q().means:
            parameter.zero_()
    yu.fit(bnn, (x, y), epochs=1000, batch_size=ROWS, lr=0.03, seed=0, **options)
    mean, precision = exact_posterior(x, y, NOISE, scale=20.0)
    found = torch.cat([part.detach().flatten(1) for part in bnn.q().mean], 1).double()
    white: Tensor = (found - mean) @ torch.linalg.cholesky(precision)
    return white


def test_anchored_members_follow_sample_weights_and_temperature() -> None:
    # counting every datum four times divides the posterior variance by four; a kl_weight of four multiplies it by four
    for options, variance in (({"sample_weight": torch.full((ROWS,), 4.0)}, 0.25), ({"kl_weight": 4.0}, 4.0)):
        white = linear_members(**options)
        assert (white.var(0) / variance - 1).abs().max() < 3.5 * (2 / 200) ** 0.5, options


def test_inverse_softplus_of_one_number_many_times() -> None:
    many = inverse_softplus(torch.tensor([0.05], dtype=torch.float64).expand(5))
    torch.testing.assert_close(torch.nn.functional.softplus(many), torch.full((5,), 0.05, dtype=torch.float64))
    assert inverse_softplus(torch.tensor([0.05]).expand(1)).shape == (1,)
