"""KL and draw as one node: values, gradients and second derivatives are those of the operations one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi.estimators import Estimator
from yuragi.forms import Form, Noise, Value, Variance
from yuragi.posteriors import MeanField
from yuragi.posteriors.joint import kl_and_form
from yuragi.priors import FanIn, Laplace, Normal, PerLayer, Pretrained, Prior

FORMS: list[type[Form]] = [Value, Noise, Variance]


def parts(members: int) -> tuple[Tensor, Tensor, list[Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(members)
    leading = () if members == 1 else (members,)
    means = [torch.randn(*leading, *shape, generator=generator).double() for shape in ((3, 2), (4,))]
    rho, unit = torch.randn(2, members, 10, generator=generator).double()
    loc, scale = torch.randn(1, 10, generator=generator).double(), torch.rand(members, 10, generator=generator).double()
    return rho.requires_grad_(), unit, [mean.requires_grad_() for mean in means], loc, scale + 0.5


def one_by_one(
    form: type[Form], rho: Tensor, unit: Tensor, loc: Tensor, scale: Tensor, means: Sequence[Tensor]
) -> list[Tensor]:
    members = len(rho)
    mu = torch.cat([mean.reshape(members, -1) for mean in means], 1)
    sigma = F.softplus(rho)
    q, p = torch.distributions.Normal(mu, sigma), torch.distributions.Normal(loc, scale)
    flat = {Value: mu + sigma * unit, Noise: sigma * unit, Variance: sigma**2}[form]
    ends = [mean.numel() // members for mean in means]
    cut = [part.reshape(mean.shape) for part, mean in zip(flat.split(ends, 1), means, strict=True)]
    return [torch.distributions.kl_divergence(q, p).sum(1), *cut]


def flat(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return loc, 1 / scale**2, scale.log().sum(1)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_the_operations_one_by_one(form: type[Form], members: int) -> None:
    rho, unit, means, loc, scale = parts(members)
    kl, values = kl_and_form(form, rho, unit, flat(loc, scale), means)
    expected = one_by_one(form, rho, unit, loc, scale, means)
    torch.testing.assert_close([kl, *values], expected)
    weights = [torch.randn_like(one) for one in expected]
    for used in ([0, 1, 2], [0], [1, 2], [2]):  # a pass need not use every weight
        loss = torch.stack([(weights[i] * [kl, *values][i]).sum() for i in used]).sum()
        other = torch.stack([(weights[i] * expected[i]).sum() for i in used]).sum()
        found = torch.autograd.grad(loss, [rho, *means], retain_graph=True, materialize_grads=True)
        wanted = torch.autograd.grad(other, [rho, *means], retain_graph=True, materialize_grads=True)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_it_can_be_differentiated_twice(form: type[Form]) -> None:
    rho, unit, means, loc, scale = parts(2)

    def all_of(rho: Tensor, *means: Tensor) -> tuple[Tensor, ...]:
        kl, values = kl_and_form(form, rho, unit, flat(loc, scale), means)
        return kl, *values

    assert torch.autograd.gradcheck(all_of, (rho, *means))
    assert torch.autograd.gradgradcheck(all_of, (rho, *means))


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)


@pytest.mark.parametrize("prior", [FanIn(), Normal(0.3, 0.5), Pretrained()], ids=repr)
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
def test_a_step_is_kl_and_a_pass(prior: Prior, members: int, estimator: Estimator) -> None:
    parts: dict[str, Any] = {"prior": prior, "likelihood": yu.Gaussian(0.1)}
    bnn = yu.bayesianize(network(), **parts, estimator=estimator, members=members, seed=0)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    assert bnn.q().joint(bnn.prior) is not None
    kl, output = bnn.step(bnn.prior, (x,), {}, torch.Generator().manual_seed(2))
    torch.testing.assert_close(kl, bnn.q().kl(bnn.prior))
    passed = bnn.run(bnn.q(), (x,), {}, torch.Generator().manual_seed(2))
    torch.testing.assert_close(output, passed if members > 1 else passed.unsqueeze(0))


def test_the_prior_may_change_between_steps() -> None:
    bnn = yu.bayesianize(network(), prior=Normal(0.0, 1.0), likelihood=yu.Gaussian(0.1), seed=0)
    x = torch.zeros(5, 2)
    assert isinstance(bnn.prior, Normal)
    bnn.step(bnn.prior, (x,), {}, None)
    bnn.prior.scale.mul_(2)  # in place, as load_state_dict does
    torch.testing.assert_close(bnn.step(bnn.prior, (x,), {}, None)[0], bnn.q().kl(bnn.prior))
    bnn.prior.loc = bnn.prior.loc + 1
    torch.testing.assert_close(bnn.step(bnn.prior, (x,), {}, None)[0], bnn.q().kl(bnn.prior))


@pytest.mark.parametrize(
    ("prior", "dtype"),
    [
        (Laplace(), torch.float32),
        (PerLayer({"0": Normal()}), torch.float32),
        (Normal(learn=True), torch.float32),
        (Normal(), torch.bfloat16),
    ],
    ids=repr,
)
def test_where_there_is_no_such_node_a_step_is_made_of_two(prior: Prior, dtype: torch.dtype) -> None:
    bnn = yu.bayesianize(network(dtype), prior=prior, posterior=MeanField(), likelihood=yu.Gaussian(0.1), seed=0)
    bnn.train()
    assert bnn.q().joint(bnn.prior) is None
    kl, output = bnn.step(bnn.prior, (torch.zeros(5, 2, dtype=dtype),), {}, None)
    assert (kl.shape, output.shape) == ((1,), (1, 5, 1))
