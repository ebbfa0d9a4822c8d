"""`fit` with a time budget, and with someone who watches and may stop it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
import torch
from torch import nn

import yuragi as yu
from yuragi.likelihoods import StudentT
from yuragi.loop import DEFAULT_LR
from yuragi.members import copy_members
from yuragi.posteriors import Anchored, MeanField

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(100, 1, generator=GENERATOR) * 6 - 3
Y = X.sin() + 0.1 * torch.randn(100, 1, generator=GENERATOR)


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.BatchNorm1d(16), nn.Linear(16, 1))


def noise_of(bnn: yu.Bayesian) -> torch.Tensor:
    assert isinstance(bnn.likelihood, yu.Gaussian)
    return bnn.likelihood.noise


def bayesian(**options: Any) -> yu.Bayesian:
    defaults: dict[str, Any] = {"likelihood": yu.Gaussian(), "posterior": Anchored(), "members": 2, "seed": 0}
    return yu.bayesianize(network(), **defaults | options)


@pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")
def test_a_budget_ends_the_fit_and_its_schedule() -> None:
    rates: list[float] = []
    yu.fit(bayesian(), (X, Y), epochs=1, seed=0)  # what takes long the first time in a process
    start = time.perf_counter()
    history = yu.fit(
        bayesian(), (X, Y), epochs=10**6, time_budget=2.0, callbacks=[lambda epoch: rates.append(epoch.lr)], seed=0
    )
    assert 1.9 < time.perf_counter() - start < 20
    assert history.stopped == "time"
    assert history.steps < 10**6
    assert rates[0] > 0.5 * DEFAULT_LR
    assert rates[-1] < 0.1 * DEFAULT_LR


def test_a_budget_that_is_not_needed_changes_nothing() -> None:
    plain, ample = bayesian(), bayesian()
    yu.fit(plain, (X, Y), epochs=5, seed=0)
    assert yu.fit(ample, (X, Y), epochs=5, seed=0, time_budget=1e6).stopped == "epochs"
    for one, other in zip(plain.parameters(), ample.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")
def test_a_budget_is_for_choice_and_refit_together() -> None:
    bnn = bayesian(likelihood=[yu.Gaussian(), StudentT()])
    start = time.perf_counter()
    history = yu.fit(bnn, (X, Y), kl_weight=[1, 0.1], epochs=10**6, time_budget=2.0, seed=0)
    assert time.perf_counter() - start < 20
    assert history.stopped == "time"
    assert history.selection is not None
    assert len(history.selection.candidates) == 4
    assert 0.1 < history.selection.seconds  # two trials of four members before a refit of two: four fifths of the time
    assert history.steps > 1


@pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")
def test_progress_runs_from_0_to_1_over_choice_and_refit() -> None:
    told: list[float] = []
    yu.fit(bayesian(), (X, Y), kl_weight=[1, 0.1], epochs=20, progress=told.append, seed=0)
    assert told[0] == 0
    assert told[-1] == 1
    assert told == sorted(told)
    assert any(abs(done - 4 / 6) < 1e-9 for done in told)  # the end of four members' training of six


def test_stopped_in_the_refit_it_keeps_what_was_learnt() -> None:
    bnn = bayesian()
    reports = itertools.count()
    history = yu.fit(bnn, (X, Y), epochs=10**6, progress=lambda done: next(reports) > 2, seed=0)
    assert history.stopped == "progress"
    assert history.converged
    assert bool(yu.predict(bnn, X).std.isfinite().all())


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("posterior", [Anchored(seed=1), MeanField(0.02)], ids=["anchored", "mean field"])
def test_stopped_in_the_choice_it_becomes_the_best_candidate(posterior: Any, members: int) -> None:
    # the second weight forbids the weights to leave the prior, and cannot win
    bnn = bayesian(posterior=posterior, members=members, likelihood=yu.Gaussian(0.1))
    history = yu.fit(bnn, (X, Y), kl_weight=[0.1, 1e5], epochs=150, progress=lambda done: done > 0.6, seed=0)
    assert history.stopped == "progress"
    assert history.steps == 0
    assert history.selection is not None
    assert history.selection.chosen.kl_weight == 0.1
    assert bnn.members == members
    # scored on the held-out rows that it is asked about here among others
    assert float(yu.predict(bnn, X, seed=0).log_prob(Y).mean()) > history.selection.candidates[1].log_likelihood + 0.5
    assert yu.predict(bnn, X, seed=0).provenance["kl_weight"] == 0.1
    with pytest.raises(ValueError, match="trained already"):
        yu.fit(bnn, (X, Y), kl_weight="auto")


def test_stopped_in_a_later_trial_the_best_of_an_earlier_one_may_be_kept() -> None:
    bnn = bayesian(likelihood=[yu.Gaussian(0.1), yu.likelihoods.Gaussian(outputs=1), StudentT(noise=50.0)])
    history = yu.fit(bnn, (X, Y), epochs=100, progress=lambda done: done > 0.75, seed=0)
    assert history.selection is not None
    assert repr(history.selection.chosen.likelihood) != repr(StudentT(noise=50.0))
    assert repr(bnn.likelihood).split("(")[0] == repr(history.selection.chosen.likelihood).split("(")[0]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("posterior", [Anchored(seed=1), MeanField(0.02)], ids=["anchored", "mean field"])
def test_copied_members_are_what_they_were(posterior: Any, rows: int) -> None:
    many = bayesian(posterior=posterior, members=4, likelihood=yu.Gaussian(members=4))
    yu.fit(many, (X, Y), epochs=10, seed=0)
    few = bayesian(posterior=posterior, members=rows, likelihood=yu.Gaussian(members=rows))
    few.eval()
    many.eval()
    copy_members(many, few, first=1)
    with many.at_mean(), few.at_mean():
        expected, found = many(X)[1 : 1 + rows], few(X)
    torch.testing.assert_close(found if rows > 1 else found.unsqueeze(0), expected)
    for mine, theirs in zip(few.posterior.parameters(), many.posterior.parameters(), strict=True):
        assert torch.equal(mine, theirs[1 : 1 + rows])
    assert torch.equal(noise_of(few), noise_of(many)[1 : 1 + rows])
