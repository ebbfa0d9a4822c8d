"""The Bayesian network as a whole: KL, loss, round trips, compile, checkpoint; see `test_every_module` for its parts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import yuragi as yu
from yuragi.estimators import ESTIMATORS, Estimator


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def bayesian(net: nn.Module, scale: float = 0.3, **options: Any) -> yu.Bayesian:
    return yu.bayesianize(net, posterior=yu.posteriors.MeanField(scale), likelihood=yu.Gaussian(0.1), **options)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("prior", [yu.priors.Normal(0.3, 0.7), yu.priors.FanIn(1.5)], ids=["Normal", "FanIn"])
def test_kl_is_the_sum_over_all_weights(members: int, prior: yu.priors.Normal) -> None:
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 1))
    bnn = bayesian(net, members=members, prior=prior, seed=0)
    q = bnn.q()
    assert q.scales is not None
    total = torch.zeros(())
    for weight, mean, scale in zip(bnn.weights, q.mean, q.scales, strict=True):
        loc, width = prior.loc_and_scale(weight)
        p = torch.distributions.Normal(loc, width)
        total = total + torch.distributions.kl_divergence(torch.distributions.Normal(mean, scale), p).sum() / members
    torch.testing.assert_close(bnn.kl(), total, rtol=1e-5, atol=0)


@pytest.mark.parametrize("members", [1, 2])
def test_minibatch_losses_average_to_the_full_loss_for_the_same_draw(members: int) -> None:
    torch.manual_seed(0)
    bnn = bayesian(mlp().double(), estimator="shared", members=members)
    x, y = torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 1, dtype=torch.float64)

    def loss(rows: slice) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return bnn.loss(x[rows], y[rows], num_data=10, generator=generator)

    full = loss(slice(0, 10))
    batches = [slice(0, 4), slice(4, 8), slice(8, 10)]
    weighted = sum(loss(rows) * len(x[rows]) / 10 for rows in batches)
    torch.testing.assert_close(weighted, full)
    assert float((bnn.loss(x, y, 10, kl_weight=0.0) - full).detach().abs()) > 1e-3


def test_loss_is_the_negative_elbo_written_out() -> None:
    torch.manual_seed(0)
    net = mlp()
    bnn = bayesian(net, 1e-7, estimator="shared")
    x, y, v = torch.randn(6, 3), torch.randn(6, 1), torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0, 1.0])
    with bnn.at_mean():
        log_prob = torch.distributions.Normal(bnn(x), 0.1).log_prob(y)[:, 0]
    expected = -(v * log_prob).sum() / 6 + 0.5 * bnn.kl() / 60
    torch.testing.assert_close(bnn.loss(x, y, 60, kl_weight=0.5, sample_weight=v), expected, rtol=1e-4, atol=0)
    parts = bnn.elbo(x, y, 60)
    torch.testing.assert_close(parts.loss, parts.kl / 60 - parts.log_likelihood)


@pytest.mark.parametrize(
    ("shape", "wanted"), [((6,), "(6,)"), ((2, 6, 1), "(2, 6, 1)"), ((6, 2), "(6, 2)"), ((5, 1), "(5, 1)")]
)
def test_targets_are_never_broadcast(shape: tuple[int, ...], wanted: str) -> None:
    for members in (1, 2):
        bnn = bayesian(mlp(), members=members)
        with pytest.raises(ValueError, match=r"\(6, 1\)") as error:
            bnn.loss(torch.randn(6, 3), torch.randn(shape), num_data=6)
        assert wanted in str(error.value)


def test_a_deterministic_checkpoint_loads_into_the_means() -> None:
    torch.manual_seed(0)
    trained, net = mlp(), mlp()
    bnn = bayesian(net)
    net.load_state_dict(trained.state_dict())
    x = torch.randn(4, 3)
    with bnn.at_mean():
        torch.testing.assert_close(bnn(x), trained(x), rtol=0, atol=0)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_round_trips_are_bit_identical(members: int, estimator: Estimator) -> None:
    torch.manual_seed(0)
    bnn = bayesian(mlp(), members=members, estimator=estimator)
    x = torch.randn(5, 3)
    bnn(x).sum().backward()  # a copy must be possible after a pass
    expected = yu.predict(bnn, x).samples
    other = bayesian(mlp(), members=members, estimator=estimator)
    other.load_state_dict(bnn.state_dict())
    for copied in (other, copy.deepcopy(bnn), pickle.loads(pickle.dumps(bnn))):
        assert torch.equal(yu.predict(copied, x).samples, expected)
        with bnn.seeded(1), copied.seeded(1):
            assert torch.equal(bnn(x), copied(x))
    assert len(set(bnn.state_dict())) == len(bnn.state_dict())


def test_seeded_passes_leave_the_global_random_state_alone() -> None:
    bnn = bayesian(mlp())
    x = torch.randn(4, 3)
    state = torch.get_rng_state()
    with bnn.seeded(3):
        first = bnn(x)
    with bnn.seeded(3):
        second = bnn(x)
    bnn.draws(3, seed=0)
    yu.bayesianize(mlp(), members=3, seed=0)
    assert torch.equal(first, second)
    # building mlp() draws its weights; nothing else may
    torch.set_rng_state(state)
    mlp()
    expected = torch.get_rng_state()
    torch.set_rng_state(state)
    yu.bayesianize(mlp(), posterior=yu.posteriors.Anchored(), members=3, seed=0)
    assert torch.equal(torch.get_rng_state(), expected)


def test_an_exception_does_not_leave_the_mode_on() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)
            self.fail = True

        def forward(self, x: Tensor) -> Tensor:
            if self.fail:
                raise KeyError("no")
            return self.layer(x)  # type: ignore[no-any-return]

    net = Fails()
    bnn = bayesian(net)
    with pytest.raises(KeyError):
        bnn(torch.zeros(2, 3))
    net.fail = False
    x = torch.randn(2, 3)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(bnn(x), bnn(x))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("members", [1, 2])
def test_float64_and_bfloat16_autocast(estimator: Estimator, members: int) -> None:
    torch.manual_seed(0)
    bnn = bayesian(mlp().double(), estimator=estimator, members=members)
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 1, dtype=torch.float64)
    loss = bnn.loss(x, y, num_data=4)
    assert loss.dtype == torch.float64
    loss.backward()
    half = bayesian(mlp(), estimator=estimator, members=members)
    with torch.autocast("cpu", torch.bfloat16):
        out = half(x.float())
        if members == 1:  # torch's own vmap adds a bias in float32
            assert out.dtype == torch.bfloat16
        loss = half.loss(x.float(), y.float(), num_data=4)
    loss.backward()
    for parameter in half.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_compiled_in_one_graph_and_the_same_in_distribution(estimator: Estimator) -> None:
    torch.manual_seed(0)
    bnn = bayesian(mlp(), estimator=estimator)
    x = torch.randn(1, 3).expand(64, 3).contiguous()
    compiled = torch.compile(bnn, fullgraph=True)
    with torch.no_grad():
        eager = torch.stack([bnn(x) for _ in range(1500)])
        fast = torch.stack([compiled(x) for _ in range(1500)])
    assert abs(float(fast.mean() - eager.mean())) < 0.1
    assert abs(float(fast.std() / eager.std()) - 1) < 0.1
    if estimator != "shared":
        assert fast[0].std() > 0.1 * fast.std()
    compiled(x).sum().backward()
    assert bnn.posterior.rho.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


class Checkpointed(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
        self.head = nn.Linear(3, 1)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        h = checkpoint(self.body, x, **self.options) if self.options else self.body(x)
        return self.head(h)  # type: ignore[no-any-return]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("members", [1, 2])
def test_checkpoint_uses_the_same_draw_or_says_what_to_do(estimator: Estimator, members: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3)
    for options in ({"use_reentrant": False}, {"use_reentrant": True}):
        bnn = bayesian(Checkpointed(**options), estimator=estimator, members=members)
        with pytest.raises(RuntimeError, match="checkpoint_contexts"):
            bnn(x.clone().requires_grad_()).sum().backward()
    net = Checkpointed(use_reentrant=False, context_fn=yu.checkpoint_contexts)
    bnn = bayesian(net, estimator=estimator, members=members)
    gradients = []
    for options in (net.options, {}):
        net.options = options
        bnn.estimator = "shared"  # where the region's draw is the one that an unsplit pass makes too
        bnn.zero_grad()
        with bnn.seeded(7):
            bnn(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in bnn.parameters() if p.grad is not None])
    for with_checkpoint, without in zip(*gradients, strict=True):
        torch.testing.assert_close(with_checkpoint, without)


def test_draws_must_be_one_at_least() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1"):
        bayesian(mlp()).draws(0)


def test_members_have_their_own_batch_statistics() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    bnn = bayesian(net, 1e-6, members=2, estimator="shared")
    x = torch.randn(16, 3) * 3
    for _ in range(60):
        bnn(x)
    running = bnn.member_buffers.get_buffer("1/running_mean")
    means = bnn.q().mean
    expected = torch.stack([(x @ means[0][k].T + means[1][k]).mean(0) for k in range(2)])
    torch.testing.assert_close(running, expected.detach(), rtol=0.02, atol=0.02)
    bnn.eval()
    torch.testing.assert_close(bnn(x), bnn(x), rtol=1e-3, atol=1e-3)


class ReturnsWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.log_scale = nn.Linear(3, 1), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.layer(x), "scale": self.log_scale}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_weight_that_is_returned_as_it_is_is_drawn(members: int, estimator: Estimator) -> None:
    bnn = bayesian(ReturnsWeight(), members=members, estimator=estimator)
    out = bnn(torch.randn(4, 3))["scale"]
    assert out.shape == ((3, 2) if members == 3 else (2,))
    assert (out != 0).all()
    out.sum().backward()
    means = bnn.means.get_parameter("log_scale") if members == 3 else bnn.module.log_scale
    assert isinstance(means, Tensor)
    torch.testing.assert_close(means.grad, torch.ones_like(means))
    with torch.no_grad():
        bnn.posterior.get_parameter("rho").fill_(0.5)
        many = torch.stack([bnn(torch.randn(4, 3))["scale"] for _ in range(400)])
    torch.testing.assert_close(many.std(0), F.softplus(torch.full_like(out, 0.5)), rtol=0.2, atol=0)


def test_arguments_of_the_loss_are_checked() -> None:
    x, y = torch.randn(4, 3), torch.randn(4, 1)
    for members, weight in ((1, torch.ones(3)), (3, torch.ones(2)), (3, torch.ones(3, 1))):
        with pytest.raises(ValueError, match="kl_weight has shape"):
            bayesian(mlp(), members=members).loss(x, y, 4, kl_weight=weight)
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"num_data must be at least 1, got {wrong}"):
            bayesian(mlp()).loss(x, y, wrong)


def test_any_name_of_a_parameter_will_do_with_members() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.Parameter(torch.ones(3, 1))
            self.keys = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.values + self.keys

    assert bayesian(Named(), members=2)(torch.ones(4, 3)).shape == (2, 4, 1)


def test_at_mean_may_be_the_first_call_of_what_vmap_cannot_run() -> None:
    bnn = bayesian(nn.LSTM(3, 4), members=2)
    with bnn.at_mean():
        assert bnn(torch.randn(5, 4, 3))[0].shape == (2, 5, 4, 4)


def test_torch_func_sees_the_same_gradients() -> None:
    torch.manual_seed(0)
    bnn = bayesian(mlp(), estimator="shared")
    x, y = torch.randn(5, 3), torch.randn(5, 1)
    parameters = dict(bnn.named_parameters())

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bnn = bnn

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.bnn.loss(x, y, 50, generator=torch.Generator().manual_seed(0))

    loss = Loss()
    by_func = torch.func.grad(
        lambda values: torch.func.functional_call(
            loss, {f"bnn.{name}": value for name, value in values.items()}, (x, y)
        )
    )(parameters)
    loss(x, y).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(by_func[name], parameter.grad)


@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
def test_a_seed_is_never_silently_ignored_by_a_compiled_network() -> None:
    torch._dynamo.reset()
    bnn, x = bayesian(mlp()), torch.randn(2, 3)
    with bnn.seeded(0):
        expected = bnn(x)
    for fullgraph in (False, True):
        with bnn.seeded(0):  # it runs as it is
            assert torch.equal(torch.compile(bnn, backend="eager", fullgraph=fullgraph)(x), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_compiled_network_takes_batches_of_any_size(estimator: Estimator) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(bayesian(mlp(), estimator=estimator), backend="aot_eager", fullgraph=True)
    for rows in (4, 7, 9):
        assert compiled(torch.randn(rows, 3)).shape == (rows, 1)
