"""Priors: the KL and its gradient against `torch.distributions`, scales for each layer and member, draws."""

import copy
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

import yuragi as yu
from yuragi.flat import split_like
from yuragi.priors import FanIn, Normal
from yuragi.priors.prior import spread_dtype
from yuragi.weights import Weight, select_weights

K = 3


def network() -> nn.Module:
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 3))
    net.register_parameter("scalar", nn.Parameter(torch.tensor(0.3)))
    return net


def posterior(weights: Sequence[Weight], dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    means = [torch.randn(K, *w.shape, generator=generator, dtype=dtype).requires_grad_() for w in weights]
    sigma = 10 ** (4 * torch.rand(K, sum(w.numel for w in weights), generator=generator, dtype=dtype) - 3)
    return means, sigma.requires_grad_()


def plain_kl(prior: Normal, weights: Sequence[Weight], means: list[Tensor], sigma: Tensor) -> Tensor:
    terms = []
    for weight, mean, std in zip(weights, means, split_like(sigma, means), strict=True):
        loc, scale = prior.loc_and_scale(weight)
        wide = torch.as_tensor(scale, dtype=mean.dtype).reshape(-1, *[1] * len(weight.shape)).expand_as(mean)
        q, p = TorchNormal(mean, std), TorchNormal(torch.as_tensor(loc, dtype=mean.dtype).expand_as(mean), wide)
        terms.append(kl_divergence(q, p).reshape(K, -1).sum(1))
    return torch.stack(terms, 1)


PRIORS = {
    "normal": Normal(mean=0.5, scale=0.7),
    "normal per member": Normal(scale=torch.tensor([0.1, 1.0, 10.0])),
    "fan-in": FanIn(gain=1.5),
    "fan-in per member": FanIn(gain=torch.tensor([0.5, 1.0, 4.0])),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_kl_is_the_sum_of_those_of_torch_and_so_is_its_gradient(name: str, dtype: torch.dtype, weighted: bool) -> None:
    prior, weights = copy.deepcopy(PRIORS[name]), select_weights(network().to(dtype))[0]
    prior.setup(weights, K)
    means, sigma = posterior(weights, dtype)
    by_tensor = plain_kl(prior, weights, means, sigma)
    generator = torch.Generator().manual_seed(1)
    counts = torch.rand(len(weights), generator=generator, dtype=dtype) if weighted else None
    numels = torch.tensor([weight.numel for weight in weights])
    kl = prior.kl_from_normal(means, sigma, counts=None if counts is None else counts.repeat_interleave(numels))
    expected = (by_tensor if counts is None else by_tensor * counts).sum(1)
    torch.testing.assert_close(kl, expected, rtol=1e-5, atol=0)
    each = torch.randn(kl.shape, generator=generator, dtype=dtype)
    ours = torch.autograd.grad((each * kl).sum(), [sigma, *means])
    theirs = torch.autograd.grad((each * expected).sum(), [sigma, *means])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-6)


@pytest.mark.parametrize("members", [1, K])
def test_kl_of_a_network_is_summed_over_weights_and_averaged_over_members(members: int) -> None:
    bnn = yu.bayesianize(network(), prior=Normal(scale=0.3), members=members, seed=0)
    q = bnn.q()
    assert q.scales is not None
    total = sum(
        kl_divergence(TorchNormal(mean, std), TorchNormal(torch.zeros_like(mean), 0.3)).sum()
        for mean, std in zip(q.mean, q.scales, strict=True)
    )
    torch.testing.assert_close(bnn.kl(), torch.as_tensor(total) / members, rtol=1e-5, atol=0)


def test_half_precision_means_get_a_float32_kl_and_gradients_of_their_own_dtype() -> None:
    weights = select_weights(nn.Linear(3, 2).bfloat16())[0]
    assert spread_dtype(weights) == torch.float32
    prior = FanIn()
    prior.setup(weights, K)
    means, sigma = posterior(weights)
    half = [mean.detach().bfloat16().requires_grad_() for mean in means]
    kl = prior.kl_from_normal(half, sigma)
    expected = plain_kl(prior, weights, [mean.detach().float() for mean in half], sigma)
    torch.testing.assert_close(kl, expected.sum(1), rtol=1e-5, atol=0)
    assert [grad.dtype for grad in torch.autograd.grad(kl.sum(), half)] == [torch.bfloat16] * 2


def test_fan_in_scales() -> None:
    weights = select_weights(nn.Sequential(nn.Conv1d(2, 4, 3), nn.LayerNorm(4), nn.Embedding(5, 4), nn.Linear(8, 3)))[0]
    prior = FanIn(gain=2.0)
    prior.setup(weights, 1)
    pairs = zip(*(columns.expand(1, len(weights))[0].tolist() for columns in (prior.loc, prior.scale)), strict=True)
    got = dict(zip([w.name for w in weights], pairs, strict=True))
    expected = {
        "0.weight": (0.0, 2 / math.sqrt(6)),
        "0.bias": (0.0, 1.0),
        "1.weight": (1.0, 1.0),
        "1.bias": (0.0, 1.0),
        "2.weight": (0.0, 1.0),
        "3.weight": (0.0, 2 / math.sqrt(8)),
        "3.bias": (0.0, 1.0),
    }
    assert got == {name: pytest.approx(pair, rel=1e-6) for name, pair in expected.items()}


@pytest.mark.parametrize("name", PRIORS)
def test_draws_have_the_mean_and_scale_of_the_prior(name: str) -> None:
    prior = copy.deepcopy(PRIORS[name])
    weights = select_weights(nn.Sequential(nn.Linear(400, 50), nn.BatchNorm1d(20_000)))[0]
    prior.setup(weights, K)
    draws = prior.sample(weights, K, torch.Generator().manual_seed(0))
    for weight, draw in zip(weights, draws, strict=True):
        assert draw.shape == (K, *weight.shape)
        loc, scale = prior.loc_and_scale(weight)
        unit = (draw.flatten(1) - loc) / torch.as_tensor(scale).expand(K)[:, None]
        error = 5 / math.sqrt(weight.numel)
        assert unit.mean(1).abs().max() < error
        assert (unit.std(1) - 1).abs().max() < error
        assert float(torch.corrcoef(unit)[0, 1].abs()) < error  # members do not share a draw


def test_draws_take_the_generator_and_leave_the_global_state() -> None:
    weights = select_weights(nn.Linear(4, 3))[0]
    prior = Normal()
    prior.setup(weights, K)
    before = torch.get_rng_state()
    first, second = (prior.sample(weights, K, torch.Generator().manual_seed(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(prior.sample(weights, K, None)[0], first[0])


def test_anchored_regulariser() -> None:
    weights = select_weights(network())[0]
    prior = FanIn(gain=torch.tensor([0.5, 1.0, 4.0]))
    prior.setup(weights, K)
    means, _ = posterior(weights)
    anchors = prior.sample(weights, K, torch.Generator().manual_seed(0))
    scales = [torch.as_tensor(prior.loc_and_scale(weight)[1]).expand(K) for weight in weights]
    expected = torch.zeros(K)
    for mean, anchor, scale in zip(means, anchors, scales, strict=True):
        for k in range(K):
            expected[k] += (mean[k] - anchor[k]).detach().square().sum() / (2 * scale[k] ** 2)
    torch.testing.assert_close(prior.squared_distance(means, anchors), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, torch.tensor([1.0, 0.0]), torch.ones(2, 2)])
@pytest.mark.parametrize(("kind", "argument"), [(Normal, "scale"), (FanIn, "gain")])
def test_scales_must_be_positive_and_finite(kind: Callable[..., Normal], argument: str, bad: float | Tensor) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be positive and finite"):
        kind(**{argument: bad})


@pytest.mark.parametrize("mean", [math.nan, math.inf])
def test_the_mean_must_be_finite(mean: float) -> None:
    with pytest.raises(ValueError, match="prior mean must be finite"):
        Normal(mean=mean)


@pytest.mark.parametrize("prior", [Normal(scale=torch.ones(2)), FanIn(gain=torch.ones(2))])
def test_a_scale_for_each_member_must_match_the_members(prior: Normal) -> None:
    with pytest.raises(ValueError, match="2 values for 3 members"):
        prior.setup(select_weights(nn.Linear(2, 1))[0], K)


@pytest.mark.parametrize("name", PRIORS)
def test_arguments_make_an_equal_prior(name: str) -> None:
    weights = select_weights(network())[0]
    prior = copy.deepcopy(PRIORS[name])
    kind: Callable[..., Normal] = type(prior)
    other = kind(**prior.arguments())
    for one in (prior, other):
        one.setup(weights, K)
    assert torch.equal(prior.scale, other.scale)
    assert torch.equal(prior.loc, other.loc)
