"""Large networks weight by weight: the same distribution, KL and gradients as all weights at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi import spreads
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.posteriors import LargeMeanFieldDistribution, MeanFieldDistribution
from yuragi.spreads import OnDemand, Spreads

PASSES = 400


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.posteriors.mean_field.LARGE", 0)
    monkeypatch.setattr(spreads, "_CHUNK", 11)  # so that chunks end within and at the ends of weights


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.LayerNorm(5), nn.Tanh(), nn.Flatten(), nn.Linear(20, 1))
    return net.to(dtype)


def bayesian(members: int, **options: Any) -> yu.Bayesian:
    bnn = yu.bayesianize(network(), likelihood=yu.Gaussian(0.1), members=members, seed=0, **options)
    with torch.no_grad():
        rho = bnn.get_parameter("posterior.rho")
        rho.copy_(torch.linspace(-6, 2, rho.numel()).view_as(rho))
    return bnn


def gradients(loss: Tensor, bnn: yu.Bayesian) -> list[Tensor]:
    wanted = [parameter for parameter in bnn.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("prior", [yu.priors.Normal(0.3, 0.7), yu.priors.FanIn(1.5)], ids=["Normal", "FanIn"])
def test_kl_and_its_gradient(members: int, prior: yu.priors.Normal) -> None:
    bnn = bayesian(members, prior=prior)
    q = bnn.q()
    assert isinstance(q, LargeMeanFieldDistribution)
    assert isinstance(bnn.prior, yu.priors.Normal)
    total = torch.zeros((), dtype=torch.float64)
    for weight, mean, scale in zip(bnn.weights, q.mean, q.scales or (), strict=True):
        p = torch.distributions.Normal(*bnn.prior.loc_and_scale(weight))
        total = total + torch.distributions.kl_divergence(torch.distributions.Normal(mean, scale), p).sum() / members
    torch.testing.assert_close(bnn.kl(), total)
    for got, expected in zip(gradients(bnn.kl(), bnn), gradients(total, bnn), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    "prior", [yu.priors.Pretrained(0.4), yu.priors.FanIn(learn=True)], ids=["around every weight", "learned"]
)
def test_kl_from_priors_that_need_all_weights_at_once(members: int, prior: yu.priors.Normal) -> None:
    bnn = bayesian(members, prior=prior)
    assert isinstance(bnn.prior, yu.priors.Normal)
    before = bnn.prior.scale
    kl = bnn.kl()
    assert torch.equal(bnn.prior.scale, before) is not prior.learn
    q = bnn.q()
    assert isinstance(q, LargeMeanFieldDistribution)
    loc, scale = (bnn.prior.along(columns, q.sigma) for columns in (bnn.prior.loc, bnn.prior.scale))
    means = torch.cat([mean.flatten(1) for mean in q.mean], 1)
    normals = torch.distributions.Normal(means, q.sigma), torch.distributions.Normal(loc, scale)
    expected = torch.distributions.kl_divergence(*normals).sum() / members
    torch.testing.assert_close(kl, expected)
    for got, wanted in zip(gradients(kl, bnn), gradients(expected, bnn), strict=True):
        torch.testing.assert_close(got, wanted)


def test_kl_without_a_closed_form_is_that_of_the_draw() -> None:
    bnn = bayesian(2, prior=yu.priors.ScaleMixture())
    q = bnn.q()
    assert isinstance(q, LargeMeanFieldDistribution)
    unit = torch.empty_like(q.sigma).normal_(generator=torch.Generator().manual_seed(2))
    w = torch.cat([mean.flatten(1) for mean in q.mean], 1) + q.sigma * unit
    log_q = torch.distributions.Normal(w - q.sigma * unit, q.sigma).log_prob(w).sum(1)
    expected = log_q - bnn.prior.log_prob(w)
    torch.testing.assert_close(q.kl(bnn.prior, torch.Generator().manual_seed(2)), expected)


def test_function_transforms_see_all_weights_at_once() -> None:
    bnn = bayesian(1, estimator="shared")
    x = torch.randn(3, 2, 7, dtype=torch.float64)
    parameters: dict[str, Tensor] = dict(bnn.named_parameters())

    def output(values: dict[str, Tensor]) -> Tensor:
        with bnn.seeded(1):
            return torch.func.functional_call(bnn, values, (x,)).sum()  # type: ignore[no-any-return]

    by_transform = torch.func.grad(output)(parameters)
    rho = bnn.get_parameter("posterior.rho")
    units = torch.empty_like(rho).normal_(generator=torch.Generator().manual_seed(1))
    sigma = F.softplus(rho)
    values = {}
    for weight, part in zip(bnn.weights, (sigma * units).split([w.numel for w in bnn.weights], 1), strict=True):
        values[weight.name] = weight.parameter + part.reshape(weight.shape)
    torch.func.functional_call(bnn.module, values, (x,)).sum().backward()
    torch.testing.assert_close(by_transform["posterior.rho"], rho.grad)


def test_small_spreads_of_a_half_precision_network_have_a_variance() -> None:
    bnn = yu.bayesianize(network(torch.float16), posterior=yu.posteriors.MeanField(1e-5), estimator="local")
    variances = bnn.q().variances()
    assert variances is not None
    for one in variances:
        torch.testing.assert_close(one, torch.full_like(one, 1e-10), rtol=1e-3, atol=0)


@pytest.mark.parametrize("members", [1, 3])
def test_noise_and_spreads_and_their_gradients(members: int) -> None:
    bnn = bayesian(members)
    rho = bnn.get_parameter("posterior.rho")
    q = bnn.q()
    factors = [torch.randn_like(mean) for mean in q.means for _ in range(3)]
    noise = q.noise(torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    units = [torch.empty_like(mean).normal_(generator=generator).detach() for mean in q.means]
    variances, sigmas = q.variances(), q.spreads()
    assert noise is not None
    assert variances is not None
    assert sigmas is not None
    expected_sigmas = [
        part.reshape(mean.shape)
        for part, mean in zip(
            F.softplus(rho).split([mean.numel() // members for mean in q.means], 1), q.means, strict=True
        )
    ]
    got: list[Tensor] = []
    expected: list[Tensor] = []
    for i, sigma in enumerate(expected_sigmas):
        got += [noise[i], sigmas[i], variances[i]]
        expected += [sigma * units[i], sigma, sigma.square()]
    weighted = [sum((one * f).sum() for one, f in zip(side, factors, strict=True)) for side in (got, expected)]
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)
    for retain in (True, False):  # twice through the same graph
        (by_pieces,) = torch.autograd.grad(weighted[0], rho, retain_graph=retain)  # type: ignore[arg-type]
        (by_autograd,) = torch.autograd.grad(weighted[1], rho, retain_graph=retain)  # type: ignore[arg-type]
        torch.testing.assert_close(by_pieces, by_autograd)


def test_a_weight_that_is_not_used_has_no_gradient_and_the_others_have_theirs() -> None:
    bnn = bayesian(1)
    noise = bnn.q().noise()
    assert noise is not None
    noise[1].sum().backward()
    grad = bnn.get_parameter("posterior.rho").grad
    assert grad is not None
    start = bnn.weights[0].numel
    used = slice(start, start + bnn.weights[1].numel)
    assert (grad[:, used] != 0).all()
    assert grad.count_nonzero() == bnn.weights[1].numel


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("members", [1, 2])
def test_passes_have_the_moments_of_small_ones(
    estimator: Estimator, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bnn = bayesian(members, estimator=estimator)
    x = torch.randn(1, 2, 7, dtype=torch.float64).expand(2, 2, 7)
    passes = {}
    for large in (0, 10**9):
        monkeypatch.setattr("yuragi.posteriors.mean_field.LARGE", large)
        assert type(bnn.q()) is (MeanFieldDistribution if large else LargeMeanFieldDistribution)
        with torch.no_grad(), bnn.seeded(1):
            passes[large] = torch.stack([bnn(x) for _ in range(PASSES)]).flatten(-2)
    mean, std = (getattr(passes[10**9], name)(0) for name in ("mean", "std"))
    assert ((passes[0].mean(0) - mean).abs() < 5 * std * (2 / PASSES) ** 0.5).all()
    assert ((passes[0].std(0) / std - 1).abs() < 6 / PASSES**0.5).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("members", [1, 2])
def test_a_step_trains_every_parameter_and_a_draw_does_not_depend_on_how_many(
    estimator: Estimator, members: int
) -> None:
    bnn = bayesian(members, estimator=estimator)
    x, y = torch.randn(4, 2, 7, dtype=torch.float64), torch.randn(4, 1, dtype=torch.float64)
    bnn.loss(x, y, num_data=4).backward()
    for parameter in bnn.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert (parameter.grad != 0).float().mean() > 0.9
    few, many = bnn.draws(2, seed=0), copy.deepcopy(bnn).draws(5, seed=0)
    for name, value in few.items():
        assert torch.equal(value, many[name][:2])
        spread = bnn.draws(400, seed=1)[name][::members].std(0)
        sigma = dict(zip(bnn.weight_names, bnn.q().scales or (), strict=True))[name][0]
        assert ((spread / sigma - 1).abs() < 6 / (2 * 400 / members) ** 0.5).all()


def test_half_precision_networks_keep_spreads_in_single() -> None:
    bnn = yu.bayesianize(network(torch.bfloat16))
    noise = bnn.q().noise()
    assert noise is not None
    assert {part.dtype for part in noise} == {torch.bfloat16}
    bnn(torch.randn(3, 2, 7, dtype=torch.bfloat16)).sum().backward()
    assert bnn.get_parameter("posterior.rho").grad.dtype == torch.float32  # type: ignore[union-attr]


def test_on_demand_makes_each_once_and_only_when_asked_for() -> None:
    made: list[int] = []

    def make(index: int) -> Tensor:
        made.append(index)
        return torch.tensor(index)

    tensors = OnDemand(make, 3)
    assert (len(tensors), made) == (3, [])
    assert tensors[1] is tensors[1]
    assert made == [1]
    assert [int(one) for one in tensors[0:3:2]] == [0, 2]
    assert made == [1, 0, 2]


def test_a_spread_of_nearly_nothing_keeps_its_gradient() -> None:
    rho = torch.tensor([[-80.0, -20.0, 0.0, 90.0]], dtype=torch.float64, requires_grad=True)
    (sigma,) = Spreads(rho, [torch.zeros(4, dtype=torch.float64)]).sigma()
    sigma.sum().backward()
    torch.testing.assert_close(rho.grad, torch.sigmoid(rho.detach()), rtol=1e-12, atol=0)
