"""Student-t noise against `torch.distributions`, and what it is for: outliers."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.distributions import StudentT as StudentTDistribution

import yuragi as yu
from yuragi.likelihoods import Gaussian, HeteroscedasticStudentT, StudentT

ONE = torch.ones(1, 1, dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("out", [(), (1,), (2,)])
@pytest.mark.parametrize("df", [torch.tensor([2.5]), torch.tensor([2.5, 4.0, 30.0])], ids=["one", "per member"])
def test_log_prob_is_that_of_torch(df: Tensor, out: tuple[int, ...]) -> None:
    output, y = randn(3, 5, *out), 5 * randn(5, *out, seed=1)
    expected = StudentTDistribution(df.double().reshape(-1, *[1] * (1 + len(out))), output, 0.3)
    likelihood = StudentT(df=df, noise=0.3).double()
    terms = expected.log_prob(y)
    torch.testing.assert_close(
        likelihood.log_prob(output, y), terms.flatten(2).sum(2) if out else terms, rtol=1e-6, atol=1e-6
    )
    member = torch.tensor([2, 0, 1])
    own = likelihood.distribution(output, member)
    if len(df) > 1:
        torch.testing.assert_close(own.df.flatten(1)[:, 0], df.double()[member])
    torch.testing.assert_close(own.loc, output)


def test_the_network_may_give_the_scale() -> None:
    output, y = randn(3, 5, 4), randn(5, 2, seed=1)
    expected = StudentTDistribution(5.0, output[..., :2], 1e-3 + torch.nn.functional.softplus(output[..., 2:]))
    likelihood = HeteroscedasticStudentT(df=5.0).double()
    torch.testing.assert_close(likelihood.log_prob(output, y), expected.log_prob(y).sum(-1))
    torch.testing.assert_close(likelihood.distribution(output, torch.zeros(3).long()).stddev, expected.stddev)
    assert HeteroscedasticStudentT(**likelihood.arguments()).arguments() == {"df": 5.0}


def test_many_degrees_of_freedom_are_a_gaussian() -> None:
    output, y = randn(3, 5, 1).float(), randn(5, 1, seed=1).float()
    torch.testing.assert_close(
        StudentT(df=1e7, noise=0.5).log_prob(output, y), Gaussian(0.5).log_prob(output, y), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("df", [2.0, 1.0, 0.0, -1.0, math.nan, math.inf, torch.tensor([3.0, 2.0])])
def test_an_infinite_variance_is_refused(df: float | Tensor) -> None:
    with pytest.raises(ValueError, match="df must be greater than 2 and finite"):
        StudentT(df=df)


def test_learned_degrees_of_freedom_stay_above_2() -> None:
    likelihood = StudentT()
    with torch.no_grad():
        likelihood.tail.raw.fill_(-8.0)
    assert float(likelihood.df.detach()) > 2
    assert likelihood.arguments() == {"df": "learned", "noise": "learned"}
    each = StudentT(members=3, outputs=2)
    assert (each.df.shape, each.noise.shape) == ((3, 1), (3, 2))
    assert each.arguments() == {"df": "learned", "noise": "learned", "outputs": 2, "members": 3}
    assert StudentT(df=4.0, members=3).noise.shape == (3, 1)
    assert StudentT(noise=0.1, members=3).df.shape == (3, 1)
    with pytest.raises(ValueError, match="members= goes with"):
        StudentT(df=4.0, noise=0.1, members=3)


def test_anchored_targets_get_gaussian_noise_of_the_scale() -> None:
    likelihood = StudentT(df=4.0).double()
    likelihood.scale.begin_at(torch.tensor(0.7))
    output, y, unit = randn(4, 6, 2).requires_grad_(), randn(6, 2, seed=1), randn(4, 6, 2, seed=2)
    value = likelihood.randomised_log_prob(output, y, unit, ONE)
    by_output, by_scale = torch.autograd.grad(value.sum(), (output, likelihood.scale.raw))
    noised = StudentTDistribution(4.0, output, 0.7).log_prob(y + 0.7 * unit).sum(-1)
    torch.testing.assert_close(value, noised, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(by_output, torch.autograd.grad(noised.sum(), output)[0], rtol=1e-5, atol=1e-5)
    clean = likelihood.log_prob(output.detach(), y).sum()
    torch.testing.assert_close(by_scale, torch.autograd.grad(clean, likelihood.scale.raw)[0])


def outliers() -> tuple[Tensor, Tensor]:
    x = torch.linspace(-1, 1, 200).reshape(-1, 1)
    y = 2 * x + 0.1 * randn(200, 1).float()
    y[-20:] -= 8  # one in ten, at the end where they pull most
    return x, y


@pytest.mark.parametrize("posterior", [yu.posteriors.MeanField(0.01), yu.posteriors.Anchored(seed=0)])
def test_a_slope_is_recovered_under_outliers_where_a_gaussian_does_not(posterior: yu.posteriors.Posterior) -> None:
    slopes = {}
    for likelihood in (Gaussian(), StudentT()):
        bnn = yu.bayesianize(nn.Linear(1, 1), likelihood=likelihood, posterior=posterior, members=4, seed=0)
        yu.fit(bnn, outliers(), epochs=300, batch_size=200, lr=0.05, seed=0)
        slopes[type(likelihood)] = float(bnn.q().mean[0].detach().mean())
    assert abs(slopes[StudentT] - 2) < 0.1
    assert abs(slopes[Gaussian] - 2) > 1


@pytest.mark.slow
def test_anchored_members_of_a_linear_problem_are_spread_as_the_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 1, generator=generator)
    y = x + 0.5 * _t(400, 4.0)
    bnn = yu.bayesianize(
        nn.Linear(1, 1),
        likelihood=StudentT(df=4.0, noise=0.5),
        prior=yu.priors.Normal(scale=2.0),
        posterior=yu.posteriors.Anchored(seed=1),
        members=300,
        seed=1,
    )
    yu.fit(bnn, (x, y), epochs=600, batch_size=400, lr=0.05, seed=0)
    slope, bias = (part.detach().flatten() for part in bnn.q().mean)
    # the exact posterior, on a grid
    grid_slope = torch.linspace(0.6, 1.4, 161, dtype=torch.float64)
    grid_bias = torch.linspace(-0.4, 0.4, 161, dtype=torch.float64)
    mean = grid_slope[:, None, None] * x[:, 0].double() + grid_bias[:, None]
    log = StudentTDistribution(4.0, mean, 0.5).log_prob(y[:, 0].double()).sum(-1)
    log = log + Normal(0.0, 2.0).log_prob(grid_slope)[:, None] + Normal(0.0, 2.0).log_prob(grid_bias)
    weight = (log - log.logsumexp((0, 1))).exp()
    for member, grid, axis in ((slope, grid_slope, 1), (bias, grid_bias, 0)):
        marginal = weight.sum(axis)
        centre = float((marginal * grid).sum())
        std = math.sqrt(float((marginal * (grid - centre).square()).sum()))
        assert abs(float(member.mean()) - centre) < 0.25 * std
        assert (
            abs(float(member.std()) / std - 1) < 3.5 * (1 / 600) ** 0.5 + 0.02
        )  # 300 members, and their 1.02 in variance


def _t(rows: int, df: float) -> Tensor:
    # a normal over the root of a mean square of df normals
    chi = randn(int(df), rows, seed=5).square().mean(0).sqrt()
    return (randn(rows, seed=6) / chi).float().reshape(-1, 1)
