"""Every prior: its density, draws, and KL, by integration, by Monte Carlo, and in its limits."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import Normal as TorchNormal

import yuragi as yu
from yuragi.priors import FanIn, Laplace, Multivariate, Normal, PerLayer, PerWeight, Pretrained, Prior, ScaleMixture
from yuragi.priors.prior import LocationScale
from yuragi.weights import select_weights

K = 2


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)).double()


def mixture() -> Distribution:
    parts = TorchNormal(torch.zeros(2).double(), torch.tensor([1.5, 0.1]).double())
    return MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7]).double()), parts)


# prior -> (how torch writes its density for a weight of the network, by name)
PRIORS: dict[str, tuple[Prior, Callable[[str, Tensor], Distribution]]] = {
    "normal": (Normal(0.3, 0.7), lambda name, w: TorchNormal(0.3, 0.7)),
    "fan-in": (
        FanIn(2.0),
        lambda name, w: TorchNormal(float(name == "1.weight"), 2 / 2**0.5 if name == "0.weight" else 1.0),
    ),
    "pretrained": (Pretrained(0.2), lambda name, w: TorchNormal(w, 0.2)),
    "laplace": (Laplace(-0.2, 0.4), lambda name, w: TorchLaplace(-0.2, 0.4)),
    "scale mixture": (ScaleMixture(0.3, 1.5, 0.1), lambda name, w: mixture()),
    "per layer": (
        PerLayer({"*.bias": Laplace(scale=0.5), "1": Normal(scale=3.0)}, default=Normal(scale=0.9)),
        lambda name, w: (
            TorchLaplace(0.0, 0.5) if name.endswith("bias") else TorchNormal(0.0, 3.0 if name[0] == "1" else 0.9)
        ),
    ),
    # before they have become anything else: tests/priors/test_becoming.py
    "per weight": (PerWeight(), lambda name, w: TorchNormal(0.0, 1.0)),
    "multivariate": (Multivariate(), lambda name, w: TorchNormal(0.0, 1.0)),
}


def ready(name: str, members: int = K) -> tuple[Prior, nn.Module]:
    net, prior = network(), copy.deepcopy(PRIORS[name][0])
    prior.setup(select_weights(net)[0], members)
    return prior, net


def posterior(net: nn.Module, spread: float = 0.5) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    means = [torch.randn(K, *p.shape, generator=generator, dtype=torch.float64) for p in net.parameters()]
    total = sum(p.numel() for p in net.parameters())
    sigma = spread * (0.1 + torch.rand(K, total, generator=generator, dtype=torch.float64))
    return [mean.requires_grad_() for mean in means], sigma.requires_grad_()


def integrated(name: str, net: nn.Module, means: list[Tensor], sigma: Tensor) -> Tensor:
    """Σ ∫ q log(q/p) by the midpoint rule over ± 9 σ."""
    nodes = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    totals = torch.zeros(K, dtype=torch.float64)
    sigmas = sigma.split([p.numel() for p in net.parameters()], 1)
    for (own, parameter), mean, std in zip(net.named_parameters(), means, sigmas, strict=True):
        w = mean.reshape(K, -1, 1) + std.unsqueeze(2) * nodes
        density = TorchNormal(0.0, 1.0).log_prob(nodes) - std.unsqueeze(2).log()
        p = PRIORS[name][1](own, parameter.detach().reshape(-1, 1)).log_prob(w)
        totals += ((density - p) * density.exp() * std.unsqueeze(2)).sum((1, 2)) * (nodes[1] - nodes[0])
    return totals


@pytest.mark.parametrize("name", PRIORS)
def test_log_prob_is_that_of_torch(name: str) -> None:
    prior, net = ready(name)
    w = torch.randn(K, sum(p.numel() for p in net.parameters()), dtype=torch.float64)
    columns = w.split([p.numel() for p in net.parameters()], 1)
    expected = sum(
        PRIORS[name][1](own, parameter.detach().flatten()).log_prob(column).sum(1)
        for (own, parameter), column in zip(net.named_parameters(), columns, strict=True)
    )
    torch.testing.assert_close(prior.log_prob(w), expected)


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("spread", [0.5, 0.01])
def test_kl_is_the_integral(name: str, spread: float) -> None:
    prior, net = ready(name)
    means, sigma = posterior(net, spread)
    expected = integrated(name, net, [mean.detach() for mean in means], sigma.detach())
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([prior.kl_from_normal(means, sigma, generator).detach() for _ in range(4000)])
    if name == "scale mixture":
        error = draws.std(0) / len(draws) ** 0.5
        assert ((draws.mean(0) - expected).abs() < 4 * error).all()
    else:  # a closed form has no noise
        torch.testing.assert_close(draws[0], expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(draws[0], draws[1])


@pytest.mark.parametrize("name", ["normal", "fan-in", "pretrained", "laplace"])
def test_monte_carlo_agrees_with_the_closed_form_and_so_does_its_gradient(name: str) -> None:
    prior, net = ready(name)
    means, sigma = posterior(net)
    closed = prior.kl_from_normal(means, sigma)
    exact = torch.autograd.grad(closed.sum(), [sigma, means[0]])
    generator = torch.Generator().manual_seed(0)
    draws, gradients = [], []
    for _ in range(3000):
        estimate = Prior.kl_from_normal(prior, means, sigma, generator)
        draws.append(estimate.detach())
        gradients.append(torch.autograd.grad(estimate.sum(), [sigma, means[0]]))
    stacked = torch.stack(draws)
    assert ((stacked.mean(0) - closed.detach()).abs() < 4 * stacked.std(0) / 3000**0.5).all()
    for one, other in zip(zip(*gradients, strict=True), exact, strict=True):
        sampled = torch.stack(one)
        # 0.005: two draws beyond zero in 3,000 turn the sign of |w|'s gradient where one would expect none
        assert ((sampled.mean(0) - other).abs() < 4.5 * sampled.std(0) / 3000**0.5 + 0.005).all()


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_density(name: str) -> None:
    prior, net = ready(name, members=4000)
    weights = select_weights(net)[0]
    before = torch.get_rng_state()
    draws = prior.sample(weights, 4000, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    for weight, draw in zip(weights, draws, strict=True):
        p = PRIORS[name][1](weight.name, weight.parameter.detach())
        mean, std = p.mean.double(), p.variance.double().sqrt()
        unit = (draw - mean) / std
        assert unit.mean(0).abs().max() < 5 / 4000**0.5
        assert (unit.std(0) - 1).abs().max() < 0.15
        if not isinstance(p, MixtureSameFamily):
            for quantile in (0.25, 0.75):
                level = p.icdf(torch.tensor(quantile).double())
                assert ((draw < level).double().mean(0) - quantile).abs().max() < 0.035


def test_laplace_has_a_finite_gradient_for_any_spread() -> None:
    prior = Laplace(scale=0.5)
    prior.setup(select_weights(nn.Linear(2, 1, bias=False))[0], 1)
    for scale in (1e-30, 1e-20, 1e-12, 1e-6, 1.0, 1e6):
        mean = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
        sigma = torch.full((1, 2), scale, requires_grad=True)
        kl = prior.kl_from_normal([mean], sigma)
        kl.backward()
        assert torch.isfinite(kl).all()
        assert mean.grad is not None
        assert sigma.grad is not None
        assert torch.isfinite(mean.grad).all()
        assert torch.isfinite(sigma.grad).all()
        if scale < 1e-3:
            torch.testing.assert_close(mean.grad[0, 0, 0], torch.tensor(2.0))  # d|w|/dw / 0.5


# -- empirical Bayes


@pytest.mark.parametrize(
    "prior", [Normal(scale=0.3, learn=True), FanIn(2.0, learn=True), Laplace(scale=0.3, learn=True)], ids=str
)
def test_the_learned_scale_minimises_the_kl(prior: LocationScale) -> None:
    net = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 30)).double()
    prior = copy.deepcopy(prior)
    prior.setup(select_weights(net)[0], K)
    before = prior.scale.clone()
    means, sigma = posterior(net)
    learned = prior.kl_from_normal(means, sigma)
    scale = prior.scale
    assert not torch.allclose(scale, before)
    prior.eval()  # from here on the scale stays as it is set
    for factor in (0.95, 1.05):
        prior.scale = factor * scale
        assert prior.kl_from_normal(means, sigma).mean() > learned.mean()
    prior.scale = scale
    torch.testing.assert_close(prior.kl_from_normal(means, sigma), learned)


def test_a_learned_scale_of_few_weights_stays_near_its_start() -> None:
    prior = Normal(scale=0.5, learn=True)
    prior.setup(select_weights(nn.Linear(1, 1, bias=False))[0], 1)
    prior.kl_from_normal([torch.zeros(1, 1, 1)], torch.full((1, 1), 1e-9))
    torch.testing.assert_close(prior.scale, torch.tensor([[0.5 / 2**0.5]]))


def test_a_fit_learns_the_scale_of_the_weights_and_keeps_it_in_the_state() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 60)
    y = x @ (3 * torch.randn(60, 1)) + 0.1 * torch.randn(400, 1)
    bnn = yu.bayesianize(
        nn.Linear(60, 1),
        prior=Normal(scale=0.1, learn=True),
        likelihood=yu.Gaussian(0.1),
        posterior=yu.posteriors.MeanField(0.005),
        estimator="local",
    )
    yu.fit(bnn, (x, y), epochs=1200, batch_size=400, lr=0.05, seed=0)
    assert 2.3 < float(bnn.state_dict()["prior.scale"][0, 0]) < 3.7
    yu.predict(bnn, x)
    held = bnn.state_dict()["prior.scale"].clone()
    bnn.eval()
    bnn.kl()
    assert torch.equal(bnn.state_dict()["prior.scale"], held)


# -- pretrained weights


def test_pretrained_starts_there_and_keeps_a_copy() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    trained = net.weight.detach().clone()
    with torch.no_grad():
        net.weight[0, 0] = trained[0, 0] = 0.0
    for members in (1, 3):
        bnn = yu.bayesianize(copy.deepcopy(net), prior=Pretrained(0.5, delta=0.2, floor=0.01), members=members)
        q = bnn.q()
        assert q.scales is not None
        torch.testing.assert_close(q.mean[0].detach(), trained.expand(members, 2, 3), rtol=0, atol=0)
        expected = (0.2 * trained.abs()).clamp_min(0.01).expand(members, 2, 3)
        torch.testing.assert_close(q.scales[0].detach(), expected, rtol=1e-5, atol=0)
        at_start = float(bnn.kl().detach())
        with torch.no_grad():
            for parameter in bnn.q().means:
                parameter.add_(1.0)
        # the prior has not moved along: eight weights, each one prior mean away by 1 at scale 0.5
        assert float(bnn.kl().detach()) == pytest.approx(at_start + 8 / (2 * 0.25), rel=1e-5)


def test_pretrained_is_a_prior_of_anchors_too() -> None:
    net = nn.Linear(30, 20)
    trained = net.weight.detach().clone()
    bnn = yu.bayesianize(
        net, prior=Pretrained(0.1), posterior=yu.posteriors.Anchored(), members=50, likelihood=yu.Gaussian(0.1), seed=0
    )
    off = bnn.q().mean[0].detach() - trained
    assert abs(float(off.mean())) < 0.005
    assert abs(float(off.std()) - 0.1) < 0.005


# -- per layer


def test_patterns_match_in_order_and_each_must_match() -> None:
    prior, _ = ready("per layer")
    assert isinstance(prior, PerLayer)
    assert prior.groups == [[1, 3], [2], [0]]
    with pytest.raises(ValueError, match=r"'7' matches no Bayesian weight .* 0.weight, 0.bias"):
        yu.bayesianize(network(), prior=PerLayer({"7": Normal()}))


def test_per_layer_starts_follow_their_parts() -> None:
    net = network()
    trained = net[0].weight.detach().clone()  # type: ignore[index]
    prior = PerLayer({"0.weight": Pretrained(delta=0.5, floor=1e-6)}, default=Normal())
    bnn = yu.bayesianize(net, prior=prior, posterior=yu.posteriors.MeanField(0.03), members=2, seed=0)
    q = bnn.q()
    assert q.scales is not None
    torch.testing.assert_close(q.mean[0].detach(), trained.expand(2, 3, 2), rtol=0, atol=0)
    torch.testing.assert_close(q.scales[0].detach(), 0.5 * trained.abs().expand(2, 3, 2))
    for scale in q.scales[1:]:
        torch.testing.assert_close(scale.detach(), torch.full_like(scale, 0.03))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Laplace(), "needs a Normal prior, got Laplace"),
        (ScaleMixture(), "needs a Normal prior, got ScaleMixture"),
        (PerLayer({"1": Laplace()}), "needs a Normal prior, got Laplace"),
        (Normal(learn=True), "cannot have learn=True"),
    ],
    ids=str,
)
def test_anchors_need_a_normal_prior(prior: Prior, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        yu.bayesianize(network(), prior=prior, posterior=yu.posteriors.Anchored())


def test_anchors_take_priors_per_layer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 40), nn.Linear(40, 1))
    prior = PerLayer({"0.weight": Normal(scale=3.0)}, default=Normal(scale=0.5))
    bnn = yu.bayesianize(net, prior=prior, posterior=yu.posteriors.Anchored(), members=8, likelihood=yu.Gaussian(0.1))
    assert abs(float(bnn.q().mean[0].detach().std()) - 3.0) < 0.15
    with torch.no_grad():
        bnn.means.get_parameter("0/weight").add_(1.0)
        bnn.means.get_parameter("1/bias").add_(1.0)
    assert float(bnn.kl().detach()) == pytest.approx(1200 / (2 * 9) + 1 / (2 * 0.25), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaleMixture(share=1.0), "share must lie strictly between 0 and 1, got 1.0"),
        (lambda: ScaleMixture(wide=0.1, narrow=0.2), "0 < narrow < wide, got 0.1 and 0.2"),
        (lambda: Laplace(scale=0.0), "prior scale must be positive"),
        (lambda: Laplace(mean=math.nan), "prior mean must be finite"),
        (lambda: Pretrained(delta=-1.0), "delta must be positive and finite, got -1.0"),
        (lambda: Pretrained(floor=0.0), "floor must be positive and finite, got 0.0"),
    ],
)
def test_bad_arguments(make: Callable[[], Prior], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
