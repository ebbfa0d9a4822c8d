"""Numbers in, a `Prediction` in the target's units out: what tables, scikit-learn's estimators and the command line share."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from yuragi import files, likelihoods, posteriors
from yuragi.bayesian import Bayesian
from yuragi.continual import posterior_to_prior
from yuragi.conversion import bayesianize
from yuragi.estimators import Estimator
from yuragi.likelihoods import Likelihood
from yuragi.likelihoods.location_scale import NetworkScale
from yuragi.networks import TabularNetwork
from yuragi.prediction import ClassificationPrediction, NumericPrediction, RegressionPrediction, predict
from yuragi.priors import FanIn, PerLayer, Prior
from yuragi.rows import Rows, as_inputs, standardised
from yuragi.training import ConvergenceWarning, Epoch, History, fit

Task = Literal["regression", "classification"]
Posterior = Literal["auto", "anchored", "meanfield"] | posteriors.Posterior
Noise = Literal["auto", "learned", "heteroscedastic"] | float
MakeModule = Callable[[int, int], nn.Module]
Predicted = TypeVar("Predicted", bound="NumericPrediction | ClassificationPrediction")

ANCHORED_MEMBERS = 10
MIXTURE_MEMBERS = 5
FEWEST_TO_CHOOSE = 40
"""Rows from which settings are chosen by held-out ones."""
FEWEST_VARIED = 20
"""Targets that must differ from the most frequent one for that: else all that do might be held out."""
_FEW_KL_WEIGHT = 0.1
_TOGETHER = 256  # rows of a prediction
_BINS = 16


@dataclass(frozen=True)
class TabularModel:
    """A fitted network, the standardisation of its inputs, and the units of its target.

    Attributes:
        bnn: the network; it sees (x − x_loc) / x_scale, and its outputs are in units of `scale` around `loc`.
        task: "regression" or "classification".
        loc, scale: of the target, float64 [outputs]; 0 and 1 for classes.
        x_loc, x_scale: of the inputs, float64 [D].
        history: of the fit; None where the model was read from a file.
    """

    bnn: Bayesian
    task: Task
    loc: Tensor
    scale: Tensor
    x_loc: Tensor
    x_scale: Tensor
    history: History | None = None

    def predict(self, x: Any, samples: int = 100, seed: int | None = 0) -> NumericPrediction | ClassificationPrediction:
        """Predict in the target's units; the draws for a row do not depend on the other rows, to the last bit.

        Args:
            x: inputs [N, D], as those that the model was fitted to.
            samples: draws, as for `yuragi.predict`.
            seed: of the draws.

        Returns:
            A float64 prediction: for regression of [N, outputs], for classification of the labels 0, 1, … [N].

        Raises:
            ValueError: `x` is not [N, D] with the D of the fit, or holds values that are NaN or infinite.
        """
        inputs = as_inputs(x)
        if inputs.shape[1] != len(self.x_loc):
            raise ValueError(f"x has {inputs.shape[1]} columns, but the model was fitted to {len(self.x_loc)}")
        rows = standardised(inputs, self.x_loc, self.x_scale)
        # always as many rows at once: the arithmetic of a row alone would round otherwise than that of a row among many
        padding = rows[:1].expand(-len(rows) % _TOGETHER, -1)
        prediction = predict(self.bnn, torch.cat([rows, padding]), samples, seed, batch_size=_TOGETHER)
        if isinstance(prediction, RegressionPrediction):
            return _of_first(prediction, len(rows)).rescaled(self.loc, self.scale)
        return _of_first(prediction, len(rows))

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Write a file that `load_tabular` reads; `extra` is anything that JSON can hold, kept beside it.

        Raises:
            ValueError: a posterior or likelihood that the library does not know.
            OSError: the file cannot be written there.
        """
        files.save(self.bnn, path, extra={**(extra or {}), "tabular": self.described()})

    def described(self) -> dict[str, Any]:
        """All but the state of the network, as what JSON can hold."""
        net = self.bnn.module
        shape: dict[str, Any] = {"own": [len(self.x_loc), _outputs(self.bnn.likelihood, len(self.loc))]}
        if isinstance(net, TabularNetwork):
            bins = torch.bincount(net.encode.column).tolist()
            shape = {"tabular": {"bins": bins, "outputs": len(self.loc), "heteroscedastic": net.scale is not None}}
        units = {name: getattr(self, name).tolist() for name in ("loc", "scale", "x_loc", "x_scale")}
        return {"task": self.task, "network": shape, **units}


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
            measured budget.
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
    likelihood = likelihoods.Categorical() if task == "classification" else _likelihood(noise, rows, units.scale)
    inputs, targets = standardised(rows.x, units.x_loc, units.x_scale), rows.targets(units)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if module is None:
            heteroscedastic = isinstance(likelihood, NetworkScale)
            net: nn.Module = TabularNetwork(inputs, outputs, heteroscedastic=heteroscedastic, bins=_BINS)
        else:
            net = module(inputs.shape[1], _outputs(likelihood, outputs))
            if not isinstance(net, nn.Module):
                raise TypeError(f"module must make an nn.Module, got {type(net).__name__}")
    can_choose = len(rows) >= FEWEST_TO_CHOOSE and (task == "classification" or rows.varied >= FEWEST_VARIED)
    plan = _Plan.of(posterior, members, net, can_choose)
    bnn = bayesianize(
        net,
        likelihood=likelihood,
        prior=plan.prior,
        posterior=plan.posterior,
        estimator=estimator if plan.posterior.independent else "shared",
        members=plan.members,
        seed=seed,
    )
    history = _fit(
        bnn,
        (inputs, targets),
        kl_weight=plan.kl_weight,
        sample_weight=rows.weight,
        epochs=epochs,
        seed=seed,
        callbacks=callbacks,
    )
    if task == "classification":
        units = replace(units, loc=torch.zeros(outputs).double(), scale=torch.ones(outputs).double())
    return TabularModel(bnn, task, units.loc, units.scale, units.x_loc, units.x_scale, history)


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

    Standardisation, and a learned noise, stay those of the first data. Under a noise that is not fixed the new targets may
    not all be equal.

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
    rows = Rows.of(x, y, model.task, sample_weight)
    units = replace(rows.units(), loc=model.loc, scale=model.scale, x_loc=model.x_loc, x_scale=model.x_scale)
    if rows.x.shape[1] != len(model.x_loc):
        raise ValueError(f"x has {rows.x.shape[1]} columns, but the model was fitted to {len(model.x_loc)}")
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
        sample_weight=rows.weight,
        epochs=epochs,
        seed=seed,
        callbacks=callbacks,
    )
    return replace(model, bnn=bnn, history=history)


def load_tabular(path: str | os.PathLike[str], module: MakeModule | None = None) -> TabularModel:
    """Read a model that `TabularModel.save` wrote.

    Args:
        path: the file.
        module: needed again where the fit had one, for no file can hold its code.

    Raises:
        FileError: the file is damaged, of another kind, or does not fit the network.
        ValueError: `module` is needed, or is not.
        OSError: the file cannot be read, or there is none.
    """
    extra = files.read(path).extra
    if "tabular" not in extra:
        raise files.FileError(f"{path} holds a network without its standardisation: load it with yuragi.load")
    described = extra["tabular"]
    network = described["network"]
    if module is None and "own" in network:
        raise ValueError(
            f"{path} holds a network of your own, whose code no file can hold: give module=, as to the fit"
        )
    if module is not None and "own" not in network:
        raise ValueError(f"{path} holds yuragi's own network for tables: leave module= out")
    with torch.random.fork_rng():
        net = _blank(**network["tabular"]) if module is None else module(*network["own"])
    loc, scale, x_loc, x_scale = (
        torch.tensor(described[name], dtype=torch.float64) for name in ("loc", "scale", "x_loc", "x_scale")
    )
    return TabularModel(files.load(path, net), described["task"], loc, scale, x_loc, x_scale)


@dataclass(frozen=True)
class _Plan:
    """How a network is made Bayesian, and what is left for `fit` to choose."""

    posterior: posteriors.Posterior
    prior: Prior | list[Prior]
    members: int
    kl_weight: float | Literal["auto"]

    @classmethod
    def of(cls, posterior: Posterior, members: int | None, net: nn.Module, can_choose: bool) -> _Plan:
        one = _prior(net, can_choose)
        if isinstance(posterior, posteriors.Posterior):
            usual = ANCHORED_MEMBERS if posterior.is_points else 1
            return cls(posterior, one, usual if members is None else members, 1.0)
        if posterior == "meanfield":
            members = MIXTURE_MEMBERS if members is None else members
            weight: float | Literal["auto"] = "auto" if can_choose else _FEW_KL_WEIGHT
            return cls(posteriors.MeanField(), one, members, weight if members > 1 else 1.0)
        if posterior not in ("auto", "anchored"):
            raise ValueError(
                f'posterior must be "auto", "anchored", "meanfield" or one of yuragi.posteriors, got {posterior!r}'
            )
        prior = _priors(net) if posterior == "auto" and can_choose else one
        return cls(posteriors.Anchored(), prior, ANCHORED_MEMBERS if members is None else members, 1.0)


def _fit(bnn: Bayesian, data: tuple[Tensor, Tensor], epochs: int | None, **settings: Any) -> History:
    with warnings.catch_warnings() if epochs is None else nullcontext():
        if epochs is None:  # the budget is the one that was measured, whether or not the objective has settled by then
            warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(bnn, data, epochs=epochs, **settings)


def _priors(net: nn.Module) -> list[Prior]:
    return net.priors() if isinstance(net, TabularNetwork) else [FanIn(gain) for gain in (0.5, 1.0, 2.0)]


def _prior(net: nn.Module, enough: bool) -> Prior:
    if not isinstance(net, TabularNetwork):
        return FanIn()
    if not enough:
        return net.priors()[0]
    # near the best of all sets in docs/quality.md; a scale held more tightly cannot follow a noise that varies much with x
    scale: dict[str, Prior] = {} if net.scale is None else {"scale": FanIn(gain=1.0)}
    return PerLayer({"bins": FanIn(gain=1.0)} | scale)


def _likelihood(noise: Noise, rows: Rows, scale: Tensor) -> Likelihood:
    if noise == "auto":
        return likelihoods.HeteroscedasticStudentT() if rows.varied else likelihoods.Gaussian(1.0)
    if noise == "learned":
        return likelihoods.Gaussian(outputs=len(scale))
    if noise == "heteroscedastic":
        return likelihoods.HeteroscedasticGaussian()
    if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 < noise < float("inf"):
        raise ValueError(
            f'noise must be "auto", "learned", "heteroscedastic" or a positive number in the units of y, got {noise!r}'
        )
    return likelihoods.Gaussian(float(noise / scale[0]))


def _outputs(likelihood: Likelihood, outputs: int) -> int:
    return 2 * outputs if isinstance(likelihood, NetworkScale) else outputs


def _of_first(prediction: Predicted, rows: int) -> Predicted:
    """The prediction of the first rows, in float64."""
    held = {part.name: getattr(prediction, part.name) for part in fields(prediction)}
    samples = prediction.samples
    kept: dict[str, Any] = {
        name: value.expand_as(samples)[:, :rows].double() for name, value in held.items() if isinstance(value, Tensor)
    }
    return replace(prediction, **kept)


def _blank(bins: Sequence[int], outputs: int, heteroscedastic: bool) -> TabularNetwork:
    """A network with so many bins in each column, for the state of a file to be put into."""
    # quantiles of _BINS + 1 values are these values: a column with n + 1 different ones has n bins
    columns = [torch.arange(_BINS + 1) * (count + 1) // (_BINS + 1) for count in bins]
    return TabularNetwork(torch.stack(columns, 1).float(), outputs, heteroscedastic=heteroscedastic, bins=_BINS)
