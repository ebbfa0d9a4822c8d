"""Away from the data a ReLU network is linear in the input, so what is not known of it grows with the distance."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import yuragi as yu
from yuragi.posteriors import Anchored, LowRank, MeanField, Posterior

WIDTHS = torch.tensor([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])
"""Distances from the nearest datum, in widths of the data."""


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")  # a quick fit stops before its end
@pytest.mark.parametrize(("posterior", "members"), [(Anchored(), 10), (MeanField(), 1), (LowRank(), 1)], ids=str)
def test_epistemic_std_grows_as_x_leaves_the_data(posterior: Posterior, members: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.linspace(-1, -0.25, 30), torch.linspace(0.25, 1, 30)]).reshape(-1, 1)
    y = (4 * x).sin() + 0.1 * torch.randn(60, 1, generator=generator)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1), posterior=posterior, members=members, seed=0)
    yu.fit(bnn, (x, y), epochs=150, seed=0)
    inside = yu.predict(bnn, x, samples=200)
    assert isinstance(inside, yu.RegressionPrediction)
    for side in (-1, 1):
        outside = yu.predict(bnn, (side * (1 + 2 * WIDTHS)).reshape(-1, 1), samples=200)
        assert isinstance(outside, yu.RegressionPrediction)
        assert (outside.epistemic.diff(dim=0) > 0).all()
        # asymptotically in proportion to the distance
        assert 1.6 < float(outside.epistemic[5] / outside.epistemic[4]) < 2.4
        assert outside.epistemic[3] > 2 * inside.epistemic.mean()
