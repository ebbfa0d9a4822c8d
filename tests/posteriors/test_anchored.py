"""The regulariser and the members of an anchored network as one node, and target noise that is made once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import yuragi as yu
from yuragi.forms import Value
from yuragi.posteriors import Anchored
from yuragi.posteriors.anchored import AnchoredDistribution
from yuragi.priors import FanIn, Normal, PerLayer, PerWeight, Prior


def network(prior: Prior, members: int) -> yu.Bayesian:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1, bias=False), nn.Linear(1, 1)).double()
    return yu.bayesianize(net, prior=prior, posterior=Anchored(seed=1), members=members, seed=0)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    "prior",
    [
        FanIn(gain=2.0),
        Normal(scale=0.3),
        PerLayer({"3": Normal(scale=0.1), "0": FanIn(gain=0.7)}, default=Normal(scale=5.0)),
    ],
)
def test_one_node_has_the_values_and_derivatives_of_the_sum_written_out(prior: Prior, members: int) -> None:
    bnn = network(prior, members)
    q = bnn.q()
    assert isinstance(q, AnchoredDistribution)
    make = q.joint(bnn.prior)
    assert make is not None
    with torch.no_grad():
        for mean in q.means:
            mean.add_(torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)))
    of_distance, values = make(Value, None)
    distance = of_distance()
    torch.testing.assert_close(list(values), [mean.detach() for mean in q.means])
    scales = {
        "FanIn": [2 / 2**0.5, 1, 2 / 3**0.5, 2, 1],
        "Normal": [0.3] * 5,
        "PerLayer": [0.7 / 2**0.5, 1, 5, 0.1, 0.1],
    }[type(prior).__name__]
    expected = torch.stack(
        [
            ((mean - anchor) ** 2).reshape(members, -1).sum(1) / (2 * scale**2)
            for mean, anchor, scale in zip(q.mean, q.anchors, scales, strict=True)
        ]
    ).sum(0)
    torch.testing.assert_close(distance, expected)
    torch.testing.assert_close(distance, q.kl(bnn.prior))
    weight = torch.rand(members, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for uses_values, uses_distance in ((True, True), (False, True), (True, False)):
        loss, other = torch.zeros(()).double(), torch.zeros(()).double()
        if uses_values:
            loss = sum((value**3).sum() for value in values[:-1]) + loss  # a pass need not use every weight
            other = sum((mean**3).sum() for mean in q.means[:-1]) + other
        if uses_distance:
            loss, other = loss + (weight * distance).sum(), other + (weight * expected).sum()
        found, wanted = (
            torch.autograd.grad(one, q.means, create_graph=True, materialize_grads=True) for one in (loss, other)
        )
        torch.testing.assert_close(found, wanted)
        if uses_distance:
            again, wanted_again = (
                torch.autograd.grad(torch.stack([(g**2).sum() for g in grads]).sum(), q.means, retain_graph=True)
                for grads in (found, wanted)
            )
            torch.testing.assert_close(again, wanted_again)


def test_scales_that_differ_within_a_tensor_take_the_sum_itself() -> None:
    bnn = network(PerLayer({"0": PerWeight()}), 2)
    assert bnn.q().joint(bnn.prior) is None
    assert float(bnn.kl().detach()) == 0.0  # at the anchors
    assert network(PerWeight(), 1).q().joint(network(PerWeight(), 1).prior) is None


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.parametrize("members", [1, 2])
def test_a_lookup_that_bounds_the_norm_of_its_rows_trains(members: int) -> None:
    net = nn.Sequential(nn.Embedding(5, 4, max_norm=1.0), nn.Flatten(), nn.Linear(8, 1))
    bnn = yu.bayesianize(net, posterior=Anchored(), likelihood=yu.Gaussian(0.1), members=members, seed=0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 5, (40, 2), generator=generator)
    history = yu.fit(bnn, (x, x.sum(1, keepdim=True) / 4.0), epochs=150, seed=0)
    assert history.log_likelihood[-1] > history.log_likelihood[0]
    assert float(bnn.q().mean[0].detach().norm(dim=2).max()) < 1.0 + 0.1  # what the last step may have added


def test_kept_noise_is_the_same_and_is_not_kept_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = Anchored(seed=3)
    index = torch.tensor([4, 0, 9, 9])
    for shape in (torch.Size([2, 4, 1]), torch.Size([2, 4, 3]), torch.Size([5, 4])):
        fresh = posterior.target_noise(index, shape)
        with posterior.keeping_noise(10):
            assert torch.equal(posterior.target_noise(index, shape), fresh)
            assert torch.equal(posterior.target_noise(index, shape), fresh)
        beyond = torch.tensor([1000])
        assert posterior.target_noise(beyond, torch.Size([2, 1])).shape == (2, 1)
    monkeypatch.setattr("yuragi.posteriors.anchored._KEPT", 20)
    with posterior.keeping_noise(10):  # more than that: made anew
        assert torch.equal(posterior.target_noise(index, shape), fresh)
        assert posterior._kept is None
