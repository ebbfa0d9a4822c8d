"""When a fit compiles, that it falls back where it cannot, and that the result is the same posterior."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.mean_field_optimum import from_the_optimum, linear_model
from torch import Tensor, nn

import yuragi as yu
from yuragi import compilation
from yuragi.compilation import Objective


def linear(members: int = 1) -> yu.Bayesian:
    torch.manual_seed(0)
    return yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.5), members=members, seed=0)


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


def test_the_choice_depends_on_steps_and_weights() -> None:
    assert Objective(linear(), 100).decision.startswith("not compiled: 100 steps")
    assert Objective(linear(2), 10**6).decision.startswith("not compiled: members")
    large = yu.bayesianize(nn.Linear(400, 400), likelihood=yu.Gaussian(0.5))
    assert Objective(large, 10**6).decision.startswith("not compiled: 160,400 weights")
    assert Objective(linear(), 10**6).decision == "compiled"


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_a_time_budget_is_not_spent_on_compiling() -> None:
    history = yu.fit(linear(), data(), epochs=10**6, kl_weight=1.0, time_budget=0.2, seed=0)
    assert history.compiled == "not compiled: a time budget says how many steps there are"


def test_a_fit_says_so() -> None:
    history = yu.fit(linear(), data(), epochs=2, kl_weight=1.0, seed=0)
    assert history.compiled.startswith("not compiled: 2 steps")


def test_without_a_compiler_the_fit_is_as_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = linear()
    yu.fit(plain, data(), epochs=5, kl_weight=1.0, seed=0)

    def no_compiler(function: Any) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("no working C++ compiler\nmore of it")

        return fail

    monkeypatch.setattr(compilation, "PAYS_FROM", 1)
    monkeypatch.setattr(torch, "compile", no_compiler)
    fallen = linear()
    history = yu.fit(fallen, data(), epochs=5, kl_weight=1.0, seed=0)
    assert history.compiled == "not compiled: RuntimeError: no working C++ compiler"
    for one, other in zip(plain.parameters(), fallen.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch of its own compiler
@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
def test_a_compiled_fit_finds_the_same_posterior(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "PAYS_FROM", 1)
    x, y = data()
    bnn = linear_model(3, estimator)
    history = yu.fit(bnn, (x, y), epochs=2500, lr=0.02, kl_weight=1.0, seed=0)
    assert history.compiled == "compiled"
    distance, ratio = from_the_optimum(bnn, x, y)
    assert distance.abs().max() < 0.25
    assert abs(float(ratio.mean())) < 0.1
