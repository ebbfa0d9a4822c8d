"""Estimators against explicit weight draws: mean, marginal variance, and where they may act per example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi.bayesian import Bayesian
from yuragi.estimators import ESTIMATORS, Estimator

PASSES = 400
ROWS = 32

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(3, 4), (3,)),
    "linear without bias": (lambda: nn.Linear(3, 4, bias=False), (3,)),
    "conv1d same dilated": (lambda: nn.Conv1d(2, 4, 3, padding="same", dilation=2), (2, 7)),
    "conv1d circular": (lambda: nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular", bias=False), (2, 6)),
    "conv2d grouped strided": (lambda: nn.Conv2d(4, 4, 3, stride=2, groups=2), (4, 5, 5)),
    "conv2d depthwise": (lambda: nn.Conv2d(3, 6, 2, groups=3), (3, 3, 3)),
    "conv2d reflect non-square": (lambda: nn.Conv2d(2, 3, (1, 3), padding=(0, 1), padding_mode="reflect"), (2, 3, 4)),
    "conv3d": (lambda: nn.Conv3d(2, 2, (1, 2, 2), stride=(1, 2, 1)), (2, 2, 4, 3)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1), (2, 4)),
    "transposed 2d grouped": (lambda: nn.ConvTranspose2d(4, 4, (2, 3), stride=2, groups=2, dilation=2), (4, 3, 2)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 1, 2, padding=1, bias=False), (2, 2, 3, 3)),
}


def bayesian(net: nn.Module, estimator: Estimator = "shared", scale: float = 0.3, **options: Any) -> Bayesian:
    return yu.bayesianize(
        net, estimator=estimator, posterior=yu.posteriors.MeanField(scale), likelihood=yu.Gaussian(0.1), **options
    )


def moments(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.mean(0), samples.var(0, correction=0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mean_and_marginal_variance_are_those_of_explicit_draws(name: str, estimator: Estimator) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    net = make()
    # one input repeated over the rows: each row is then another look at the same marginal
    x = torch.randn(1, *shape).expand(ROWS, *shape)
    bnn = bayesian(net, estimator)
    draws = bnn.draws(6000, seed=1)
    with torch.no_grad():
        explicit = torch.vmap(lambda w: torch.func.functional_call(net, w, (x[:1],)), randomness="error")(draws)
        passes = torch.stack([bnn(x) for _ in range(PASSES)])
    mean, variance = moments(explicit.flatten(0, 1))
    got_mean, got_variance = moments(passes.flatten(0, 1))
    # a shared draw gives PASSES independent looks, a per-example one up to ROWS times as many
    looks = PASSES if estimator == "shared" else PASSES * 2
    assert ((got_mean - mean).abs() <= 5 * (variance / looks).sqrt() + 1e-5).all()
    assert (got_variance / variance - 1).abs().mean() < (0.12 if estimator == "shared" else 0.1)
    assert (got_variance / variance - 1).abs().max() < 0.6
    assert {row.estimator for row in bnn.coverage().rows} == {estimator}


@pytest.mark.parametrize("estimator", ["flipout", "local"])
@pytest.mark.parametrize("name", ["linear", "conv2d grouped strided", "transposed 3d"])
def test_examples_are_decorrelated_within_a_pass(estimator: Estimator, name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    x = torch.randn(1, *shape).expand(2, *shape)
    bnn = bayesian(make(), estimator, where="weight")
    with torch.no_grad():
        outputs = torch.stack([bnn(x) for _ in range(2000)])
        outputs = outputs - outputs.mean((0, 1))
        correlation = (outputs[:, 0] * outputs[:, 1]).mean(0) / outputs.square().mean((0, 1))
        assert correlation.abs().mean() < 0.1
        shared = bayesian(make(), "shared")
        pair = shared(x)
    torch.testing.assert_close(pair[0], pair[1])


@pytest.mark.parametrize(
    "net",
    [nn.Conv2d(2, 3, 3, padding=1), nn.Conv1d(2, 3, 3, padding=1, groups=1), nn.ConvTranspose2d(2, 3, 2, stride=2)],
    ids=lambda net: type(net).__name__,
)
def test_flipout_keeps_the_variance_of_a_pooled_output(net: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 8, 8) if "2d" in type(net).__name__ else torch.randn(1, 2, 16)
    axes = tuple(range(2, x.dim()))
    draws = {}
    for estimator in ESTIMATORS:
        bnn = bayesian(net, estimator)
        with torch.no_grad():
            draws[estimator] = torch.cat([bnn(x.expand(4, *x.shape[1:])).mean(axes) for _ in range(1500)])
    shared = draws["shared"].var(0)
    assert (draws["flipout"].var(0) / shared - 1).abs().max() < 0.2
    # the known approximation of `local` across positions, which the comparison must be able to see
    assert (draws["local"].var(0) / shared).max() < 0.5


class OverTime(nn.Module):
    """Applies a Linear in one of several layouts to input [B, T, D]."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self.layer = nn.Linear(3, 2)
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True) if layout == "attention" else None

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        if self.layout == "time first":
            return self.layer(x.transpose(0, 1)).transpose(0, 1)  # type: ignore[no-any-return]
        if self.layout == "flattened":
            return self.layer(x.reshape(batch * time, -1)).reshape(batch, time, -1)  # type: ignore[no-any-return]
        h: Tensor = self.layer(x)
        return h if self.attention is None else self.attention(h, h, h, need_weights=False)[0]


@pytest.mark.parametrize(
    ("layout", "flipout", "local"),
    [
        ("batch first", "flipout", "shared"),  # local would lose the correlation over time
        ("time first", "shared", "shared"),
        ("flattened", "shared", "shared"),
        ("attention", "flipout", "shared"),
    ],
)
def test_where_a_per_example_estimator_is_valid(layout: str, flipout: str, local: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 4, 3)
    for estimator, expected in (("flipout", flipout), ("local", local)):
        bnn = bayesian(OverTime(layout), estimator)  # type: ignore[arg-type]
        bnn(x)
        rows = {row.name: row for row in bnn.coverage().rows}
        assert rows["layer.weight"].estimator == expected, estimator
        assert rows["layer.bias"].estimator == expected
        if expected == "shared":
            assert rows["layer.weight"].reason
        if layout == "attention":
            assert rows["attention.in_proj_weight"].estimator == "shared"
            assert "multi_head_attention_forward" in rows["attention.in_proj_weight"].reason


@pytest.mark.parametrize("layout", ["batch first", "time first", "flattened"])
@pytest.mark.parametrize("estimator", ["flipout", "local"])
def test_correlation_over_time_is_that_of_one_weight(layout: str, estimator: Estimator) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 3).expand(2, 4, 3)  # the same input at each time: outputs of one example must be equal
    bnn = bayesian(OverTime(layout), estimator)
    out = bnn(x)
    torch.testing.assert_close(out, out[:, :1].expand_as(out))


class Twice(nn.Module):
    def __init__(self, second: str) -> None:
        super().__init__()
        self.second = second
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        if self.second == "linear":
            return self.layer(h)  # type: ignore[no-any-return]
        return h @ self.layer.weight  # type: ignore[no-any-return]


@pytest.mark.parametrize("second", ["linear", "matmul"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_weight_used_twice_has_one_draw(second: str, estimator: Estimator) -> None:
    torch.manual_seed(0)
    net = Twice(second)
    x = torch.randn(1, 3)
    bnn = bayesian(net, estimator)
    draws = bnn.draws(8000, seed=0)
    with torch.no_grad():
        explicit = torch.vmap(lambda w: torch.func.functional_call(net, w, (x,)))(draws)[:, 0]
        got = torch.cat([bnn(x.expand(8, 3)) for _ in range(1000)])
    assert (got.mean(0) - explicit.mean(0)).abs().max() < 0.1
    assert (got.std(0) / explicit.std(0) - 1).abs().max() < 0.12
    if not (estimator == "flipout" and second == "linear"):
        assert bnn.coverage().rows[0].estimator == "shared"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_k_passes_summed_give_the_gradients_of_k_backwards(estimator: Estimator) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.ReLU(), nn.Linear(8, 1)).double()
    bnn = bayesian(net, estimator)
    x, seeds = torch.randn(4, 1, 6, dtype=torch.float64), (3, 4, 5)

    def one(seed: int) -> Tensor:
        with bnn.seeded(seed):
            return bnn(x).square().sum()  # type: ignore[no-any-return]

    total = torch.stack([one(seed) for seed in seeds]).sum()
    together = torch.autograd.grad(total, [p for p in bnn.parameters() if p.requires_grad])
    for seed in seeds:
        one(seed).backward()
    for parameter, gradient in zip(bnn.parameters(), together, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def gradient_variance(estimator: Estimator, batch: int) -> float:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for seed, parameter in enumerate(net.parameters()):
            parameter.normal_(generator=torch.Generator().manual_seed(seed))
    bnn = bayesian(net, estimator)
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(400):
        x = torch.randn(batch, 4, generator=generator)
        loss = (bnn(x) - x.sum(1, keepdim=True)).square().mean()
        gradients.append(torch.autograd.grad(loss, bnn.module[0].weight)[0])  # type: ignore[index]
    return float(torch.stack(gradients).var(0).sum())


def test_gradient_variance_falls_with_the_batch_for_flipout_and_local_only() -> None:
    torch.manual_seed(0)
    small, large = 128, 2048  # a factor of 16
    for estimator in ("flipout", "local"):
        ratio = gradient_variance(estimator, small) / gradient_variance(estimator, large)
        assert 16 / 1.7 < ratio < 16 * 1.7, estimator
    assert gradient_variance("shared", small) / gradient_variance("shared", large) < 1.7


def test_local_has_a_finite_gradient_at_zero_variance() -> None:
    bnn = bayesian(nn.Linear(3, 2, bias=False), "local")
    bnn(torch.zeros(4, 3)).sum().backward()
    for parameter in bnn.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_metadata_of_a_weight_is_not_a_use_of_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.to(self.layer.weight.dtype)
            assert self.layer.weight.shape[1] == x.shape[1]
            return F.relu(self.layer(x))

    bnn = bayesian(Net(), "flipout")
    bnn(torch.randn(4, 3))
    assert {row.estimator for row in bnn.coverage().rows} == {"flipout"}


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grad_outputs[0] @ weight.T, x.T @ grad_outputs[0]


class ByFunction(nn.Module):
    def __init__(self, clone: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))
        self.clone = clone

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.clone() if self.clone else self.weight
        result: Tensor = Product.apply(x, weight)  # type: ignore[no-untyped-call]
        return result


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_autograd_function_is_given_a_draw_or_refused(estimator: Estimator) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, requires_grad=True)
    bnn = yu.bayesianize(ByFunction(clone=False), estimator=estimator)
    with pytest.raises(RuntimeError, match=r"function Product .* the mean .*Product.apply\(..., weight.clone\(\)\)"):
        bnn(x)
    with torch.no_grad():  # where there is no backward, it may have the draw
        assert not torch.equal(bnn(x), bnn(x))
    bnn = yu.bayesianize(ByFunction(clone=True), estimator=estimator)
    with bnn.seeded(0):
        bnn(x).sum().backward()
    with bnn.seeded(0), torch.no_grad():
        weight = torch.linalg.solve(torch.eye(3), bnn(torch.eye(3)))  # the draw that this seed makes
    torch.testing.assert_close(x.grad, weight.sum(1).expand(4, 3))
    assert (bnn.posterior.rho.grad != 0).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode])
def test_a_weight_met_first_without_gradient_keeps_its_own(
    estimator: Estimator, members: int, block: Callable[[], Any]
) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            with block():
                norm = float(self.layer.bias.shape[0])
                _ = self.layer.weight.norm()
            return self.layer(x) / norm  # type: ignore[no-any-return]

    bnn = bayesian(Normed(), estimator, members=members)
    bnn(torch.randn(4, 3)).square().sum().backward()
    for parameter in bnn.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert (parameter.grad != 0).all()


class Autoencoder(nn.Module):
    """One kernel both ways."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(outputs, inputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        decoded: Tensor = F.conv_transpose1d(F.conv1d(x, self.kernel), self.kernel)
        return decoded


@pytest.mark.parametrize("channels", [(3, 3), (2, 5)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_kernel_used_both_ways_has_one_draw(channels: tuple[int, int], estimator: Estimator) -> None:
    torch.manual_seed(0)
    bnn = bayesian(Autoencoder(*channels), estimator, 0.5)
    x = torch.ones(4, channels[0], 1)
    with torch.no_grad():
        out = torch.stack([bnn(x) for _ in range(3000)])
    # E[(WᵀW x)_i] = Σ_o σ² = outputs · 0.25, the other terms being products of independent weights
    assert abs(float(out.mean()) - 0.25 * channels[1]) < 0.06


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_bias_tied_between_layers_has_one_draw(estimator: Estimator) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 3), nn.Linear(2, 3)
            self.b.bias = self.a.bias

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) - self.b(x)  # type: ignore[no-any-return]

    out = bayesian(Tied(), estimator)(torch.zeros(4, 2))
    torch.testing.assert_close(out, torch.zeros(4, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_spreads_stay_small_in_half_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = nn.Linear(8, 4)
    bnn = bayesian(net, "local", 1e-6)
    x = torch.randn(64, 8)
    with torch.autocast("cpu", dtype):
        assert (bnn(x).float() - net(x).float()).abs().max() < 0.002 if dtype == torch.float16 else 0.02
    big = bayesian(nn.Linear(8, 4, bias=False), "local", 0.3)
    with torch.autocast("cpu", dtype), torch.no_grad():
        out = torch.stack([bnn_out.float() for bnn_out in (big(torch.ones(512, 8)) for _ in range(20))])
    assert abs(float(out.std((0, 1)).mean()) / (0.3 * 8**0.5) - 1) < 0.05
