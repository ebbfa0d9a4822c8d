"""The training loop: minibatches, optimiser, validation, early stopping."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from yuragi import optimizers
from yuragi.bayesian import Bayesian, Penalty
from yuragi.checkpoints import Checkpoints
from yuragi.compilation import Objective
from yuragi.data import Batch, Batches, InMemory, batches, check_pair, take_rows
from yuragi.guard import Guard
from yuragi.history import Epoch, History, still_falling
from yuragi.network_state import follow_first, load_network_state, network_state
from yuragi.normals import NormalTable
from yuragi.pace import Part
from yuragi.posteriors import Anchored
from yuragi.precision import Precision, pass_dtype
from yuragi.prediction import predict
from yuragi.random_state import random_state, set_random_state
from yuragi.ranks import Ranks

DEFAULT_LR = 1e-2
DEFAULT_STEPS = 2000
_VALIDATIONS = 100  # over a whole fit


def cosine(done: float) -> float:
    """Learning-rate multiplier that falls from 1 to 0 along half a cosine as `done` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * done))


def constant(done: float) -> float:
    """Learning-rate multiplier that stays at 1."""
    return 1.0


def train(
    bnn: Bayesian,
    data: Any,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: Callable[[float], float] = cosine,
    kl_weight: float | Tensor = 1.0,
    sample_weight: Any = None,
    validation: Any = None,
    patience: int = 20,
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] | None = None,
    parameter_groups: Iterable[dict[str, Any]] = (),
    callbacks: Sequence[Callable[[Epoch], bool | None]] = (),
    penalty: Penalty | None = None,
    precision: Precision = "full",
    seed: int | None = None,
    part: Part | None = None,
    checkpoints: Checkpoints | None = None,
    ranks: Ranks | None = None,
) -> History:
    """Train one network with everything decided: as part `part` of a job, and by the processes `ranks` together.

    The other arguments are as for `yuragi.fit`. Several processes need a seed.
    """
    _check_arguments(epochs, lr, patience, kl_weight)
    part = Part() if part is None else part
    ranks = Ranks() if ranks is None else ranks
    start = time.perf_counter()
    like = bnn.reference_tensor
    autocast = pass_dtype(precision, like.device)
    seeds = ranks.seeds(seed)
    order = generator = None if seed is None else torch.Generator(like.device).manual_seed(seed)
    own_seed = seeds[ranks.rank]
    if own_seed is not None and not ranks.alone:
        generator = torch.Generator(like.device).manual_seed(own_seed)
    source = batches(
        data,
        like,
        batch_size=batch_size,
        sample_weight=sample_weight,
        indexed=isinstance(bnn.posterior, Anchored),
        generator=order,
    )
    if epochs is None:
        epochs = max(20, -(-DEFAULT_STEPS // source.steps))
    lr = DEFAULT_LR if lr is None else lr
    if validation is not None:
        validation = _checked_validation(bnn, validation)
    groups = optimizers.groups(bnn, list(parameter_groups), lr)
    make = optimizer or (lambda groups: torch.optim.Adam(groups, lr=lr, fused=like.device.type in ("cpu", "cuda")))
    history = History(
        settings={
            "kl_weight": kl_weight.tolist() if isinstance(kl_weight, Tensor) else kl_weight,
            "epochs": epochs,
            "lr": lr,
            "schedule": getattr(schedule, "__name__", repr(schedule)),
            "precision": precision,
            "seed": seed,
            "num_data": source.num_data,
            **({} if ranks.alone else {"seeds": seeds}),
        }
    )
    modes = [(module, module.training) for module in bnn.modules()]
    in_memory = isinstance(source, InMemory)  # so that its indices are 0 … N − 1
    with (
        torch.random.fork_rng() if seed is not None else nullcontext(),
        bnn.keeping_noise(source.num_data if in_memory else None),
    ):
        if own_seed is not None:
            torch.manual_seed(own_seed)
        try:
            bnn.train()
            ranks.by_first(lambda: _initialise_likelihood(bnn, source))
            if not ranks.alone:
                _agree(bnn, source, order, ranks)
            optimiser = optimizers.made(make, groups)
            bnn.recipe = None  # from here on its weights know the data, and no rows of them can be held out
            run = _Run(
                bnn,
                source if ranks.alone else source.among(ranks),
                optimiser,
                schedule,
                kl_weight,
                generator,
                epochs,
                history,
                penalty,
                autocast,
                part,
                checkpoints,
                ranks,
            )
            run.train(validation, patience, callbacks)
        finally:
            for module, training in modes:
                module.training = training
    history.seconds += time.perf_counter() - start
    history.converged = history.stopped not in ("epochs", "time") or not still_falling(history.loss)
    return history


class _Run:
    """The loop of one fit."""

    def __init__(
        self,
        bnn: Bayesian,
        source: Batches,
        optimizer: torch.optim.Optimizer,
        schedule: Callable[[float], float],
        kl_weight: float | Tensor,
        generator: torch.Generator | None,
        epochs: int,
        history: History,
        penalty: Penalty | None,
        autocast: torch.dtype | None,
        part: Part,
        checkpoints: Checkpoints | None,
        ranks: Ranks,
    ) -> None:
        self.bnn, self.source, self.optimizer, self.history = bnn, source, optimizer, history
        self.schedule, self.kl_weight, self.generator, self.epochs = schedule, kl_weight, generator, epochs
        self.penalty, self.autocast, self.part = penalty, autocast, part
        self.guard = Guard(bnn, optimizer, epochs * source.steps, ranks, scaling=autocast is torch.float16)
        self.objective = Objective(bnn, None if part.limited else epochs * source.steps)
        self.checkpoints, self.ranks = checkpoints, ranks
        self.stopped: str | None = None  # why the fit is to end
        generators = [] if checkpoints is None else [*source.generators(), *([] if generator is None else [generator])]
        self.generators = list(dict.fromkeys(generators))
        self.epoch, self.done = 1, 0  # the epoch under way, and its steps so far
        self.sums, self.rows = [0.0, 0.0, 0.0], 0  # of those that were not left out
        self.epoch_began: dict[str, Any] | None = None  # the random state in which its order was drawn
        self.began = time.perf_counter()
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.best, self.worse = -math.inf, 0
        self.best_state: dict[str, Tensor] | None = None

    def train(self, validation: Any, patience: int, callbacks: Sequence[Callable[[Epoch], bool | None]]) -> None:
        held = None if self.checkpoints is None else self.checkpoints.take()
        if held is not None:
            self._load_state(held)
            if held["finished"]:
                return
        try:
            self._train(validation, patience, callbacks)
        finally:  # in trouble too: the best state is the last good one
            if self.best_state is not None:
                self.bnn.load_state_dict(self.best_state)
        self.history.compiled = self.objective.decision
        self.part.after(total := self.epochs * self.source.steps, total)
        if self.checkpoints is not None and self.history.stopped != "progress":  # else it may be continued
            self._write(finished=True)

    def _train(self, validation: Any, patience: int, callbacks: Sequence[Callable[[Epoch], bool | None]]) -> None:
        every = max(1, self.epochs // _VALIDATIONS)
        for epoch in range(self.epoch, self.epochs + 1):
            self.epoch = epoch
            loss, log_likelihood, kl = self._epoch()
            self.history.loss.append(loss)
            self.history.log_likelihood.append(log_likelihood)
            self.history.kl.append(kl)
            score = None
            if validation is not None and math.isfinite(loss) and (epoch % every == 0 or epoch == self.epochs):
                score = self._validate(validation, epoch)
                self.worse = 0 if self.history.best_epoch == epoch else self.worse + 1
            rate = self.optimizer.param_groups[0]["lr"]
            record = Epoch(epoch, self.epochs, loss, log_likelihood, kl, rate, score)
            stops = [bool(callback(record)) for callback in callbacks]  # every one is called
            if any(self.ranks.from_first(stops) if stops else stops):
                self.history.stopped = "callback"
                break
            if self.stopped is not None:
                self.history.stopped = self.stopped
                break
            if self.worse > patience:
                self.history.stopped = "validation"
                break
            self._begin_epoch(epoch + 1)
            self._checkpoint()

    def _epoch(self) -> list[float]:
        self._keep_time()
        for batch in self._batches():
            multiplier = self.schedule(self.part.done) * self.guard.backoff
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * multiplier
            self.guard.before_pass()
            parts = self.objective(
                batch.x,
                batch.y,
                self.source.num_data,
                kl_weight=self.kl_weight,
                index=batch.index,
                sample_weight=batch.weight,
                generator=self.generator,
                penalty=self.penalty,
                autocast=self.autocast,
            )
            self.guard.step(parts, batch.rows, batch.share)
            self.done += 1
            self.history.steps += 1
            self._keep_time()
            if self.guard.full:
                self._look()
                self._checkpoint()
            if self.stopped is not None:
                break
        if not self.done:
            raise ValueError("the data are empty: the loader yielded no batch")
        self._look()
        return [total / self.rows if self.rows else math.nan for total in self.sums]

    def _keep_time(self) -> None:
        step, steps = (self.epoch - 1) * self.source.steps + self.done, self.epochs * self.source.steps
        if step < steps:  # that all is done is told at the end
            self.part.after(step, steps)
        self.stopped = self.part.stopped
        if self.part.job.limited and not self.ranks.alone:  # clocks differ, and so may whoever watches
            self.part.done, self.stopped = self.ranks.from_first((self.part.done, self.stopped))
            if self.stopped == "progress":
                self.part.job.stopped = self.stopped

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.done, self.epoch_began = epoch, 0, None
        self.sums, self.rows = [0.0, 0.0, 0.0], 0

    def _batches(self) -> Iterator[Batch]:
        """Those of the epoch under way that are still to be done."""
        if self.checkpoints is None:
            return iter(self.source)
        now = self._random_state()
        if self.epoch_began is None:
            self.epoch_began = now
            return iter(self.source)
        # the order is drawn again, and the rows that were there already are passed over
        device = self.bnn.reference_tensor.device
        set_random_state(self.epoch_began, self.generators, device)
        rest = iter(self.source)
        for _ in itertools.islice(rest, self.done):
            pass
        set_random_state(now, self.generators, device)
        return rest

    def _look(self) -> None:
        for rows, parts in self.guard.look():
            if parts is not None:
                self.rows += rows
                self.sums = [total + rows * part for total, part in zip(self.sums, parts, strict=True)]
        self.history.skipped = self.guard.skipped
        try:
            self.guard.refuse_more()
        except FloatingPointError:
            if self.checkpoints is not None and not self.checkpoints.choosing:
                self._write()
            raise

    # -- checkpoints: only just after a look, when the guard has no notes

    def _checkpoint(self) -> None:
        if self.checkpoints is not None and self.ranks.from_first(self.checkpoints.due) and self.stopped is None:
            self._write()

    def _write(self, finished: bool = False) -> None:
        assert self.checkpoints is not None
        checkpoints, state = self.checkpoints, self._state(finished)
        self.ranks.by_first(lambda: checkpoints.write(state))

    def _random_state(self) -> dict[str, Any]:
        assert self.checkpoints is not None
        return random_state(self.generators, self.bnn.reference_tensor.device, self.checkpoints.foreign)

    def _state(self, finished: bool = False) -> dict[str, Any]:
        return {
            "finished": finished,
            "network": network_state(self.bnn),
            "optimizer": optimizers.described(self.optimizer, self.rates),
            "guard": self.guard.state(),
            "by rank": self.ranks.of_all(
                {
                    "random": self._random_state(),
                    "normals": [table.state() for table in self._tables()],
                    "epoch began": self.epoch_began,
                }
            ),
            "epoch": self.epoch,
            "done": self.done,
            "sums": self.sums,
            "rows": self.rows,
            "best": self.best,
            "best state": self.best_state,
            "worse": self.worse,
            "history": self.history.state(),
            "seconds": self.history.seconds + time.perf_counter() - self.began,
            "clock": self.part.clock(),
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        load_network_state(self.bnn, state["network"])
        optimizers.restore(self.optimizer, self.rates, state["optimizer"])
        self.guard.load_state(state["guard"])
        self.epoch, self.done = state["epoch"], state["done"]
        self.sums, self.rows = state["sums"], state["rows"]
        self.best, self.worse, self.best_state = state["best"], state["worse"], state["best state"]
        self.history.load_state(state["history"])
        self.history.seconds = state["seconds"]
        self.part.set_clock(state["clock"])
        own = state["by rank"][self.ranks.rank]
        self.epoch_began = own["epoch began"]
        for table, its in zip(self._tables(), own["normals"], strict=True):
            table.restore(its)
        set_random_state(own["random"], self.generators, self.bnn.reference_tensor.device)

    def _tables(self) -> list[NormalTable]:
        tables = (getattr(part, "normals", None) for part in self.bnn.posterior.modules())
        return [table for table in tables if isinstance(table, NormalTable)]

    def _validate(self, validation: Any, epoch: int) -> float:
        x, y = validation
        own = slice(self.ranks.rank, None, self.ranks.count)
        found = torch.zeros(2, dtype=torch.float64, device=y.device)  # the sum over rows, and their number
        if len(y[own]):
            log_prob = predict(self.bnn, take_rows(x, own), samples=32, seed=0).log_prob(y[own])
            found = torch.stack([log_prob.double().sum(), torch.full_like(found[0], log_prob.numel())])
        self.ranks.add_up([found])
        score = float(found[0] / found[1])
        self.history.validation.append((epoch, score))
        if score > self.best:
            self.best = score
            self.best_state = {name: value.detach().clone() for name, value in self.bnn.state_dict().items()}
            self.history.best_epoch = epoch
        return score


def _check_arguments(epochs: int | None, lr: float | None, patience: int, kl_weight: float | Tensor) -> None:
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if lr is not None and not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    if patience < 0:
        raise ValueError(f"patience must not be negative, got {patience}")
    weight = torch.as_tensor(kl_weight)
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(f"kl_weight must be finite and not negative, got {kl_weight}")


def _checked_validation(bnn: Bayesian, validation: Any) -> tuple[Any, Tensor]:
    like = bnn.reference_tensor
    x, y = check_pair("validation", validation, like.device, like.dtype)
    first = slice(0, 2)
    predict(bnn, take_rows(x, first), samples=1).log_prob(y[first])  # refuses targets of another shape now, not later
    return x, y


def _agree(bnn: Bayesian, source: Batches, order: torch.Generator | None, ranks: Ranks) -> None:
    """Begin with the weights of the first process, and draw the order of the rows as it does."""
    sizes = ranks.of_all((source.num_data, source.steps))
    if len(set(sizes)) > 1:
        raise ValueError(
            f"the processes were given different data, of (rows, batches) {', '.join(map(str, sizes))}: give each of them "
            "all the rows, of which fit takes its part of every batch"
        )
    follow_first(bnn, ranks)
    if order is not None:
        order.set_state(ranks.from_first(order.get_state()))


def _initialise_likelihood(bnn: Bayesian, source: Batches) -> None:
    # all targets where they are in memory; else those of as many batches as it takes until not all are equal
    seen: list[Tensor] = []
    for batch in source:
        seen.append(getattr(source, "y", batch.y))
        y = torch.cat(seen)
        if hasattr(source, "y") or len(seen) == source.steps or bool((y != y[:1]).any()):
            bnn.likelihood.check_targets(y)
            bnn.likelihood.initialise(y)
            return
