"""Noise that depends on x: it is recovered, does not collapse, and is as uncertain as the exact posterior says."""

import math

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.likelihoods import HeteroscedasticGaussian, HeteroscedasticStudentT, Likelihood

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")  # the fits are short


def wave(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(rows, 1, generator=generator) * 2 - 1
    sigma = torch.exp(0.8 * x - 1.6)
    return x, x.square() + sigma * torch.randn(rows, 1, generator=generator), sigma


@pytest.mark.parametrize(
    "posterior", [pytest.param(yu.posteriors.MeanField(0.01), marks=pytest.mark.slow), yu.posteriors.Anchored(seed=0)]
)
def test_the_scale_is_recovered(posterior: yu.posteriors.Posterior) -> None:
    x, y, sigma = wave(1000)
    net = nn.Sequential(nn.Linear(1, 30), nn.Tanh(), nn.Linear(30, 2))
    bnn = yu.bayesianize(net, likelihood=HeteroscedasticGaussian(), posterior=posterior, members=3, seed=0)
    yu.fit(bnn, (x, y), epochs=150, seed=0)
    p = yu.predict(bnn, x, samples=30)
    assert isinstance(p, yu.RegressionPrediction)
    # 1,000 data tell σ in a tenth of the range to 1/√200 = 7 %, and the curve has little freedom
    assert float((p.aleatoric / sigma).log().square().mean().sqrt()) < 0.15
    assert float((p.mean - x.square()).square().mean().sqrt()) < 0.06


@pytest.mark.parametrize("likelihood", [HeteroscedasticGaussian(), HeteroscedasticStudentT()])
@pytest.mark.parametrize("posterior", [yu.posteriors.MeanField(0.01), yu.posteriors.Anchored(seed=0)])
def test_a_network_that_can_fit_every_datum_keeps_its_scale(
    likelihood: Likelihood, posterior: yu.posteriors.Posterior
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 5, generator=generator), 1e3 * torch.randn(20, 1, generator=generator)
    net = nn.Sequential(nn.Linear(5, 100), nn.ReLU(), nn.Linear(100, 2))
    bnn = yu.bayesianize(net, likelihood=likelihood, posterior=posterior, members=2, seed=0)
    yu.fit(bnn, (x, y / 1e3), epochs=400, kl_weight=1e-4, lr=0.03, seed=0)
    p = yu.predict(bnn, x, samples=4)
    assert isinstance(p, yu.RegressionPrediction)
    assert float(p.noise.min()) >= 1e-3 * float((y / 1e3).std(correction=0)) * (1 - 1e-5)
    assert bool(torch.isfinite(p.log_prob(y / 1e3)).all())


@pytest.mark.slow
def test_anchored_members_of_a_linear_problem_are_spread_as_the_posterior() -> None:
    rows, members, scale = 150, 300, 0.7
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 1, generator=generator)
    y = 0.5 + x + nn.functional.softplus(x - 0.5) * torch.randn(rows, 1, generator=generator)
    bnn = yu.bayesianize(
        nn.Linear(1, 2),
        likelihood=HeteroscedasticGaussian(),
        prior=yu.priors.Normal(scale=scale),
        posterior=yu.posteriors.Anchored(seed=1),
        members=members,
        seed=1,
    )
    with torch.no_grad():  # at its anchor a member may be a hundred scales from the data, and Adam would take long
        for parameter in bnn.q().means:
            parameter.zero_()
    yu.fit(bnn, (x, y), epochs=1500, batch_size=rows, lr=0.03, seed=0)
    found = torch.cat([part.detach().flatten(1) for part in bnn.q().mean], 1)  # slopes of mean and raw scale, biases

    # the exact posterior by Metropolis' algorithm: 400 chains, thinned
    @torch.no_grad()
    def log_posterior(w: Tensor) -> Tensor:
        output = torch.stack([w[:, :1] * x[:, 0] + w[:, 2:3], w[:, 1:2] * x[:, 0] + w[:, 3:]], -1)
        return bnn.likelihood.log_prob(output, y).sum(1) - 0.5 * (w / scale).square().sum(1)

    chains = found.median(0).values.expand(400, 4).clone()
    now, kept = log_posterior(chains), []
    for step in range(2500):
        proposed = chains + 0.05 * torch.randn(chains.shape, generator=generator)
        then = log_posterior(proposed)
        accept = torch.rand(400, generator=generator).log() < then - now
        chains, now = torch.where(accept[:, None], proposed, chains), torch.where(accept, then, now)
        if step >= 500 and step % 20 == 0:
            kept.append(chains)
    exact = torch.cat(kept)
    shift = (found.mean(0) - exact.mean(0)) / exact.std(0)
    ratio = found.std(0) / exact.std(0)
    assert float(shift.abs().max()) < 0.3
    assert float((ratio - 1).abs().max()) < 0.05 + 3.5 / math.sqrt(2 * members), ratio
