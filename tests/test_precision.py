"""Passes in half precision: the loss, the gradients' formats, and a posterior that is known."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.loop import train
from yuragi.precision import pass_dtype

HALVES: tuple[Literal["bf16", "fp16"], ...] = ("bf16", "fp16")
POSTERIORS = [
    yu.posteriors.MeanField(),
    yu.posteriors.Anchored(seed=0),
    yu.posteriors.LowRank(rank=2),
    yu.posteriors.FullCovariance(),
]


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))


def rows(number: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(number, 3, generator=generator)
    return x, x.sum(1, keepdim=True)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("posterior", POSTERIORS, ids=lambda posterior: type(posterior).__name__)
def test_the_pass_alone_is_in_half_precision(posterior: yu.posteriors.Posterior, members: int) -> None:
    seen: list[torch.dtype] = []

    class Net(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self[0](x).dtype)
            for part in self:
                x = part(x)
            return x

    bnn = yu.bayesianize(Net(*mlp()), posterior=posterior, likelihood=yu.Gaussian(0.5), members=members, seed=0)
    x, y = rows()
    parts = [
        bnn.elbo(x, y, 32, index=torch.arange(32), generator=torch.Generator().manual_seed(2), autocast=autocast)
        for autocast in (None, torch.bfloat16)
    ]
    if members == 1:  # torch's own vmap adds a bias in float32
        assert seen[-1] == torch.bfloat16
    full, half = parts
    assert torch.equal(full.kl, half.kl)  # to the last bit: nothing of it is in half precision
    assert half.loss.dtype == torch.float32
    assert not torch.equal(full.loss, half.loss)
    torch.testing.assert_close(half.loss, full.loss, rtol=0.02, atol=0.02)
    half.loss.backward()
    assert {p.grad.dtype for p in bnn.parameters() if p.grad is not None} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_large_network_too(estimator: Estimator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.posteriors.mean_field.LARGE", 1)
    bnn = yu.bayesianize(mlp(), likelihood=yu.Gaussian(0.5), estimator=estimator, seed=0)
    parts = [
        bnn.elbo(*rows(), 32, generator=torch.Generator().manual_seed(2), autocast=autocast)
        for autocast in (None, torch.bfloat16)
    ]
    assert torch.equal(parts[0].kl, parts[1].kl)
    torch.testing.assert_close(parts[1].loss, parts[0].loss, rtol=0.02, atol=0.02)
    parts[1].loss.backward()
    assert {p.grad.dtype for p in bnn.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_noise_has_the_variance_that_it_should(estimator: Estimator) -> None:
    torch.manual_seed(0)
    bnn = yu.bayesianize(
        nn.Linear(8, 4, bias=False),
        posterior=yu.posteriors.MeanField(0.1),
        likelihood=yu.Gaussian(1.0),
        estimator=estimator,
        seed=0,
    )
    with torch.no_grad():
        bnn.module.weight.zero_()  # type: ignore[operator]
    x = torch.randn(16, 8)
    outputs: list[Tensor] = []
    for seed in range(400):
        bnn.elbo(
            x,
            torch.zeros(16, 4),
            16,
            generator=torch.Generator().manual_seed(seed),
            penalty=lambda output, y: outputs.append(output.detach()) or output.new_zeros(()),  # type: ignore[func-returns-value]
            autocast=torch.bfloat16,
        )
    found = torch.stack(outputs).squeeze(1)  # [400, 16, 4]
    assert found.dtype == torch.float32
    expected = 0.1 * x.square().sum(1).sqrt()
    # 1,600 normals a row, so that a std has a standard error of 1.8 %, and the sixteen together less
    torch.testing.assert_close(found.std((0, 2)), expected, rtol=0.08, atol=0)
    assert float((found.std((0, 2)) / expected).mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("precision", HALVES)
def test_a_posterior_that_is_known_is_found(precision: Literal["bf16", "fp16"]) -> None:
    # orthogonal columns of squared length 64: independent posteriors with mean (64/σ²) w / (1 + 64/σ²), variance its inverse
    basis, _ = torch.linalg.qr(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)))
    x, w = 8 * basis, torch.tensor([[1.0], [-0.5], [0.25]])
    bnn = yu.bayesianize(
        nn.Linear(3, 1, bias=False),
        prior=yu.priors.Normal(1.0),
        posterior=yu.posteriors.MeanField(),
        likelihood=yu.Gaussian(1.0),
        estimator="local",
        seed=0,
    )
    history = train(bnn, (x, x @ w), epochs=300, lr=0.06, precision=precision, seed=0)
    precision_of = 1 + 64.0
    torch.testing.assert_close(bnn.module.weight, (64 / precision_of * w).T, atol=0.03, rtol=0)
    assert bnn.q().sigma is not None
    torch.testing.assert_close(bnn.q().sigma, torch.full((1, 3), precision_of**-0.5), rtol=0.08, atol=0)
    assert {p.dtype for p in bnn.parameters()} == {torch.float32}
    assert history.settings["precision"] == precision
    assert history.skipped < 20


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_candidates_and_members_train_in_half_precision() -> None:
    bnn = yu.bayesianize(mlp(), posterior=yu.posteriors.Anchored(seed=0), members=2, seed=0)
    history = yu.fit(bnn, rows(100), kl_weight=[1.0, 0.1], epochs=60, precision="bf16", seed=0)
    assert history.selection is not None
    assert history.loss[-1] < history.loss[0] - 1


def test_double_precision_is_left_as_it_is() -> None:
    bnn = yu.bayesianize(mlp().double(), likelihood=yu.Gaussian(0.5), seed=0)
    x, y = (part.double() for part in rows())
    losses = [
        bnn.loss(x, y, 32, generator=torch.Generator().manual_seed(2), autocast=autocast)
        for autocast in (None, torch.bfloat16)
    ]
    assert losses[0].dtype == losses[1].dtype == torch.float64
    assert torch.equal(*losses)


def test_what_is_refused() -> None:
    given: Any = "float8"
    with pytest.raises(ValueError, match="precision must be one of full, bf16, fp16, got 'float8'"):
        train(yu.bayesianize(mlp()), rows(), epochs=1, precision=given)
    with pytest.raises(ValueError, match="no mixed precision on meta"):
        pass_dtype("fp16", torch.device("meta"))
