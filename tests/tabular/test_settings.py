"""What the settings of `fit_tabular` stand for, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.tabular.data import Small, line, numeric
from torch import nn

from yuragi import likelihoods
from yuragi.posteriors import Anchored, FullCovariance, MeanField
from yuragi.prediction import StudentTPrediction
from yuragi.priors import FanIn, PerLayer
from yuragi.tabular import fit_tabular

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 30}


def test_auto_chooses_among_the_priors_of_the_network() -> None:
    x, y = line(rows=60)
    model = fit_tabular(x, y, "regression", epochs=10)
    assert isinstance(model.bnn.posterior, Anchored)
    assert isinstance(model.bnn.likelihood, likelihoods.HeteroscedasticStudentT)
    assert model.bnn.members == 10
    assert model.history is not None
    assert model.history.selection is not None
    assert len(model.history.selection.candidates) == 4
    assert isinstance(numeric(model, x), StudentTPrediction)
    own = fit_tabular(x, y, "regression", module=Small, epochs=10)
    assert own.history is not None
    assert own.history.selection is not None
    gains = {candidate.prior.arguments()["gain"] for candidate in own.history.selection.candidates}
    assert gains == {0.5, 1.0, 2.0}


@pytest.mark.parametrize(
    ("x", "y"),
    [
        line(rows=39),
        (line(rows=400)[0], (np.arange(400) == 7).astype(float)),  # the one that differs might be held out
    ],
    ids=["few rows", "few that differ"],
)
def test_with_little_to_choose_by_nothing_is_chosen(x: Any, y: Any) -> None:
    for posterior in ("auto", "meanfield"):
        model = fit_tabular(x, y, "regression", posterior=posterior, epochs=3)
        assert model.history is not None
        assert model.history.selection is None
        assert model.history.settings["kl_weight"] == (1.0 if posterior == "auto" else 0.1)
        prior = model.bnn.prior
        assert isinstance(prior, PerLayer)
        bins = prior.arguments()["layers"]["bins"]
        assert isinstance(bins, FanIn)
        assert bins.gain == 0.1


def test_mean_field_is_one_posterior_or_a_mixture_with_a_chosen_weight() -> None:
    x, y = line(rows=60)
    mixture = fit_tabular(x, y, "regression", posterior="meanfield", epochs=3)
    assert mixture.bnn.members == 5
    assert mixture.history is not None
    assert mixture.history.selection is not None
    assert {c.kl_weight for c in mixture.history.selection.candidates} == {1.0, 0.3, 0.1, 0.03, 0.01}
    one = fit_tabular(x, y, "regression", posterior="meanfield", members=1, epochs=3)
    assert one.history is not None
    assert one.history.selection is None
    assert one.history.settings["kl_weight"] == 1.0
    assert isinstance(one.bnn.posterior, MeanField)


def test_a_posterior_itself_is_taken_as_it_is() -> None:
    x, y = line(rows=60)
    full = fit_tabular(x, y, "regression", posterior=FullCovariance(0.02), module=nn.Linear, epochs=3)
    assert (type(full.bnn.posterior), full.bnn.members, full.bnn.estimator) == (FullCovariance, 1, "shared")
    assert fit_tabular(x, y, "regression", posterior=Anchored(seed=1), epochs=3).bnn.members == 10


def test_a_network_of_ones_own_has_the_outputs_that_its_noise_needs() -> None:
    seen = []

    def make(inputs: int, outputs: int) -> nn.Module:
        seen.append((inputs, outputs))
        return nn.Linear(inputs, outputs)

    x, y = line(rows=20, outputs=2)
    for noise in ("auto", "heteroscedastic", "learned", 1.0):
        fit_tabular(x, y, "regression", module=make, noise=noise, epochs=1)
    fit_tabular(x, np.arange(20) % 5, "classification", module=make, epochs=1)
    assert seen == [(2, 4), (2, 4), (2, 2), (2, 2), (2, 5)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "ranking"}, 'task must be "regression" or "classification"'),
        ({"task": "classification", "noise": "learned"}, "noise='learned' is for regression"),
        ({"noise": "loud"}, "noise must be \"auto\", .* got 'loud'"),
        ({"noise": -1.0}, "a positive number in the units of y, got -1.0"),
        ({"noise": True}, "got True"),
        ({"posterior": "laplace"}, "posterior must be \"auto\", .* got 'laplace'"),
        ({"members": 0}, "members must be at least 1"),
        ({"estimator": "magic"}, "estimator must be one of"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    x, y = line(rows=20)
    task = settings.get("task", "regression")
    target = np.arange(20) % 2 if task == "classification" else y
    with pytest.raises(ValueError, match=message):
        fit_tabular(x, target, **{"task": "regression", **FAST, **settings})


@pytest.mark.parametrize("noise", [np.float32(0.5), np.int64(2), 1])
def test_a_noise_may_be_any_number(noise: Any) -> None:
    x, y = line(rows=20)
    p = numeric(fit_tabular(x, y, "regression", noise=noise, **FAST), x)
    np.testing.assert_allclose(p.aleatoric, float(noise), rtol=1e-6)
