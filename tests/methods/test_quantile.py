"""Quantile regression against its guarantee and against quantiles that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.test_collapsed import network, problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import quantile
from yuragi.methods.quantile import _apart
from yuragi.predictions import QuantilePrediction


def noisy(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """y = 2x + (1 + x)ε on [0, 1], ε exponential of mean 1: skewed, and not of the same width everywhere."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 1, generator=generator)
    return x, 2 * x + (1 + x) * torch.empty(rows, 1).exponential_(generator=generator)


def test_coverage_is_what_is_promised_even_of_a_network_that_has_hardly_learned() -> None:
    levels, times = (0.05, 0.3, 0.5, 0.95), 120
    below = torch.zeros(times, 4)
    inside = torch.zeros(times)
    for seed in range(times):
        torch.manual_seed(seed)
        found = quantile.run(nn.Linear(1, 1), noisy(59, seed), levels=levels, held_out=0.33, epochs=5, seed=seed)
        assert found.held_out == 19
        x, y = noisy(200, 1000 + seed)
        p = found.predict(x)
        below[seed] = torch.stack([(y <= p.quantile(level)).double().mean() for level in levels])
        low, high = p.interval(0.9)
        inside[seed] = ((low <= y) & (y <= high)).double().mean()
    error = 3 * below.std(0) / times**0.5
    wanted = torch.tensor(levels)
    assert bool((below.mean(0)[2:] >= wanted[2:] - error[2:]).all())
    assert bool((below.mean(0)[:2] <= wanted[:2] + error[:2]).all())
    assert ((below.mean(0) - wanted).abs() <= 1 / 20 + error).all()  # nor by more than a rank's share beside it
    assert inside.mean() >= 0.9 - 3 * inside.std() / times**0.5


def test_quantiles_that_are_known_are_found() -> None:
    levels = (0.1, 0.5, 0.9)
    found = quantile.run(network(), noisy(6000, 0), levels=levels, epochs=60)
    x = torch.linspace(0.1, 0.9, 9).reshape(-1, 1)
    p = found.predict(x)
    for level in levels:
        below = 1 - (-(p.quantile(level) - 2 * x) / (1 + x)).exp()
        # some 500 rows decide at each place: three standard errors of a share of them are 7 % at most
        assert (below - level).abs().max() < 0.07
    assert "1200 rows held out" in str(found)
    assert all(abs(share - level) < 0.05 for share, level in zip(found.missed, levels, strict=True))


def test_quantiles_do_not_cross_and_outputs_have_their_own() -> None:
    x, y = problem()
    y = torch.cat([y, 10 + 3 * y], 1).repeat(4, 1)
    x = x.repeat(4, 1)
    found = quantile.run(network(2), (x, y), held_out=0.4)
    assert found.levels == (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
    far = torch.linspace(-50, 50, 101).reshape(-1, 1)
    p = found.predict(far)
    assert isinstance(p, QuantilePrediction)
    assert bool((p.quantiles.diff(dim=0) > 0).all())
    assert p.log_prob(torch.zeros(101, 2)).shape == (101,)
    assert ((found.predict(x).mean - y).square().mean(0) < y.var(0) / 2).all()


def test_crossing_quantiles_move_away_from_the_middle() -> None:
    q = torch.tensor([3.0, -1.0, 0.0, -2.0, 5.0, 4.0]).reshape(-1, 1, 1).double()
    moved = _apart(q, (0.1, 0.2, 0.5, 0.6, 0.8, 0.9)).flatten()
    torch.testing.assert_close(moved, torch.tensor([-1.0, -1.0, 0.0, 0.0, 5.0, 5.0]).double(), atol=1e-7, rtol=0)
    assert bool((moved.diff() > 0).all())


def test_normalisation_is_that_of_evaluation_and_heads_with_a_scale_are_replaced() -> None:
    x, y = problem()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    likelihood = yu.likelihoods.HeteroscedasticGaussian()
    found = quantile.run(net, (x, y), likelihood=likelihood, epochs=20, batch_size=8, held_out=0.5)
    torch.testing.assert_close(found.predict(x[:3]).quantiles, found.predict(x).quantiles[:, :3])


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (network(), {"likelihood": yu.Categorical()}, "quantiles are of continuous numbers"),
        (network(), {"held_out": 1.0}, "held_out must lie strictly between 0 and 1"),
        (network(), {"held_out": 0.99}, "too few to hold"),
        (network(), {"held_out": 0.05}, "suffice for no interval"),
        (network(), {"levels": (0.01, 0.99)}, "needs at least 99 held-out data, and there were 6"),
        (network(), {"levels": (0.9, 0.1)}, "levels must increase"),
        (network(), {"levels": (0.6, 0.9)}, "one below 0.5"),
        (network(2), {}, "the network returns 2 numbers"),
        (nn.Sequential(network(), nn.Tanh()), {}, "does not end in its last nn.Linear"),
    ],
)
def test_what_cannot_be_is_refused(net: nn.Module, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantile.run(net, problem(), epochs=1, **settings)


def test_targets_without_an_axis_of_outputs_are_refused() -> None:
    x, y = problem()
    with pytest.raises(ValueError, match=r"got shape \(30,\): reshape them to \(30, 1\)"):
        quantile.run(network(), (x, y[:, 0]), epochs=1)
