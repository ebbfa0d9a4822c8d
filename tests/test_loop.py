"""The training loop itself, below `fit`: schedules, what it records, and what it leaves behind."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import yuragi as yu
from yuragi.loop import constant, cosine, train

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)


def bayesian(members: int = 1) -> yu.Bayesian:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return yu.bayesianize(nn.Linear(2, 1), likelihood=yu.Gaussian(0.1), members=members, seed=0)


def test_schedules() -> None:
    assert [cosine(done) for done in (0, 0.25, 0.5, 1)] == pytest.approx([1, (2 + math.sqrt(2)) / 4, 0.5, 0])
    assert constant(0.7) == 1


def test_the_learning_rate_follows_the_schedule_step_by_step() -> None:
    rates: list[float] = []

    class Noting(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])

    options: dict[str, Any] = {"lr": 0.5, "epochs": 2, "batch_size": 25}
    train(
        bayesian(), (X, Y), optimizer=lambda groups: Noting(groups, lr=0.5), schedule=lambda done: 1 - done, **options
    )
    assert rates == pytest.approx([0.5, 0.375, 0.25, 0.125])


def test_the_history_is_the_elbo_of_the_batches() -> None:
    bnn = bayesian()
    still = train(
        bnn, (X, Y), epochs=1, optimizer=lambda groups: torch.optim.SGD(groups, lr=0.0), kl_weight=0.3, seed=0
    )
    expected = bayesian().elbo(X, Y, 50, kl_weight=0.3, generator=torch.Generator().manual_seed(0))
    assert still.loss == pytest.approx([expected.loss.item()])
    assert still.log_likelihood == pytest.approx([float(expected.log_likelihood)])
    assert still.kl == pytest.approx([float(expected.kl)])
    assert still.steps == 1


@pytest.mark.parametrize("schedule", [cosine, functools.partial(cosine)], ids=["function", "partial"])
@pytest.mark.parametrize("kl_weight", [0.5, torch.tensor([0.5, 1.0])], ids=["number", "tensor"])
def test_settings_are_numbers_and_text(schedule: object, kl_weight: float | torch.Tensor) -> None:
    bnn = bayesian(members=2)
    history = train(bnn, (X, Y), epochs=2, lr=0.1, schedule=schedule, kl_weight=kl_weight, seed=3)  # type: ignore[arg-type]
    settings = json.loads(json.dumps(history.provenance(bnn)))
    assert settings["kl_weight"] == torch.as_tensor(kl_weight).tolist()
    assert (settings["epochs"], settings["lr"], settings["seed"], settings["num_data"]) == (2, 0.1, 3, 50)
    assert settings["likelihood"] == "Gaussian(noise=0.1)"


def test_refusals_leave_the_network_untrained_and_training_does_not() -> None:
    bnn = bayesian()
    for options in ({"epochs": 0}, {"lr": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            train(bnn, (X, Y), **options)
    with pytest.raises(ValueError, match="reshape the targets"):
        train(bayesian(), (X, Y[:, 0]), epochs=1)
    assert bnn.recipe is not None
    train(bnn, (X, Y), epochs=1)
    assert bnn.recipe is None


class CountingReads(TorchDispatchMode):
    """Counts what makes an accelerator wait for the host: reading a tensor's values, or where they are not zero."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        waits = (aten._local_scalar_dense.default, aten.is_nonzero.default, aten.nonzero.default)
        self.reads += func in waits
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("posterior", [yu.posteriors.MeanField(), yu.posteriors.Anchored()])
@pytest.mark.parametrize("likelihood", [yu.Gaussian(), yu.likelihoods.StudentT()])
def test_a_step_reads_no_value_back_from_the_device(
    likelihood: yu.likelihoods.Likelihood, posterior: yu.posteriors.Posterior, members: int
) -> None:
    def reads(batch_size: int) -> int:
        net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        bnn = yu.bayesianize(net, likelihood=likelihood, posterior=posterior, members=members, seed=0)
        train(bnn, (X, Y), epochs=2, batch_size=batch_size, seed=0)  # what the first pass alone finds out
        with CountingReads() as mode:
            train(bnn, (X, Y), epochs=2, batch_size=batch_size, seed=0)
        before = int(mode.reads)
        with mode:
            X.sum().item()
        assert mode.reads == before + 1  # it does count
        return before

    assert reads(5) == reads(25)  # ten steps an epoch, and two
