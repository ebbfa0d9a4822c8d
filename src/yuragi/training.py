"""`fit`: train a Bayesian network by stochastic variational inference, and choose what was left open."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from yuragi import fingerprint
from yuragi.bayesian import Bayesian, Penalty
from yuragi.checkpoints import Checkpoints
from yuragi.history import ConvergenceWarning, Epoch, History
from yuragi.loop import constant, cosine, train
from yuragi.pace import Job, Part, Progress
from yuragi.precision import Precision
from yuragi.ranks import Fabric, Ranks
from yuragi.selection import KL_WEIGHTS, select

__all__ = ["ConvergenceWarning", "Epoch", "History", "constant", "cosine", "fit"]


def fit(
    bnn: Bayesian,
    data: Any,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: Callable[[float], float] = cosine,
    kl_weight: float | Tensor | Sequence[float] | Literal["auto"] = 1.0,
    sample_weight: Any = None,
    validation: Any = None,
    patience: int = 20,
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] | None = None,
    parameter_groups: Iterable[dict[str, Any]] = (),
    callbacks: Sequence[Callable[[Epoch], bool | None]] = (),
    penalty: Penalty | None = None,
    precision: Precision = "full",
    time_budget: float | None = None,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 60.0,
    resume: bool = False,
    fabric: Fabric | None = None,
    seed: int | None = None,
) -> History:
    """Train by maximising the ELBO on minibatches; the data are never rescaled.

    A step whose loss or gradient is NaN or infinite is left out and counted (`History.skipped`). The learning rate is then
    halved, and doubled again, up to what it was, after 1,000 good steps in a row. See docs/long_runs.md.

    Args:
        bnn: the Bayesian network, trained in place.
        data: (x, y) tensors or arrays (x may be a tuple or dict of them), a Dataset of such pairs, a DataLoader, or
            `yuragi.data.Batches`, as those of rows that do not fit into memory are (see docs/large_tables.md).
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step; None: 128, but up to 256 rows all of them, and from 4,096 rows on 256. A DataLoader
            keeps its own, as `Batches` do.
        lr: learning rate of Adam; None: 1e-2. The likelihood's own parameters (the learned noise) get ten times it.
        schedule: learning-rate multiplier as a function of the fraction of steps done; `cosine` or `constant`.
        kl_weight: 1 is the true ELBO; a tensor [K] gives each member its own. A list of numbers, or "auto" for 1, 0.3, 0.1,
            0.03 and 0.01, are alternatives, as those that `bayesianize` was given: all are trained side by side on four
            fifths of the rows, scored by the log-likelihood of the rest, and the best is refitted on all rows. That needs a
            network that is not trained yet, and decides: a later `fit` takes `kl_weight` as it is given then.
        sample_weight: [N], for data in memory; 2 counts a row twice.
        validation: held-out (x, y): their log-likelihood is watched, the best state kept, and training stopped early.
            Alternatives are scored on them, too, and trained on all of `data`.
        patience: how many validations without improvement are allowed; there are at most 100 in a fit.
        optimizer: makes the optimiser from parameter groups, in place of Adam.
        parameter_groups: groups with options of their own, as for `torch.optim`; other parameters form a default group.
        callbacks: called with an `Epoch` after each; a true return value stops the fit. They do not see the candidates'. Of
            several processes, all call them, and the return value in the first one counts.
        penalty: a scalar added to the loss of every batch, from the outputs [K, B, *out] and targets of the same pass, as
            those of `yuragi.penalties`.
        precision: of the network's passes: "full", that of its weights; "bf16" or "fp16", by `torch.autocast`, where that is
            faster. Weights, spreads, KL and likelihood keep theirs, and "fp16" scales the loss. For predictions it is "full".
        time_budget: seconds for all of it, the choice included; `epochs` is then the most that is done. Schedule and choice
            fit themselves into the time, so that the result depends on the machine.
        progress: called some ten times a second with the fraction of the whole job that is done, the choice included. A true
            return value stops it, and what has been learnt is kept: during the choice, the members of the best candidate.
        checkpoint: a folder for checkpoints of all of it, the choice included; the last two are kept. See docs/long_runs.md.
        every: seconds between two, at least.
        resume: continue from the newest checkpoint that can be read, or begin where there is none yet. The network, the data
            and the other arguments must be those of the first call; the result is then that of a fit without interruption,
            on a CPU to the last bit. What was finished is not done again.
        fabric: a `lightning.fabric.Fabric` (the extra `fabric`), launched: its processes train the network together, each
            on its device and its rows of every batch. Each of them calls fit with all the rows, and ends with the same
            network; `batch_size` counts the rows of all. The network is moved to the device. See docs/many_devices.md.
        seed: of batches, noise and dropout; the global random state is used when None, and left alone otherwise. Of several
            processes each has noise of its own, by a seed that follows from this one (`History.settings["seeds"]`).

    Returns:
        A `History`; its `selection` says what was chosen and from what.

    Raises:
        ValueError: data that are empty, NaN, infinite or of wrong shape, an argument out of range, alternatives for a
            network that is trained already, or, with `checkpoint`, a loader whose order cannot be drawn again, or several
            processes without a seed; data that they cannot divide, or that are not the same in all.
        CheckpointError: the folder has checkpoints of another fit, or of this one and `resume` is False.
        FileError: none of the checkpoints can be read.
        OSError: a checkpoint cannot be written; the ones before are as they were.
        FloatingPointError: the loss or its gradient was NaN or infinite in 50 steps in a row, or in half of all where that
            is fewer; of candidates, that of all. The weights are then those of the last good step, or of the best validation.

    Warns:
        ConvergenceWarning: the loss was still falling by more than 0.05 nats per datum in the last quarter.
        CheckpointWarning: the last checkpoint is damaged, and the one before is used.

    Example:
        >>> import yuragi as yu
        >>> from torch import nn
        >>> x = torch.linspace(-1, 1, 50).reshape(-1, 1)
        >>> bnn = yu.bayesianize(nn.Linear(1, 1), likelihood=yu.Gaussian(noise=0.1), seed=0)
        >>> history = yu.fit(bnn, (x, 2 * x), epochs=1500, lr=0.02, seed=0)
        >>> bool(abs(bnn.module.weight - 2) < 0.1)
        True
    """
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "optimizer": optimizer,
        "penalty": penalty,
        "precision": precision,
    }
    parameter_groups = list(parameter_groups)
    ranks = Ranks()
    if fabric is not None:
        ranks = Ranks.of(fabric)
        bnn.to(fabric.device)
    if seed is None and not ranks.alone:
        if checkpoint is not None:
            raise ValueError(
                "to go on from a checkpoint, several processes need the seed that they began with: give seed="
            )
        seed = ranks.from_first(int(torch.randint(2**62, ())))
    part = Part(Job(time_budget, progress if progress is None or ranks.first else _unheard))
    chosen = None
    weight: Any = kl_weight
    if isinstance(kl_weight, str) and kl_weight != "auto":
        raise ValueError(
            f'kl_weight must be a number, a tensor [members], a list of numbers or "auto", got {kl_weight!r}'
        )
    choosing = isinstance(kl_weight, (str, list, tuple)) or (bnn.recipe is not None and bnn.recipe.open)
    checkpoints = None
    if checkpoint is not None:
        told = settings | {
            "schedule": fingerprint.of_schedule(schedule),
            "kl_weight": kl_weight,
            "patience": patience,
            "time_budget": time_budget,
            "seed": seed,
            "processes": ranks.count,
        }
        folder, foreign = checkpoint, not isinstance(data, (tuple, list))
        checkpoints = ranks.by_first(
            lambda: Checkpoints(
                folder,
                fingerprint.of_fit(bnn, data, validation, sample_weight, choosing, told),
                every=every,
                foreign=foreign,
                resume=resume,
            )
        )
    elif resume:
        raise ValueError("resume=True needs checkpoint=, the folder to continue from")
    if choosing:
        if parameter_groups:
            raise ValueError("parameter_groups= names parameters, and candidates have others: decide everything first")
        chosen, part = select(
            bnn,
            data,
            kl_weights=_alternatives(kl_weight),
            validation=validation,
            sample_weight=sample_weight,
            seed=seed,
            part=part,
            checkpoints=checkpoints,
            ranks=ranks,
            **settings,
        )
        weight = chosen.chosen.kl_weight
    if chosen is not None and part.job.stopped is not None:
        history = History(stopped=part.job.stopped, settings={"kl_weight": weight, "seed": seed})
    else:
        history = train(
            bnn,
            data,
            kl_weight=weight,
            sample_weight=sample_weight,
            validation=validation,
            patience=patience,
            parameter_groups=parameter_groups,
            callbacks=callbacks,
            seed=seed,
            part=part,
            checkpoints=checkpoints,
            ranks=ranks,
            **settings,
        )
    history.selection = chosen
    bnn.provenance = history.provenance(bnn)
    if not history.converged:
        warnings.warn(
            f"the fit stopped after {len(history.loss)} epochs while the negative ELBO was still falling (now "
            f"{history.loss[-1]:.3g} nats per datum): give it more epochs or a higher lr",
            ConvergenceWarning,
            stacklevel=2,
        )
    return history


def _unheard(done: float) -> None:
    """Progress of a process that is not the first: the same, and nobody is told."""


def _alternatives(kl_weight: float | Tensor | Sequence[float] | str) -> tuple[float, ...]:
    if isinstance(kl_weight, str):
        return KL_WEIGHTS
    if isinstance(kl_weight, (list, tuple)):
        if not kl_weight:
            raise ValueError("kl_weight is an empty list: give one number at least")
        return tuple(float(weight) for weight in kl_weight)
    if isinstance(kl_weight, Tensor) and kl_weight.dim():
        raise ValueError(
            "a tensor kl_weight gives each member its own, but here the members are still to be chosen: give a number, or a "
            "list of alternatives"
        )
    return (float(kl_weight),)  # type: ignore[arg-type]
