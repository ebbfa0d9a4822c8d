"""What a pass leaves behind in the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.estimators import Estimator
from yuragi.passes import Strategy


class Averaged(nn.Module):
    """Keeps a running mean of its output, in a buffer that each pass replaces or changes in place."""

    running: Tensor
    passes: Tensor

    def __init__(self, in_place: bool, recurrent: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.recurrent = nn.RNN(2, 2, batch_first=True) if recurrent else None
        self.in_place = in_place
        self.register_buffer("running", torch.zeros(2))
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        mean = out.detach().mean(0)
        if self.in_place:
            self.running.mul_(0.5).add_(0.5 * mean)
            self.passes.add_(1)
        else:
            self.running = 0.5 * self.running + 0.5 * mean
            self.passes = self.passes + 1
        if self.recurrent is not None:  # no rule for vmap, found out when the buffers have changed already
            out = self.recurrent(out.unsqueeze(1))[0].squeeze(1)
        return out


@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("in_place", [True, False])
def test_each_member_keeps_its_own_buffers(in_place: bool, recurrent: bool, estimator: Estimator) -> None:
    torch.manual_seed(0)
    posterior = yu.posteriors.MeanField(1e-7)
    bnn = yu.bayesianize(Averaged(in_place, recurrent), members=3, posterior=posterior, estimator=estimator)
    own = {id(buffer) for buffer in bnn.module.buffers()}
    expected = torch.zeros(3, 2)
    weight, bias = bnn.q().mean[:2]
    for number in range(1, 4):
        x = torch.randn(5, 3)
        bnn(x)
        out = torch.einsum("bi,koi->kbo", x, weight) + bias[:, None]
        expected = 0.5 * expected + 0.5 * out.mean(1).detach()
        torch.testing.assert_close(bnn.member_buffers.get_buffer("running"), expected, rtol=1e-4, atol=1e-5)
        # a count is the same for all, and so the network's own where that could be found out
        count = (bnn.member_buffers if recurrent else bnn.module).get_buffer("passes")
        assert count.unique().tolist() == [number]
        assert {id(buffer) for buffer in bnn.module.buffers()} == own
    assert not bnn.module.running.any()  # type: ignore[operator]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_frozen_part_and_a_bayesian_one_keep_their_buffers(in_place: bool, strategy: Strategy) -> None:
    torch.manual_seed(0)
    backbone, head = Averaged(in_place, False).requires_grad_(False), Averaged(in_place, False)
    head.layer = nn.Linear(2, 2)
    net = nn.Sequential(backbone, head)
    bnn = yu.bayesianize(net, members=3, posterior=yu.posteriors.MeanField(1e-7), estimator="shared")
    bnn._passes = strategy
    own = {id(buffer) for buffer in net.buffers()}
    weight, bias = bnn.q().mean
    expected = {"0": torch.zeros(2), "1": torch.zeros(3, 2)}
    for number in range(1, 4):
        x = torch.randn(5, 3)
        bnn(x)
        hidden = backbone.layer(x)
        out = torch.einsum("bi,koi->kbo", hidden, weight) + bias[:, None]
        for name, values in (("0", hidden.mean(0)), ("1", out.mean(1))):
            expected[name] = 0.5 * expected[name] + 0.5 * values.detach()
        for name, value in expected.items():
            apart = strategy is Strategy.LOOP or name == "1"
            running = bnn.member_buffers.get_buffer(f"{name}/running") if apart else net.get_buffer(f"{name}.running")
            torch.testing.assert_close(running, value.expand_as(running), rtol=1e-4, atol=1e-5)
            same = strategy is not Strategy.LOOP
            count = net.get_buffer(f"{name}.passes") if same else bnn.member_buffers.get_buffer(f"{name}/passes")
            assert count.unique().tolist() == [number]
        assert {id(buffer) for buffer in net.buffers()} == own
    assert bnn._passes is strategy


@pytest.mark.parametrize("members", [1, 3])
def test_predicting_leaves_no_vectorised_tensor_in_the_network(members: int) -> None:
    torch.manual_seed(0)
    bnn = yu.bayesianize(Averaged(False, False), members=members)
    x = torch.randn(5, 3)
    bnn(x)
    before = {name: (id(buffer), buffer.clone()) for name, buffer in bnn.named_buffers()}
    yu.predict(bnn, x, samples=6)
    for name, buffer in bnn.named_buffers():
        assert id(buffer) == before[name][0]
        assert torch.equal(buffer, before[name][1])
