"""Steps that are not finite: the weights, the optimiser and the buffers never see them, and too many end the fit."""

from __future__ import annotations

import copy
import gc
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.test_loop import CountingReads
from torch import Tensor, nn

import yuragi as yu
from yuragi import guard
from yuragi.guard import LOOK_EVERY, MOST_IN_A_ROW, Guard
from yuragi.loop import constant, train

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 2, generator=GENERATOR)
Y = X.sum(1, keepdim=True)
Groups = list[dict[str, Any]]
OPTIMISERS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "fused Adam": lambda groups: torch.optim.Adam(groups, lr=0.1, fused=True),
    "fused AdamW": lambda groups: torch.optim.AdamW(groups, lr=0.1, fused=True),
    "Adam": lambda groups: torch.optim.Adam(groups, lr=0.1),
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9),
    "fused SGD": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, fused=True),
}


def bayesian(**options: Any) -> yu.Bayesian:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {"likelihood": yu.Gaussian(0.5), "seed": 0}
    return yu.bayesianize(nn.Linear(2, 1), **defaults | options)


class At:
    """A penalty that makes the steps of these numbers not finite; the first step is 1."""

    def __init__(self, steps: object, spoil: Callable[[Tensor], Tensor]) -> None:
        self.steps, self.spoil, self.step = steps, spoil, 0

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        self.step += 1
        return self.spoil(output) if self.step in self.steps else output.new_zeros(())  # type: ignore[operator]


SPOILS: dict[str, Callable[[Tensor], Tensor]] = {
    "a loss that is NaN": lambda output: output.sum() * math.nan,
    "a finite loss with a gradient that is NaN": lambda output: (output * 0).sqrt().sum(),
    "an infinite loss without a gradient": lambda output: torch.tensor(math.inf),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_a_step_left_out_is_as_if_it_had_not_been(
    make: Callable[[Groups], torch.optim.Optimizer], spoil: Callable[[Tensor], Tensor]
) -> None:
    bnn = bayesian()
    expected = copy.deepcopy(bnn)
    made: list[torch.optim.Optimizer] = []

    def kept(groups: Groups) -> torch.optim.Optimizer:
        made.append(make(groups))
        return made[0]

    options: dict[str, Any] = {"epochs": 6, "optimizer": kept, "schedule": constant, "seed": 0}
    history = train(bnn, (X, Y), penalty=At({1, 4}, spoil), **options)
    # the same draws by hand, where steps 1 and 4 are not made and each halves the rate of those after it
    optimizer = make([{"params": list(expected.parameters())}])
    rate, generator = optimizer.param_groups[0]["lr"], torch.Generator().manual_seed(0)
    losses = []
    for step in range(1, 7):
        optimizer.param_groups[0]["lr"] = rate
        parts = expected.elbo(X, Y, 40, generator=generator)
        losses.append(float(parts.loss.detach()))
        optimizer.zero_grad()
        parts.loss.backward()
        if step in (1, 4):
            rate /= 2
        else:
            optimizer.step()
    for one, other in zip(bnn.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    (state,), (other_state,) = [list(opt.state_dict()["state"].values())[:1] for opt in (made[0], optimizer)]
    for name, value in state.items():
        torch.testing.assert_close(value, other_state[name])
    assert (history.steps, history.skipped) == (6, 2)
    assert [math.isnan(loss) for loss in history.loss] == [True, False, False, True, False, False]
    assert [loss for loss in history.loss if loss == loss] == pytest.approx([*losses[1:3], *losses[4:]])
    assert history.trained().startswith("6 epochs, 2 steps left out")


def test_an_epoch_is_the_mean_of_its_good_steps() -> None:
    still: dict[str, Any] = {
        "optimizer": lambda groups: torch.optim.SGD(groups, lr=0.0),
        "epochs": 1,
        "batch_size": 10,
        "seed": 0,
    }
    losses: list[float] = []

    def noting(output: Tensor, y: Tensor) -> Tensor:
        losses.append(float(yu.Gaussian(0.5).log_prob(output.detach(), y).mean()))
        return torch.tensor(math.nan if len(losses) == 2 else 0.0)

    history = train(bayesian(), (X, Y), penalty=noting, **still)
    del losses[1]
    assert history.log_likelihood == pytest.approx([sum(losses) / 3])


class Bursting(nn.Module):
    """Activations that are infinite in some passes, before a layer that keeps statistics of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)
        self.passes, self.bursts = 0, {3}

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        burst = torch.inf if self.passes in self.bursts else 1.0
        return self.last(self.norm(self.first(x) * burst))  # type: ignore[no-any-return]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("make", [None, OPTIMISERS["SGD"]], ids=["fused", "asking"])
def test_running_statistics_do_not_see_it(make: Any, members: int) -> None:
    def trained(bursts: set[int], epochs: int) -> yu.Bayesian:
        torch.manual_seed(0)
        net = Bursting()
        net.bursts = bursts
        bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.5), members=members, seed=0)
        train(bnn, (X, Y), epochs=epochs, optimizer=make, seed=0)
        return bnn

    first_pass = {1} if members == 1 else {2}  # members find out in a first pass that their statistics are their own
    for bursts in ({3}, first_pass):
        bnn = trained(bursts, 5)
        state = bnn.state_dict()
        assert all(bool(value.isfinite().all()) for value in state.values())
        counts = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
        assert max(int(count.max()) for count in counts) == 4
        assert bool(yu.predict(bnn, X).std.isfinite().all())


def test_too_many_in_a_row_end_the_fit_with_the_last_good_weights() -> None:
    bnn = bayesian()
    weights: list[Tensor] = []

    def callback(epoch: yu.Epoch) -> None:
        weights.append(bnn.posterior.rho.detach().clone())  # type: ignore[operator]

    spoiled = At(range(11, 10**9), SPOILS["a loss that is NaN"])
    with pytest.raises(FloatingPointError, match=rf"in {MOST_IN_A_ROW} steps in a row: lower lr"):
        train(bnn, (X, Y), epochs=1000, penalty=spoiled, callbacks=[callback], seed=0)
    assert spoiled.step == 10 + MOST_IN_A_ROW
    assert torch.equal(bnn.posterior.rho, weights[9])  # type: ignore[arg-type]
    assert not torch.equal(weights[8], weights[9])


def test_within_an_epoch_the_end_comes_at_the_next_look() -> None:
    spoiled = At(range(1, 10**9), SPOILS["a loss that is NaN"])
    with pytest.raises(FloatingPointError, match="in a row"):
        train(bayesian(), (X, Y), epochs=10, batch_size=1, penalty=spoiled, seed=0)
    assert MOST_IN_A_ROW <= spoiled.step < MOST_IN_A_ROW + LOOK_EVERY


def test_half_of_a_short_fit_is_too_many_and_less_is_not() -> None:
    for steps, message in (({2, 3}, "2 steps in a row"), ({1, 3}, None)):
        spoiled = At(steps, SPOILS["a loss that is NaN"])
        if message is None:
            assert train(bayesian(), (X, Y), epochs=4, penalty=spoiled, seed=0).skipped == 2
        else:
            with pytest.raises(FloatingPointError, match=message):
                train(bayesian(), (X, Y), epochs=4, penalty=spoiled, seed=0)


def test_in_trouble_the_best_validated_state_is_kept() -> None:
    bnn = bayesian()
    scores: list[tuple[float, Tensor]] = []

    def callback(epoch: yu.Epoch) -> None:
        if epoch.validation is not None:
            scores.append((epoch.validation, bnn.module.weight.detach().clone()))  # type: ignore[operator]

    with pytest.raises(FloatingPointError):
        train(
            bnn,
            (X, Y),
            epochs=200,
            lr=3.0,  # too high: it does not settle
            schedule=constant,
            validation=(X, Y),
            patience=1000,
            penalty=At(range(50, 10**9), SPOILS["a loss that is NaN"]),
            callbacks=[callback],
            seed=0,
        )
    best = max(scores, key=lambda pair: pair[0])
    assert torch.equal(best[1], bnn.module.weight)  # type: ignore[arg-type]
    assert best[0] > scores[-1][0]


def test_the_learning_rate_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RECOVERY", 10)
    rates: list[float] = []
    train(
        bayesian(),
        (X, Y),
        epochs=40,
        lr=0.1,
        schedule=constant,
        penalty=At({3, 5}, SPOILS["a loss that is NaN"]),
        callbacks=[lambda epoch: rates.append(epoch.lr)],
        seed=0,
    )
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 2 + [0.025] * 10 + [0.05] * 10 + [0.1] * 15)


def test_a_network_with_buffers_and_scaling_reads_nothing_in_a_step() -> None:
    def reads(batch_size: int) -> int:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.5), seed=0)
        train(bnn, (X, Y), epochs=1, seed=0)
        with CountingReads() as mode:
            train(bnn, (X, Y), epochs=2, batch_size=batch_size, precision="fp16", seed=0)
        return int(mode.reads)

    assert reads(4) == reads(20)


def test_one_tensor_after_another_is_checked_as_all_at_once() -> None:
    for value in (1.0, math.nan, -math.inf):
        found = []
        for check in (guard._check, guard._check_one_by_one):
            tensors = [torch.ones(3), torch.tensor([2.0, value])]
            flag = torch.zeros(())
            check(tensors, flag, torch.tensor(0.5))
            found.append((float(flag), tensors))
        assert found[0][0] == found[1][0] == (not math.isfinite(value))
        for one, other in zip(found[0][1], found[1][1], strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


def test_sparse_and_complex_gradients_are_seen() -> None:
    for grad in (
        torch.sparse_coo_tensor(torch.tensor([[1]]), torch.tensor([math.nan]), (3,), check_invariants=False),
        torch.tensor([1j, complex(0, math.nan)]),
    ):
        flag = torch.zeros(())
        guard._check([guard._values(grad)], flag, torch.ones(()))
        assert float(flag) == 1


def test_an_overflow_of_the_scaled_gradient_lowers_the_scale_alone() -> None:
    bnn = bayesian()
    optimizer = torch.optim.Adam(bnn.parameters(), lr=0.1, fused=True)
    guarded = Guard(bnn, optimizer, 1000, scaling=True)

    def step(loss: Tensor) -> None:
        guarded.step(yu.ELBO(loss, loss.detach(), loss.detach()), 40)

    before = [p.detach().clone() for p in bnn.parameters()]
    step(bnn.module.weight.sum() * 1e35)  # type: ignore[operator]
    guarded.look()
    assert (guarded.state()["scale"], guarded.skipped, guarded.backoff) == (2.0**15, 1, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(before, bnn.parameters(), strict=True))
    step(bnn.module.weight.sum() * 0.5)  # type: ignore[operator]
    assert torch.equal(bnn.module.weight.grad, torch.full((1, 2), 0.5))  # type: ignore[arg-type]
    step(bnn.module.weight.sum() * math.nan)  # type: ignore[operator]
    guarded.look()
    assert guarded.backoff == 0.5  # that is no matter of the scale


def objects_after(steps: int) -> tuple[int, int]:
    """Tracked objects and live tensors late in one epoch of so many steps."""
    found: list[tuple[int, int]] = []

    def counting(output: Tensor, y: Tensor) -> Tensor:
        counting.calls += 1  # type: ignore[attr-defined]
        if counting.calls == steps - 1:  # type: ignore[attr-defined]
            gc.collect()
            objects = gc.get_objects()
            found.append((len(objects), sum(issubclass(type(one), Tensor) for one in objects)))
        return output.new_zeros(())

    counting.calls = 0  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(
            bayesian(), (X.repeat(steps // 40, 1), Y.repeat(steps // 40, 1)), epochs=1, batch_size=1, penalty=counting
        )
    return found[0]


def test_memory_does_not_grow_with_the_steps() -> None:
    objects_after(40)  # what the first fit of a process leaves behind
    few, many = objects_after(80), objects_after(320)
    assert few[1] == many[1]
    assert abs(few[0] - many[0]) < 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
def test_memory_of_the_process_does_not_grow_with_the_steps() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    seen: list[int] = []
    options: dict[str, Any] = {"epochs": 20_000, "schedule": constant, "seed": 0}
    history = train(bayesian(), (X, Y), callbacks=[lambda epoch: seen.append(resident())], **options)
    assert history.steps == 20_000
    assert seen[-1] - seen[5_000] < 15_000 * 200 + 2**22  # the history of an epoch is some hundred bytes
