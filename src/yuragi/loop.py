"""The training loop: minibatches, optimiser, validation, early stopping, and the history of it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, Penalty
from yuragi.data import Batches, InMemory, batches, check_pair, take_rows
from yuragi.pace import Part
from yuragi.posteriors import Anchored
from yuragi.prediction import predict

if TYPE_CHECKING:
    from yuragi.selection import Selection

DEFAULT_LR = 1e-2
DEFAULT_STEPS = 2000
NOISE_LR = 10.0  # the noise is one number among many weights: at their learning rate it would lag behind
_VALIDATIONS = 100  # over a whole fit
_UNCONVERGED = 0.05  # nats per datum gained in the last quarter


class ConvergenceWarning(UserWarning):
    """The fit stopped while the objective was still improving."""


class Epoch(NamedTuple):
    """What a callback sees after each epoch; log-likelihoods are means in nats per datum, the KL a sum in nats."""

    epoch: int
    epochs: int
    loss: float
    log_likelihood: float
    kl: float
    lr: float
    validation: float | None


@dataclass
class History:
    """What happened in a fit, epoch by epoch.

    Attributes:
        loss: negative ELBO per datum, nats, with the penalty where there is one.
        log_likelihood: mean log p(y∣x,w), nats per datum.
        kl: KL(q‖p), nats.
        validation: (epoch, mean held-out log-likelihood of the predictive mixture, nats per datum).
        stopped: "epochs" (ran to the end), "validation" (early stopping), "callback", "time" (the budget is used up) or
            "progress" (whoever watches it said so).
        converged: False when the loss was still improving at the end.
        best_epoch: the epoch whose state was kept, with validation.
        settings: what the fit ran with, defaults filled in.
        steps: optimiser steps made.
        seconds: wall-clock time, of the final fit alone where there was a selection.
        selection: what was chosen by held-out data, and from what; None where nothing was left open.
    """

    loss: list[float] = field(default_factory=list)
    log_likelihood: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    stopped: str = "epochs"
    converged: bool = True
    best_epoch: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    selection: Selection | None = None

    def trained(self) -> str:
        """How long the fit was, in words, and whether it was still improving."""
        return f"{len(self.loss)} epochs" + ("" if self.converged else ", still improving at the end")

    def provenance(self, bnn: Bayesian) -> dict[str, Any]:
        """What a `Prediction` of the fitted network should say of where it is from, as numbers and text."""
        made: dict[str, Any] = {
            "prior": repr(bnn.prior),
            "posterior": repr(bnn.posterior),
            "likelihood": repr(bnn.likelihood),
            "members": bnn.members,
            **self.settings,
        }
        if self.selection is not None:
            made["chosen"] = self.selection.chosen.described()
            made["candidates"] = [candidate.described() for candidate in self.selection.candidates]
            made["held_out"] = self.selection.held_out
        return made


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
    seed: int | None = None,
    part: Part | None = None,
) -> History:
    """Train one network with everything decided; `part` says of what, and the other arguments are as for `yuragi.fit`."""
    _check_arguments(epochs, lr, patience, kl_weight)
    part = Part() if part is None else part
    start = time.perf_counter()
    like = bnn.reference_tensor
    generator = None if seed is None else torch.Generator(like.device).manual_seed(seed)
    source = batches(
        data,
        like,
        batch_size=batch_size,
        sample_weight=sample_weight,
        indexed=isinstance(bnn.posterior, Anchored),
        generator=generator,
    )
    if epochs is None:
        epochs = max(20, -(-DEFAULT_STEPS // source.steps))
    lr = DEFAULT_LR if lr is None else lr
    if validation is not None:
        validation = _checked_validation(bnn, validation)
    groups = _groups(bnn, list(parameter_groups), lr)
    make = optimizer or (lambda groups: torch.optim.Adam(groups, lr=lr, fused=like.device.type in ("cpu", "cuda")))
    history = History(
        settings={
            "kl_weight": kl_weight.tolist() if isinstance(kl_weight, Tensor) else kl_weight,
            "epochs": epochs,
            "lr": lr,
            "schedule": getattr(schedule, "__name__", repr(schedule)),
            "seed": seed,
            "num_data": source.num_data,
        }
    )
    modes = [(module, module.training) for module in bnn.modules()]
    in_memory = isinstance(source, InMemory)  # so that its indices are 0 … N − 1
    with (
        torch.random.fork_rng() if seed is not None else nullcontext(),
        bnn.keeping_noise(source.num_data if in_memory else None),
    ):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            bnn.train()
            _initialise_likelihood(bnn, source)
            optimiser = _made(make, groups)
            bnn.recipe = None  # from here on its weights know the data, and no rows of them can be held out
            run = _Run(bnn, source, optimiser, schedule, kl_weight, generator, epochs, history, penalty, part)
            run.train(validation, patience, callbacks)
        finally:
            for module, training in modes:
                module.training = training
    history.seconds = time.perf_counter() - start
    history.converged = history.stopped not in ("epochs", "time") or not _still_falling(history.loss)
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
        part: Part,
    ) -> None:
        self.bnn, self.source, self.optimizer, self.history = bnn, source, optimizer, history
        self.schedule, self.kl_weight, self.generator, self.epochs = schedule, kl_weight, generator, epochs
        self.penalty, self.part = penalty, part
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.best = -math.inf
        self.best_state: dict[str, Tensor] | None = None

    def train(self, validation: Any, patience: int, callbacks: Sequence[Callable[[Epoch], bool | None]]) -> None:
        every = max(1, self.epochs // _VALIDATIONS)
        worse = 0
        for epoch in range(1, self.epochs + 1):
            loss, log_likelihood, kl = self._epoch(epoch)
            self.history.loss.append(loss)
            self.history.log_likelihood.append(log_likelihood)
            self.history.kl.append(kl)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} in epoch {epoch}: lower lr, or check the scale of the data"
                )
            score = None
            if validation is not None and (epoch % every == 0 or epoch == self.epochs):
                score = self._validate(validation, epoch)
                worse = 0 if self.history.best_epoch == epoch else worse + 1
            rate = self.optimizer.param_groups[0]["lr"]
            record = Epoch(epoch, self.epochs, loss, log_likelihood, kl, rate, score)
            stops = [callback(record) for callback in callbacks]  # every one is called
            if any(stops):
                self.history.stopped = "callback"
                break
            if self.part.stopped is not None:
                self.history.stopped = self.part.stopped
                break
            if worse > patience:
                self.history.stopped = "validation"
                break
        self.part.after(total := self.epochs * self.source.steps, total)
        if self.best_state is not None:
            self.bnn.load_state_dict(self.best_state)

    def _epoch(self, epoch: int) -> list[float]:
        done = (epoch - 1) * self.source.steps
        total = self.epochs * self.source.steps
        sums, rows = torch.zeros(3, device=self.bnn.reference_tensor.device), 0
        for step, batch in enumerate(self.source, start=done):
            self.part.after(step, total)
            multiplier = self.schedule(self.part.done)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * multiplier
            parts = self.bnn.elbo(
                batch.x,
                batch.y,
                self.source.num_data,
                kl_weight=self.kl_weight,
                index=batch.index,
                sample_weight=batch.weight,
                generator=self.generator,
                penalty=self.penalty,
            )
            self.optimizer.zero_grad(set_to_none=True)
            parts.loss.backward()
            self.optimizer.step()
            sums += len(batch.y) * torch.stack([parts.loss.detach(), parts.log_likelihood, parts.kl])
            rows += len(batch.y)
            self.history.steps += 1
            if self.part.stopped is not None:
                break
        if rows == 0:
            raise ValueError("the data are empty: the loader yielded no batch")
        return (sums / rows).tolist()

    def _validate(self, validation: Any, epoch: int) -> float:
        x, y = validation
        score = float(predict(self.bnn, x, samples=32, seed=0).log_prob(y).mean())
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


def _made(
    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    optimizer = make(groups)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates the loss several times a step, and here each time has other noise: use Adam or SGD"
        )
    return optimizer


def _checked_validation(bnn: Bayesian, validation: Any) -> tuple[Any, Tensor]:
    like = bnn.reference_tensor
    x, y = check_pair("validation", validation, like.device, like.dtype)
    first = slice(0, 2)
    predict(bnn, take_rows(x, first), samples=1).log_prob(y[first])  # refuses targets of another shape now, not later
    return x, y


def _groups(bnn: Bayesian, given: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    given = [{**group, "params": list(group["params"])} for group in given]
    taken = {id(parameter) for group in given for parameter in group["params"]}

    def rest(module: nn.Module) -> list[nn.Parameter]:
        return [p for p in module.parameters() if p.requires_grad and id(p) not in taken]

    noise = rest(bnn.likelihood)
    taken |= {id(parameter) for parameter in noise}
    groups = [*given, {"params": rest(bnn)}, {"params": noise, "lr": NOISE_LR * lr}]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("nothing to train: every parameter has requires_grad=False")
    return groups


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


def _still_falling(loss: list[float]) -> bool:
    if len(loss) < 4:
        return False
    values = torch.tensor(loss, dtype=torch.float64)
    half, quarter = len(loss) // 2, len(loss) // 4
    before, last = values[half:-quarter], values[-quarter:]
    # the variance of the noise alone, from successive differences (von Neumann 1941): a steady fall does not count as noise
    noise = sum(float(part.diff().square().mean()) / 2 / len(part) for part in (before, last) if len(part) > 1)
    return float(before.mean() - last.mean()) > _UNCONVERGED + 3 * math.sqrt(noise)
