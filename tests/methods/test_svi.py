"""Stochastic variational inference as a method: the same as `bayesianize` and `fit`."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, regression_problem
from torch import nn

import yuragi as yu
from yuragi.methods import svi

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")


def test_it_is_bayesianize_and_fit() -> None:
    x, y = regression_problem()
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 1))
    bnn = yu.bayesianize(copy.deepcopy(net), likelihood=yu.Gaussian(NOISE), members=2, seed=3)
    yu.fit(bnn, (x, y), epochs=10, kl_weight=0.3, seed=3)
    found = svi.run(net, (x, y), likelihood=yu.Gaussian(NOISE), members=2, epochs=10, kl_weight=0.3, seed=3)
    assert torch.equal(found.predict(x).samples, yu.predict(bnn, x, samples=100).samples)
    assert "MeanField" in str(found)


def test_alternatives_are_chosen_from() -> None:
    x, y = regression_problem()
    found = svi.run(nn.Linear(FEATURES, 1), (x, y), likelihood="auto", kl_weight=[1.0, 0.1], epochs=5)
    assert found.history.selection is not None


def test_no_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        svi.run(nn.Linear(FEATURES, 1), regression_problem(), draws=0)
