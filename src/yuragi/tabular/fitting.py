"""Fitting a network to a table of numbers, and letting it learn from further rows."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from yuragi import likelihoods
from yuragi.bayesian import Bayesian
from yuragi.continual import posterior_to_prior
from yuragi.conversion import bayesianize
from yuragi.data import Batches
from yuragi.estimators import Estimator
from yuragi.likelihoods import Likelihood
from yuragi.likelihoods.location_scale import NetworkScale
from yuragi.networks import TabularNetwork
from yuragi.pace import Progress
from yuragi.ranks import Fabric
from yuragi.tabular.model import TabularModel
from yuragi.tabular.rows import Rows, Units, standardised
from yuragi.tabular.settings import (
    BINS,
    MakeModule,
    Noise,
    Plan,
    Posterior,
    Task,
    can_choose,
    likelihood_of,
    network_outputs,
    streamed_budget,
    usual_budget,
)
from yuragi.training import ConvergenceWarning, Epoch, History, fit


def fit_tabular(
    x: Any,
    y: Any,
    task: Task,
    *,
    posterior: Posterior = "auto",
    members: int | None = None,
    noise: Noise = "auto",
    estimator: Estimator = "local",
    module: MakeModule | None = None,
    sample_weight: Any = None,
    classes: int | None = None,
    epochs: int | None = None,
    time_budget: float | None = None,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 60.0,
    resume: bool = False,
    fabric: Fabric | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    callbacks: Sequence[Callable[[Epoch], bool | None]] = (),
) -> TabularModel:
    """Fit a network to a table of numbers, with what the measurements of docs/quality.md recommend.

    Inputs and targets are standardised, in float64 and by these data alone; a constant input column is left unscaled. The
    rows may come in any order: the result is the same. Rows of weight 0 are left out, and where all weights are whole
    numbers, a row of weight 2 is the same as the row twice (up to ten times as many rows; beyond that, and for other weights,
    the log-likelihood is weighted).

    Args:
        x: inputs, [N, D] numbers.
        y: targets: for regression [N] or [N, outputs], for classification the labels 0, 1, … [N], integers. Each output
            is standardised by itself; one that is constant is measured in hundredths of its size.
        task: "regression", or "classification" with a `Categorical` likelihood, for two classes too.
        posterior: "auto": anchored members; which prior is chosen by held-out rows: how much the network may bend, and how
            much its noise may vary with x (with `module`, the gain of `FanIn`). With fewer than 40 rows, or fewer than 20
            whose target is not the most frequent one, nothing can be chosen, and the smoothest is taken.
            "anchored": the same members under one prior, nothing chosen. "meanfield": with one member, independent Normals
            and the true ELBO (kl_weight 1); with several, a mixture whose kl_weight is chosen by held-out rows, 0.1 with
            few rows. A posterior of `yuragi.posteriors` itself: that one, at kl_weight 1.
        members: None: 10 for anchored members, 5 for "meanfield", 1 for another posterior.
        noise: for regression. "auto": Student-t with a scale from the network; a fixed noise of a hundredth where all
            targets are equal. "learned": Gaussian, learned, one for each output. "heteroscedastic": Gaussian with a scale
            from the network. A number: Gaussian of that standard deviation, in the units of y; outputs share one scale.
        estimator: as for `bayesianize`; a posterior whose weights are correlated uses "shared".
        module: makes a network of your own from the numbers of its inputs and outputs, in the place of
            `networks.TabularNetwork`. Its inputs come standardised; its outputs are [N, d], twice as many where the noise
            comes from the network, one for each class where there are classes. Its prior is `FanIn`.
        sample_weight: [N]; 2 counts a row twice.
        classes: how many there are; None: as many as the largest label says.
        epochs: as for `yuragi.fit`, whose warning of a fit that was too short is for a number given here; None is the
            measured budget: 1,000 steps for anchored members of the library's network and fewer than 4,096 rows, else 2,000.
        time_budget: seconds for all of it, as for `yuragi.fit`; None: as long as it takes.
        progress: told how far all of it is, and may stop it, as for `yuragi.fit`.
        checkpoint: a folder for checkpoints, as for `yuragi.fit`.
        every: seconds between two, at least.
        resume: continue from the newest, as for `yuragi.fit`.
        fabric: of several processes that train together, as for `yuragi.fit`; each needs all the rows.
        device: where to train and to predict; None: where `module` makes its network, and the CPU for that of the library.
        seed: of everything random; the global random state is left alone.
        callbacks: as for `yuragi.fit`.

    Returns:
        The fitted model.

    Raises:
        ValueError: an argument is out of range or does not go with the task, or data that are NaN, infinite or of the wrong
            shape.

    Example:
        >>> x = torch.linspace(-1, 1, 30).reshape(-1, 1)
        >>> settings = {"posterior": "meanfield", "members": 1, "module": nn.Linear}
        >>> model = fit_tabular(x, 1000 * x + 50, "regression", noise=50.0, **settings)
        >>> p = model.predict([[0.0], [0.5]])
        >>> p.mean.shape, bool((p.mean - torch.tensor([[50.0], [550.0]])).abs().max() < 50)
        (torch.Size([2, 1]), True)
    """
    if task not in ("regression", "classification"):
        raise ValueError(f'task must be "regression" or "classification", got {task!r}')
    if task == "classification" and noise != "auto":
        raise ValueError(f"noise={noise!r} is for regression: class probabilities have no other noise")
    fixed = not isinstance(noise, str)
    rows = Rows.of(x, y, task, sample_weight)
    units = rows.units(common=fixed)
    outputs = len(units.loc) if task == "regression" else rows.classes(classes)
    likelihood = likelihoods.Categorical() if task == "classification" else likelihood_of(noise, rows, units.scale)
    inputs, targets = standardised(rows.x, units.x_loc, units.x_scale), rows.targets(units)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _network(inputs, outputs, likelihood, module)
    if device is not None:
        net = net.to(device)
    plan = Plan.of(posterior, members, net, can_choose(rows, task))
    bnn = _bayesian(net, likelihood, plan, estimator, seed)
    settings: dict[str, Any] = {"epochs": epochs}
    if epochs is None and plan.posterior.is_points and isinstance(net, TabularNetwork):
        settings = usual_budget(len(inputs))
    history = _fit(
        bnn,
        (inputs, targets),
        measured=epochs is None,
        kl_weight=plan.kl_weight,
        sample_weight=rows.weight,
        time_budget=time_budget,
        progress=progress,
        checkpoint=checkpoint,
        every=every,
        resume=resume,
        fabric=fabric,
        seed=seed,
        callbacks=callbacks,
        **settings,
    )
    return _model(bnn, task, units, outputs, history)


def fit_streamed(
    sample: Rows,
    stream: Callable[[Units], Batches],
    task: Task,
    *,
    loc: Tensor,
    scale: Tensor,
    posterior: Posterior = "auto",
    members: int | None = None,
    classes: int | None = None,
    epochs: int | None = None,
    time_budget: float | None = None,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> TabularModel:
    """Fit a network to more rows than fit into memory, as `fit_tabular` does to those that do.

    A sample of the rows says where the bins of the network are and how its inputs are scaled, and settings are chosen by
    a part of the sample that is held out; the network that is chosen is trained on all rows.

    Args:
        sample: some of the rows.
        stream: makes the batches of all rows: inputs standardised, targets too, or labels.
        task: "regression" or "classification".
        loc: mean of the targets of all rows, float64 [outputs]; of no meaning for classes.
        scale: their standard deviation, float64 [outputs].
        posterior: as for `fit_tabular`.
        members: as for `fit_tabular`.
        classes: how many there are; None: as many as the largest label of the sample says.
        epochs: passes over all rows; None: as `fit_tabular`, but no more than make 20,000 steps, and one at least.
        time_budget: seconds for all of it, as for `yuragi.fit`.
        progress: told how far all of it is, and may stop it, as for `yuragi.fit`.
        checkpoint: a folder for checkpoints, one a minute, as for `yuragi.fit`.
        resume: continue from the newest, as for `yuragi.fit`.
        device: where to train and to predict; None: the CPU.
        seed: of everything random; the global random state is left alone.

    Returns:
        The fitted model.

    Raises:
        ValueError: an argument is out of range, or the rows of the sample are not of the task.
    """
    units = sample.units()
    outputs = len(loc)
    if task == "regression":
        units = replace(units, loc=loc, scale=scale)
    else:
        outputs = sample.classes(classes)
    likelihood = likelihoods.Categorical() if task == "classification" else likelihood_of("auto", sample, units.scale)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _network(standardised(sample.x, units.x_loc, units.x_scale), outputs, likelihood, None)
    if device is not None:
        net = net.to(device)
    plan = Plan.of(posterior, members, net, can_choose(sample, task))
    bnn = _bayesian(net, likelihood, plan, "local", seed)
    batches = stream(units)
    settings = {"epochs": epochs} if epochs is not None else streamed_budget(batches.num_data)
    history = _fit(
        bnn,
        batches,
        measured=epochs is None,
        kl_weight=plan.kl_weight,
        time_budget=time_budget,
        progress=progress,
        checkpoint=checkpoint,
        resume=resume,
        seed=seed,
        **settings,
    )
    return _model(bnn, task, units, outputs, history)


def update_tabular(
    model: TabularModel,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    epochs: int | None = None,
    seed: int = 0,
    callbacks: Sequence[Callable[[Epoch], bool | None]] = (),
) -> TabularModel:
    """Learn from further data, with the posterior of the data so far as the prior: see `yuragi.continual`.

    Standardisation, and a learned noise, stay those of the first data; a batch may be of a single row.

    Args:
        model: of one `MeanField` or `FullCovariance` member; left as it is.
        x: inputs, [N, D].
        y: targets, as for `fit_tabular`.
        sample_weight: [N]; 2 counts a row twice.
        epochs: as for `yuragi.fit`.
        seed: of everything random; the global random state is left alone.
        callbacks: as for `yuragi.fit`.

    Returns:
        A new model.

    Raises:
        ValueError: the posterior cannot be a prior, or data that do not go with the model.
    """
    rows = Rows.of(model.inputs(x), y, model.task, sample_weight)
    units = Units(model.loc, model.scale, model.x_loc, model.x_scale)
    if model.task == "regression" and rows.y.shape[1] != len(model.loc):
        raise ValueError(f"y has {rows.y.shape[1]} outputs, but the model was fitted to {len(model.loc)}")
    if model.task == "classification":
        rows.classes(len(model.loc))
    bnn = copy.deepcopy(model.bnn)
    posterior_to_prior(bnn)
    bnn.likelihood.requires_grad_(False)
    history = _fit(
        bnn,
        (standardised(rows.x, units.x_loc, units.x_scale), rows.targets(units)),
        measured=epochs is None,
        sample_weight=rows.weight,
        epochs=epochs,
        seed=seed,
        callbacks=callbacks,
    )
    return replace(model, bnn=bnn, history=history)


def _network(inputs: Tensor, outputs: int, likelihood: Likelihood, module: MakeModule | None) -> nn.Module:
    if module is None:
        heteroscedastic = isinstance(likelihood, NetworkScale)
        return TabularNetwork(inputs, outputs, heteroscedastic=heteroscedastic, bins=BINS)
    net = module(inputs.shape[1], network_outputs(likelihood, outputs))
    if not isinstance(net, nn.Module):
        raise TypeError(f"module must make an nn.Module, got {type(net).__name__}")
    return net


def _bayesian(net: nn.Module, likelihood: Likelihood, plan: Plan, estimator: Estimator, seed: int) -> Bayesian:
    return bayesianize(
        net,
        likelihood=likelihood,
        prior=plan.prior,
        posterior=plan.posterior,
        estimator=estimator if plan.posterior.independent else "shared",
        members=plan.members,
        seed=seed,
    )


def _model(bnn: Bayesian, task: Task, units: Units, outputs: int, history: History) -> TabularModel:
    if task == "classification":
        units = replace(units, loc=torch.zeros(outputs).double(), scale=torch.ones(outputs).double())
    return TabularModel(bnn, task, units.loc, units.scale, units.x_loc, units.x_scale, history)


def _fit(bnn: Bayesian, data: tuple[Tensor, Tensor] | Batches, *, measured: bool, **settings: Any) -> History:
    with warnings.catch_warnings() if measured else nullcontext():
        if measured:  # the budget is the one that was measured, whether or not the objective has settled by then
            warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(bnn, data, **settings)
