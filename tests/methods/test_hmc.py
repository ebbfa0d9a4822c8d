"""Hamiltonian Monte Carlo against closed forms and integrals, and what it says of chains that have not converged."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import hmc


def gap_problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.linspace(-2, -0.5, 20), torch.linspace(0.5, 2, 20)]).reshape(-1, 1)
    return x, (2 * x).sin() + 0.2 * torch.randn(40, 1, generator=generator)


def test_a_learned_noise_has_its_exact_posterior() -> None:
    # y ~ N(w, s²), w ~ N(0, 1), log s ~ N(log 0.5, 1): integrated on a grid
    y = torch.tensor([0.4, 1.1, 0.9, 1.6, 0.7, 1.3, 0.2, 1.0]).reshape(-1, 1)
    found = hmc.run(
        nn.Linear(1, 1, bias=False),
        (torch.ones(8, 1), y),
        likelihood=yu.Gaussian(),
        prior=yu.priors.Normal(),
        chains=100,
        warmup=60,
        draws=40,
        steps=8,
        noise_prior=(0.5, 1.0),
    )
    w, log_s = (
        torch.linspace(-1, 3, 400).double().reshape(-1, 1, 1),
        torch.linspace(-4, 3, 700).double().reshape(1, -1, 1),
    )
    fit = (-0.5 * ((y[:, 0] - w) / log_s.exp()).square() - log_s).sum(2)
    log_p = fit - 0.5 * w.square()[..., 0] - 0.5 * (log_s - math.log(0.5)).square()[..., 0]
    p = log_p.flatten().softmax(0).reshape(log_p.shape)
    value, noise = found.draws["weight"].flatten().double(), found.network.likelihood.noise.flatten().double()  # type: ignore[operator]
    for drawn, grid, share in ((value, w.flatten(), p.sum(1)), (noise.log(), log_s.flatten(), p.sum(0))):
        mean = (grid * share).sum()
        deviation = ((grid - mean).square() * share).sum().sqrt()
        assert abs(float(drawn.mean() - mean)) < 0.1 * deviation
        assert abs(float(drawn.std() / deviation) - 1) < 0.06
    prediction = found.predict(torch.ones(1, 1))
    assert isinstance(prediction, yu.RegressionPrediction)
    torch.testing.assert_close(prediction.aleatoric[0, 0].double(), noise.square().mean().sqrt())


def test_any_likelihood_and_prior_by_their_density_alone() -> None:
    # two classes with logits (w, 0) and w ~ Laplace(0, 0.7), integrated on a grid
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x @ self.w, torch.zeros_like(x)], 1)

    labels = torch.tensor([0, 0, 0, 1])
    found = hmc.run(
        Logits(),
        (torch.ones(4, 1), labels),
        likelihood=yu.Categorical(),
        prior=yu.priors.Laplace(scale=0.7),
        chains=100,
        warmup=60,
        draws=40,
        steps=6,
    )
    w = torch.linspace(-8, 12, 4001).double()
    p = (3 * nn.functional.logsigmoid(w) + nn.functional.logsigmoid(-w) - w.abs() / 0.7).softmax(0)
    mean = float((w * p).sum())
    deviation = float(((w - mean).square() * p).sum().sqrt())
    drawn = found.draws["w"].flatten().double()
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.1 * deviation)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.06)
    prediction = found.predict(torch.ones(1, 1))
    assert isinstance(prediction, yu.ClassificationPrediction)
    assert float(prediction.probs[0, 0]) == pytest.approx(float((w.sigmoid() * p).sum()), abs=0.02)


@pytest.mark.slow
def test_two_seeds_agree_on_a_network() -> None:
    x, y = gap_problem()
    grid = torch.linspace(-3, 3, 13).reshape(-1, 1)
    found = []
    for seed in (0, 1):
        net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
        run = hmc.run(net, (x, y), likelihood=yu.Gaussian(0.2), seed=seed, chains=16, warmup=80, draws=80, steps=60)
        rhat, size = run.convergence(grid)
        assert float(rhat.max()) < 1.05  # half-chains of 40 cannot tell more
        assert float(size.min()) > 300
        assert run.stuck == []
        assert int(run.divergences.sum()) == 0
        assert abs(float(run.acceptance.mean()) - 0.8) < 0.1
        prediction = run.predict(grid)
        assert isinstance(prediction, yu.RegressionPrediction)
        found.append((prediction, size))
    (one, one_size), (other, other_size) = found
    error = torch.hypot(one.epistemic / one_size.sqrt(), other.epistemic / other_size.sqrt())
    assert ((one.mean - other.mean) / error).abs().max() < 4
    assert (one.epistemic / other.epistemic).log().abs().max() < 4 * float(
        (1 / one_size + 1 / other_size).max() / 2
    ) ** 0.5
    assert one.epistemic[grid[:, 0].abs() > 2.9].mean() > 3 * one.epistemic[grid[:, 0].abs() == 1].mean()


def test_chains_that_do_not_move_are_named() -> None:
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    with pytest.warns(yu.ConvergenceWarning, match=r"chains have not converged.*R-hat of the log density"):
        found = hmc.run(net, gap_problem(), likelihood=yu.Gaussian(0.001), chains=3, warmup=1, draws=4, steps=1)
    stuck = hmc.Result(
        found.network,
        found.log_density,
        torch.tensor([0.8, 0.01, 0.7]).double(),
        torch.tensor([0, 3, 0]),
        found.step_size,
        found.x,
    )
    assert stuck.stuck == [1]
    assert "stuck chains: [1]" in str(stuck)
    assert "divergent proposals: 3, in chains [1]" in str(stuck)
    assert "3 chains of 4 draws" in str(stuck)


def test_a_budget_that_no_handful_of_proposals_fits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.01 * next(looks))  # ten milliseconds each
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    with pytest.raises(ValueError, match=r"2 seconds are too few: 5 proposals of 1000 steps at most.* would take \d+"):
        hmc.run(net, gap_problem(), likelihood=yu.Gaussian(0.2), seconds=2.0, steps=1000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 1}, "chains must be at least 2, got 1"),
        ({"draws": 3}, "draws must be at least 4, got 3"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"warmup": 0}, "warmup must be at least 1, got 0"),
        ({"target_acceptance": 1.0}, "target_acceptance must lie strictly between 0 and 1"),
        ({"likelihood": yu.Gaussian(0.1), "noise_prior": (1.0, 1.0)}, "noise_prior= goes with a learned noise"),
        ({"noise_prior": (0.0, 1.0)}, r"noise_prior must be \(median > 0, spread > 0\)"),
        ({"likelihood": yu.Gaussian(outputs=2)}, "learned parameters that this method cannot draw"),
        ({"prior": yu.priors.FanIn(learn=True)}, "learn=True is fitted to the weights, not drawn"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    outputs = 2 if "outputs=2" in str(settings.get("likelihood")) else 1
    with pytest.raises(ValueError, match=message):
        hmc.run(nn.Linear(1, outputs), (torch.zeros(5, 1), torch.randn(5, outputs)), **settings)
