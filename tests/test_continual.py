"""Continual learning: batch after batch gives the conjugate answer of all data at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.continual import posterior_to_prior, why_not_a_prior
from yuragi.posteriors import FullCovariance, LowRank, MeanField, PerLayer, Posterior

NOISE, ROWS = 0.5, 40


def batches(correlated: bool) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, ROWS, 2, generator=generator)
    if correlated:
        x[..., 1] = 0.8 * x[..., 0] + 0.6 * x[..., 1]
    else:  # columns of each batch orthogonal to each other and to the constant
        centred = torch.linalg.qr(torch.cat([torch.ones(3, ROWS, 1), x], 2))[0][..., 1:]
        x = centred * ROWS**0.5
    y = x @ torch.tensor([[1.0], [-0.5]]) + 0.3 + NOISE * torch.randn(3, ROWS, 1, generator=generator)
    return list(zip(x, y, strict=True))


def conjugate(data: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (weights, bias) under N(0, 1), given all batches at once."""
    x, y = (torch.cat(part).double() for part in zip(*data, strict=True))
    design = torch.cat([x, torch.ones(len(x), 1).double()], 1)
    covariance = (design.T @ design / NOISE**2 + torch.eye(3)).inverse()
    return covariance @ design.T @ y[:, 0] / NOISE**2, covariance


def learned(posterior: Posterior, data: list[tuple[Tensor, Tensor]], epochs: int, lr: float) -> yu.Bayesian:
    torch.manual_seed(0)
    bnn = yu.bayesianize(
        nn.Linear(2, 1),
        likelihood=yu.Gaussian(NOISE),
        prior=yu.priors.Normal(),
        posterior=posterior,
        estimator="local" if posterior.independent else "shared",
    )
    for number, batch in enumerate(data):
        if number:
            posterior_to_prior(bnn)
            assert abs(float(bnn.kl().detach())) < 1e-4
        yu.fit(bnn, batch, epochs=epochs, lr=lr, seed=number)
    return bnn


@pytest.mark.parametrize("order", [[0, 1, 2], pytest.param([2, 0, 1], marks=pytest.mark.slow)])
def test_mean_field_on_an_orthogonal_design_in_any_order(order: list[int]) -> None:
    data = batches(correlated=False)
    mean, covariance = conjugate(data)
    bnn = learned(MeanField(), [data[i] for i in order], epochs=800, lr=0.01)
    q = bnn.q()
    assert q.sigma is not None
    std = covariance.diagonal().sqrt()
    got = torch.cat([part.detach().flatten() for part in q.mean]).double()
    assert ((got - mean) / std).abs().max() < 0.15
    assert (q.sigma[0].detach() / std - 1).abs().max() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_full_covariance_on_correlated_inputs_in_any_order(order: list[int]) -> None:
    data = batches(correlated=True)
    mean, covariance = conjugate(data)
    bnn = learned(FullCovariance(), [data[i] for i in order], epochs=6000, lr=0.003)
    q = bnn.q()
    root = q.root[0].detach().double()  # type: ignore[attr-defined]
    whitening = torch.linalg.cholesky(covariance).inverse()
    got = torch.cat([part.detach().flatten() for part in q.mean]).double()
    assert (whitening @ (got - mean)).abs().max() < 0.25
    assert (whitening @ root @ root.T @ whitening.T - torch.eye(3)).abs().max() < 0.15
    correlation = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
    assert correlation < -0.6  # or the test would not see a covariance that is lost on the way


def test_the_past_counts() -> None:
    data = batches(correlated=False)
    alone, both = (learned(MeanField(), part, epochs=400, lr=0.01).q().sigma for part in (data[:1], data[:2]))
    assert alone is not None
    assert both is not None
    torch.testing.assert_close(both, alone / 2**0.5, rtol=0.05, atol=0)  # the prior's share is below 1 %


@pytest.mark.parametrize(
    ("posterior", "members", "reason"),
    [
        (yu.posteriors.Anchored(), 3, "members are points"),
        (yu.posteriors.Anchored(), 1, "members are points"),
        (MeanField(), 2, "a mixture of 2 members"),
        (LowRank(1), 1, "no prior of the form of LowRank"),
        (PerLayer({"weight": FullCovariance()}), 1, "no prior of the form of PerLayer"),
    ],
)
def test_what_cannot_be_a_prior_is_refused(posterior: Posterior, members: int, reason: str) -> None:
    bnn = yu.bayesianize(nn.Linear(2, 1), likelihood=yu.Gaussian(0.1), posterior=posterior, members=members)
    assert reason in str(why_not_a_prior(bnn))
    with pytest.raises(ValueError, match=f"cannot become the prior of further data: .*{reason}"):
        posterior_to_prior(bnn)
