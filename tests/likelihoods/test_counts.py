"""Counts against `torch.distributions` and SciPy, the targets that they refuse, and rates that are recovered."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Poisson as PoissonDistribution

import yuragi as yu
from yuragi.likelihoods import Likelihood, NegativeBinomial, Poisson


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def counts(*shape: int) -> Tensor:
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("out", [(), (1,), (2,)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_poisson_is_that_of_torch(out: tuple[int, ...], dtype: torch.dtype) -> None:
    output, y = 2 * randn(3, 5, *out), counts(5, *out)
    terms = PoissonDistribution(output.exp()).log_prob(y.double())
    log_prob = Poisson().log_prob(output, y.to(dtype))
    torch.testing.assert_close(log_prob, terms.flatten(2).sum(2) if out else terms)
    torch.testing.assert_close(Poisson().distribution(output, torch.zeros(3).long()).mean, output.exp())


@pytest.mark.parametrize("dispersion", [1e-5, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_negative_binomial_is_that_of_scipy(dispersion: float, dtype: torch.dtype) -> None:
    output, y = (2 + randn(3, 50, 2)).to(dtype), counts(50, 2)
    mean = output.double().exp().numpy()
    exact = float(torch.tensor(dispersion, dtype=torch.float32))
    expected = stats.nbinom(1 / exact, 1 / (1 + exact * mean)).logpmf(y.numpy()).sum(-1)
    likelihood = NegativeBinomial(dispersion)
    got = likelihood.log_prob(output, y)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.double().numpy(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-8, atol=1e-5)
    distribution = likelihood.distribution(output.double(), torch.zeros(3).long())
    np.testing.assert_allclose(distribution.mean.numpy(), mean, rtol=1e-4)
    np.testing.assert_allclose(distribution.variance.numpy(), mean + exact * mean**2, rtol=1e-4)


def test_a_small_dispersion_is_a_poisson() -> None:
    output, y = 1 + randn(3, 50, 1), counts(50, 1)
    torch.testing.assert_close(
        NegativeBinomial(2e-6).log_prob(output, y), Poisson().log_prob(output, y), rtol=1e-3, atol=1e-3
    )


def test_each_member_and_output_may_have_its_own_dispersion() -> None:
    likelihood = NegativeBinomial(members=3, outputs=2).double()
    values = torch.tensor([[0.1, 1.0], [0.5, 2.0], [3.0, 0.2]], dtype=torch.float64)
    likelihood.excess.begin_at(values)
    output, y = randn(3, 5, 2), counts(5, 2)
    mean = output.exp().numpy()
    dispersion = values[:, None].numpy()
    expected = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).logpmf(y.numpy()).sum(-1)
    np.testing.assert_allclose(likelihood.log_prob(output, y).detach().numpy(), expected)
    own = likelihood.distribution(output[:2], torch.tensor([2, 1]))
    torch.testing.assert_close(1 / own.total_count, values[[2, 1]][:, None].expand(2, 5, 2))
    assert NegativeBinomial(**likelihood.arguments()).dispersion.shape == (3, 2)


def test_learned_dispersion_starts_at_half_that_of_the_targets_once() -> None:
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.negative_binomial(1 / 0.5, 1 / (1 + 0.5 * 10), size=(100_000, 1)))  # mean 10, dispersion ½
    likelihood = NegativeBinomial()
    likelihood.initialise(y)
    assert float(likelihood.dispersion.detach()) == pytest.approx(0.25, rel=0.05)
    likelihood.initialise(y * 100)
    assert float(likelihood.dispersion.detach()) == pytest.approx(0.25, rel=0.05)
    few = NegativeBinomial()
    few.initialise(torch.tensor([[3.0], [3.0]]))  # varies less than a Poisson
    assert 0 < float(few.dispersion.detach()) < 0.1


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()])
@pytest.mark.parametrize("y", [torch.tensor([1.0, 0.5]), torch.tensor([2.0, -1.0]), torch.tensor([1, -1])])
def test_what_is_not_a_count(likelihood: Likelihood, y: Tensor) -> None:
    with pytest.raises(ValueError, match="targets must be whole numbers from 0 on, got"):
        likelihood.check_targets(y)
    likelihood.check_targets(torch.tensor([0.0, 3.0]))


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial(0.5)])
def test_shapes_are_never_broadcast(likelihood: Likelihood) -> None:
    with pytest.raises(ValueError, match=r"reshape the targets to \(5, 1\)"):
        likelihood.log_prob(randn(2, 5, 1), counts(5))


def test_a_dispersion_that_makes_no_sense() -> None:
    for dispersion in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="dispersion must be"):
            NegativeBinomial(dispersion)


@pytest.mark.parametrize("posterior", [yu.posteriors.MeanField(0.01), yu.posteriors.Anchored(seed=0)])
def test_a_rate_is_recovered(posterior: yu.posteriors.Posterior) -> None:
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.uniform(-1, 1, (1000, 1)), dtype=torch.float32)
    rate = np.exp(1.5 + 0.8 * x.numpy())
    for likelihood, y in (
        (Poisson(), rng.poisson(rate)),
        (NegativeBinomial(), rng.negative_binomial(2.0, 1 / (1 + 0.5 * rate))),
    ):
        bnn = yu.bayesianize(nn.Linear(1, 1), likelihood=likelihood, posterior=posterior, members=2, seed=0)
        yu.fit(bnn, (x, y), epochs=200, batch_size=1000, lr=0.05, seed=0)
        slope, bias = (float(part.detach().mean()) for part in bnn.q().mean)
        # standard errors by the Fisher information, 1/√Σ mean/(1 + dispersion · mean) x²: 0.03 and 0.045
        assert abs(slope - 0.8) < 0.15
        assert abs(bias - 1.5) < 0.1
        if isinstance(bnn.likelihood, NegativeBinomial):
            assert float(bnn.likelihood.dispersion.detach()) == pytest.approx(0.5, rel=0.2)
