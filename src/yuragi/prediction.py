"""`predict`, and the `Prediction` in which all methods meet."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from yuragi.bayesian import Bayesian
from yuragi.draws import DRAWS, Draws, Plan, evaluating
from yuragi.predictions import (
    BinaryPrediction,
    ClassificationPrediction,
    CountPrediction,
    MomentPrediction,
    NegativeBinomialPrediction,
    NumericPrediction,
    PoissonPrediction,
    Prediction,
    RegressionPrediction,
    StudentTPrediction,
    prediction_of,
)
from yuragi.propagation import propagated
from yuragi.streaming import monte_carlo_error, streamed

__all__ = [
    "BinaryPrediction",
    "ClassificationPrediction",
    "CountPrediction",
    "MomentPrediction",
    "NegativeBinomialPrediction",
    "NumericPrediction",
    "PoissonPrediction",
    "Prediction",
    "RegressionPrediction",
    "StudentTPrediction",
    "predict",
]

Method = Literal["draws", "streaming", "moments"]


class NotFiniteError(ValueError):
    """Predictions that are NaN or infinite."""


def predict(
    bnn: Bayesian,
    x: Any,
    samples: int | Literal["auto"] = DRAWS,
    seed: int | None = 0,
    batch_size: int | None = None,
    *,
    tol: float = 0.02,
    method: Method = "draws",
) -> NumericPrediction | ClassificationPrediction:
    """Predict with uncertainty, from draws that each use the same weights for every row: a draw is a smooth function.

    Runs in evaluation mode and restores the mode of every submodule; with a seed, the global random state is left alone.
    The result does not depend on how the rows are batched, and several threads may predict at once.

    Args:
        bnn: the Bayesian network.
        x: its input: a tensor or array [N, ...], a tuple of them (positional arguments) or a dict (keyword arguments).
        samples: S, the number of draws, stratified over members: a multiple of their number weighs them equally.
            `posteriors.Anchored` has one draw a member and uses each once, so there S is at most the number of members.
            "auto": until the Monte Carlo standard error of `std`, or of a class's probability, is at most `tol` in every
            row, 10,000 at most; how many it took, and the error left, are in the prediction's `provenance`.
        seed: seed of the draws; None takes the global random state.
        batch_size: rows run at once; None: 1,024.
        tol: for "auto": relative to `std`; for class probabilities it is absolute.
        method: "draws": all draws are kept, and the prediction is their mixture. "streaming": none is, so that memory does
            not grow with S; what is known is mean, std, epistemic and aleatoric, for regression. "moments": the same
            without draws, in one pass, for perceptrons with a mean-field posterior; see `yuragi.propagation`.

    Returns:
        What suits the likelihood: a `RegressionPrediction` for Gaussians, a `StudentTPrediction`, `PoissonPrediction` or
        `NegativeBinomialPrediction` (all of them are `NumericPrediction`), a `ClassificationPrediction` for classes; with
        another method than "draws", a `MomentPrediction`.

    Raises:
        ValueError: no samples, no rows, an input that is NaN or infinite, a network whose output has other rows,
            predictions that are NaN or infinite, or a network or likelihood that is not for this method.
        TypeError: the input holds no tensor, or the likelihood has no `Prediction`.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(torch.nn.Linear(3, 1), likelihood=yu.Gaussian(noise=0.1))
        >>> yu.predict(bnn, torch.randn(5, 3)).std.shape
        torch.Size([5, 1])
        >>> yu.predict(bnn, torch.randn(5, 3), samples="auto", tol=0.05).provenance["monte_carlo_error"] <= 0.05
        True
    """
    if not isinstance(bnn, Bayesian):
        raise TypeError(f"predict takes a network made by bayesianize, got {type(bnn).__name__}")
    if not (samples == "auto" if isinstance(samples, str) else samples >= 1):
        raise ValueError(f"samples must be at least 1, got {samples!r}; 'auto' finds their number")
    if not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be positive and finite, got {tol}")
    if method not in ("draws", "streaming", "moments"):
        raise ValueError(f'method must be "draws", "streaming" or "moments", got {method!r}')
    about: dict[str, Any] = {"method": method}
    prediction: NumericPrediction | ClassificationPrediction
    with torch.no_grad(), evaluating(bnn):
        draws = Draws(bnn, x, seed, batch_size)
        if method == "moments":
            prediction = propagated(bnn, draws.x)
        else:
            plan = Plan(None if isinstance(samples, str) else samples, tol, bnn.members, draws.most)
            prediction, taken, error = _streamed(draws, plan) if method == "streaming" else _mixture(draws, plan)
            about |= {"samples": taken, "samples_seed": seed}
            if plan.samples is None:
                about["monte_carlo_error"] = error
    _check_finite(prediction.samples)
    return replace(prediction, provenance={**bnn.provenance, **about})


Found = tuple[NumericPrediction | ClassificationPrediction, int, float]  # with how many draws, and their error


def _mixture(draws: Draws, plan: Plan) -> Found:
    likelihood = draws.bnn.likelihood
    parts: list[tuple[Tensor, Tensor]] = []
    taken, error = 0, 0.0
    prediction: NumericPrediction | ClassificationPrediction | None = None

    def now() -> float:
        nonlocal error
        assert prediction is not None
        error = float(monte_carlo_error(prediction).max())
        return error

    while (wanted := plan.wanted(taken, now)) > taken:
        parts.append(draws.take(wanted - taken))
        taken = wanted
        output, member = (torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True))
        prediction = prediction_of(output, likelihood.distribution(output, member))
    assert prediction is not None
    return prediction, taken, error


def _streamed(draws: Draws, plan: Plan) -> Found:
    moments = streamed(draws, draws.bnn.likelihood, plan)
    error = 0.0 if draws.most is not None else float(moments.error.max())
    return moments.prediction(), moments.draws, error


def _check_finite(samples: Tensor) -> None:
    bad = ~torch.isfinite(samples)
    if bad.any():
        rows = bad.flatten(2).any(2).any(0) if bad.dim() > 2 else bad.any(0)
        raise NotFiniteError(
            f"the predictions of {int(rows.sum())} rows, the first of them row {int(rows.nonzero()[0])}, are NaN or "
            "infinite: the network returned such values, or a count's mean exp(f(x)) overflows, as far from the data it may"
        )
