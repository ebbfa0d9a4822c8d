"""Partial Bayesian networks: what stays deterministic is computed once, however many members and draws there are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import yuragi as yu
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.passes import Strategy
from yuragi.weights import NORMS, everything_but

ROWS = 6


class Convolved(TorchDispatchMode):
    """Counts the numbers that convolutions compute; only the backbones here have any."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.numel += out.numel()
        return out


class Sequence(nn.Module):
    """An LSTM on the channels, which vmap cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x.unsqueeze(-1))[0][:, -1])  # type: ignore[no-any-return]


HEADS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(4, 1),
    "more than vmap runs": lambda: nn.Sequential(nn.Linear(4, 600), nn.ReLU(), nn.Linear(600, 400), nn.Linear(400, 1)),
    "LSTM": Sequence,
}


def network(head: str = "linear", *between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), *between, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return nn.Sequential(backbone.requires_grad_(False), HEADS[head]())


def partial(net: nn.Module, **options: Any) -> yu.Bayesian:
    return yu.bayesianize(net, likelihood=yu.Gaussian(0.1), posterior=yu.posteriors.MeanField(0.3), seed=0, **options)


X, Y = torch.randn(ROWS, 2, 7, 7), torch.randn(ROWS, 1)
ONCE = ROWS * 4 * 5 * 5  # numbers in the convolution's output


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("head", HEADS)
def test_a_training_step_runs_the_frozen_backbone_once(
    head: str, estimator: Estimator, members: int, training: bool
) -> None:
    net = network(head)
    alone = copy.deepcopy(net[0])
    bnn = partial(net, estimator=estimator, members=members)
    features = []
    net[0].register_forward_hook(lambda _, __, out: features.append(out))
    for part in (net[0], alone):
        part.train(training)
    for step in range(3):
        with Convolved() as convolved:
            loss = bnn.loss(X, Y, num_data=60)
        if step:  # the first one may find out what the network needs
            assert convolved.numel == ONCE
    loss.backward()
    for parameter in bnn.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
    assert not any(out.requires_grad for out in features)  # so autograd keeps nothing for the backbone
    # its running statistics are those of three passes, however many members and attempts there were, and not stacked
    for _ in range(3):
        alone(X)
    for name, buffer in alone.named_buffers():
        torch.testing.assert_close(net[0].get_buffer(name), buffer)
    assert not list(bnn.member_buffers.buffers())


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("head", HEADS)
def test_a_hundred_draws_run_the_backbone_once(head: str, members: int) -> None:
    bnn = partial(network(head), members=members)
    expected = yu.predict(bnn, X, samples=100)
    with Convolved() as convolved:
        got = yu.predict(bnn, X, samples=100)
    assert convolved.numel == ONCE
    assert torch.equal(got.samples, expected.samples)
    bnn._draws = Strategy.LOOP
    torch.testing.assert_close(got.samples, yu.predict(bnn, X, samples=100).samples, rtol=1e-4, atol=1e-5)
    assert got.samples.std(0).min() > 0


class Unrolled(nn.Module):
    """Writes in place, into views, lists and new tensors; draws random numbers; several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = network()[0], nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        h = self.backbone(x)
        z = F.dropout(self.head(h), 0.5)
        z[:, 0] *= 2
        z.view(-1).add_(1)
        noisy = h + torch.randn(h.shape)
        top = torch.cat([z, noisy]).max(0)
        parts = torch.stack([part.sum() for part in z.split(2, 1)])
        with torch.autocast("cpu", enabled=False):
            return {
                "out": z.sum(1, keepdim=True) + parts.mean(),
                "top": (top.values, top.indices),
                "h": h,
                "n": x.shape[0],
            }


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("make", [lambda: network("LSTM"), lambda: network("linear", nn.Dropout(0.5)), Unrolled])
def test_a_replay_is_the_loop(make: Callable[[], nn.Module], estimator: Estimator) -> None:
    results = []
    for strategy in (Strategy.REPLAY, Strategy.LOOP):
        torch.manual_seed(0)
        bnn = partial(make(), estimator=estimator, members=3)
        bnn.explore((X,), {})
        bnn._passes = strategy
        torch.manual_seed(1)
        with bnn.seeded(1):
            out = bnn(X)
        assert bnn._passes is strategy
        leaves = torch.utils._pytree.tree_leaves(out)
        made = [leaf.square().sum() for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        torch.stack(made).sum().backward()
        results.append(leaves + [p.grad for p in bnn.parameters() if p.requires_grad and p.grad is not None])
    assert len(results[0]) == len(results[1])
    for replayed, looped in zip(*results, strict=True):
        torch.testing.assert_close(replayed, looped)


def test_members_have_their_own_dropout_in_the_backbone() -> None:
    for head in ("linear", "LSTM"):
        net = network(head, nn.Dropout(0.5))
        bnn = partial(net, members=2)
        with torch.no_grad():
            for mean in bnn.means.parameters():
                mean.copy_(mean[:1].expand_as(mean))
        with bnn.at_mean():
            first, second = bnn(X)
            assert not torch.equal(first, second)
            bnn.eval()
            first, second = bnn(X)
            torch.testing.assert_close(first, second)


class Straight(torch.autograd.Function):
    """Rounds, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def branches(z: Tensor) -> Tensor:
    return z if z[0, 0] > 0 else -2 * z


def converts(z: Tensor) -> Tensor:
    return z * float(z.detach().mean())


def custom_gradient(z: Tensor) -> Tensor:
    return Straight.apply(3 * z)  # type: ignore[no-any-return, no-untyped-call]


def without_gradient(z: Tensor) -> Tensor:
    with torch.no_grad():
        scale = z.mean()
    return z * scale


def own_shape(z: Tensor) -> Tensor:
    return z[z > 0].sum().expand_as(z)


def into_a_new_tensor(z: Tensor) -> Tensor:
    out = torch.zeros(z.shape)
    out[:, 0] = z[:, 0]
    return out


def hooked(z: Tensor) -> Tensor:
    z = z * 1
    if z.requires_grad:
        z.register_hook(lambda grad: 2 * grad)
    return z


def swallows(z: Tensor) -> Tensor:
    try:
        return z * float(z.detach().mean())
    except Exception:
        return z


def written_later(z: Tensor) -> Tensor:
    shared = torch.ones(4)
    z = z + shared
    shared.mul_(3)
    return z + shared


def random_in_place(z: Tensor) -> Tensor:
    return z * torch.empty(4).uniform_(1, 2, generator=torch.Generator().manual_seed(3))


def through_numpy(z: Tensor) -> Tensor:
    return z + torch.from_numpy(z.detach().numpy()).abs()


@pytest.mark.parametrize(
    "function",
    [
        *(branches, converts, custom_gradient, without_gradient, own_shape, into_a_new_tensor, hooked, swallows),
        *(written_later, random_in_place, through_numpy),
    ],
)
def test_what_cannot_be_replayed_is_run_again(function: Callable[[Tensor], Tensor]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = network()[0], nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return function(self.head(self.backbone(x)))

    results = []
    for strategy in (Strategy.REPLAY, Strategy.LOOP):
        torch.manual_seed(0)
        bnn = partial(Net().eval(), members=4, estimator="shared")
        bnn._passes = bnn._draws = strategy
        with bnn.seeded(1):
            out = bnn(X)
        assert bnn._passes is Strategy.LOOP
        out.sum().backward()
        grads = [p.grad for p in bnn.parameters() if p.requires_grad and p.grad is not None]
        results.append([out, *grads, yu.predict(bnn, X, samples=8).samples])
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("strategy", [Strategy.VMAP, Strategy.REPLAY])
def test_running_statistics_behind_a_bayesian_layer_become_the_members_own(strategy: Strategy) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    bnn = partial(net, members=3, where="1", estimator="shared")
    bnn._passes = strategy
    x = torch.randn(50, 3)
    with torch.no_grad():
        for weight in bnn.means.parameters():
            weight.mul_(torch.tensor([1.0, 5.0, 10.0]).reshape(3, *[1] * (weight.dim() - 1)))
        for _ in range(60):
            with bnn.at_mean():
                bnn(x)
        assert bnn._passes is strategy
        assert set(dict(bnn.member_buffers.named_buffers())) == {"2/running_mean", "2/running_var"}
        normed = F.batch_norm(x, None, None, training=True)
        means = bnn.q().mean
        expected = torch.stack([normed @ means[0][k].T + means[1][k] for k in range(3)]).mean(1)
    torch.testing.assert_close(bnn.member_buffers.get_buffer("2/running_mean"), expected, rtol=0.01, atol=0.01)
    torch.testing.assert_close(net[0].running_mean, x.mean(0), rtol=0.01, atol=0.01)
    assert int(net[0].num_batches_tracked) == int(net[2].num_batches_tracked) == 60  # type: ignore[arg-type]


def test_states_load_whether_or_not_members_have_their_own_buffers_yet(tmp_path: Any) -> None:
    def fresh() -> yu.Bayesian:
        torch.manual_seed(0)
        return partial(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), members=2)

    x = torch.randn(9, 3)
    before, after = fresh(), fresh()
    after(x)
    assert len(after.state_dict()) == len(before.state_dict()) + 2
    for source, target in ((after, fresh()), (fresh(), after)):
        wanted = copy.deepcopy(source.state_dict())
        target.load_state_dict(wanted)
        assert target.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in target.state_dict().items())
    trained = fresh()
    trained(x)
    yu.save(trained, tmp_path / "net.yuragi")
    loaded = yu.load(tmp_path / "net.yuragi", fresh().module)
    assert torch.equal(yu.predict(loaded, x).samples, yu.predict(trained, x).samples)


class LoRA(nn.Module):
    """A frozen linear layer with a trainable low-rank change: W + BA."""

    def __init__(self, inputs: int, outputs: int, rank: int = 2) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.A, self.B = nn.Parameter(torch.randn(rank, inputs)), nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(F.linear(x, self.A), self.B)  # type: ignore[no-any-return]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("where", [None, LoRA, ["*.A", "*.B"]])
def test_low_rank_adapters_alone(where: Any, members: int) -> None:
    torch.manual_seed(0)
    first, second = LoRA(3, 8), LoRA(8, 1)
    net = nn.Sequential(first, nn.Tanh(), second)
    base = [copy.deepcopy(layer.base.weight) for layer in (first, second)]
    bnn = partial(net, where=where, members=members)
    assert bnn.weight_names == ["0.A", "0.B", "2.A", "2.B"]
    assert bnn.posterior.rho.shape == (members, 2 * 3 + 8 * 2 + 2 * 8 + 1 * 2)
    x = torch.randn(20, 3)
    yu.fit(bnn, (x, x.sum(1, keepdim=True)), epochs=2, callbacks=[lambda _: _.epoch == 2])
    for layer, weight in zip((first, second), base, strict=True):
        assert torch.equal(layer.base.weight, weight)
        assert layer.base.weight.grad is None
    assert yu.predict(bnn, x).samples.std(0).min() > 0


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 1)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("head", ["head.weight", "head.bias"]),
        (everything_but(NORMS), ["encoder.0.weight", "encoder.0.bias", "head.weight", "head.bias"]),
        (everything_but("encoder.*"), ["head.weight", "head.bias"]),
        (everything_but(NORMS, "*.bias"), ["encoder.0.weight", "head.weight"]),
        (everything_but(everything_but(nn.LayerNorm)), ["encoder.1.weight", "encoder.1.bias"]),
    ],
)
def test_everything_but(where: Any, expected: list[str]) -> None:
    assert yu.bayesianize(Own(), where=where).weight_names == expected


def test_a_where_that_matches_nothing_lists_the_names_and_leaves_the_network_as_it_was() -> None:
    net = Own()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"where='haed'.*encoder\.0\.weight.*head\.bias"):
        yu.bayesianize(net, where="haed", members=3)
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
