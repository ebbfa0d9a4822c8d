"""`predict`, and the `Prediction` in which all methods meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.data import check_finite, count_rows, take_rows, to_tensors
from yuragi.predictions import (
    BinaryPrediction,
    ClassificationPrediction,
    CountPrediction,
    NegativeBinomialPrediction,
    NumericPrediction,
    PoissonPrediction,
    Prediction,
    RegressionPrediction,
    StudentTPrediction,
    prediction_of,
)
from yuragi.stochastic import Drawn

__all__ = [
    "BinaryPrediction",
    "ClassificationPrediction",
    "CountPrediction",
    "NegativeBinomialPrediction",
    "NumericPrediction",
    "PoissonPrediction",
    "Prediction",
    "RegressionPrediction",
    "StudentTPrediction",
    "predict",
]

DRAWS = 100
"""Draws of a prediction where the user has not said."""
_BATCH_SIZE = 1024
_DRAWN = 2**24  # weights drawn and held at once, over all draws


class NotFiniteError(ValueError):
    """Predictions that are NaN or infinite."""


def predict(
    bnn: Bayesian, x: Any, samples: int = DRAWS, seed: int | None = 0, batch_size: int | None = None
) -> NumericPrediction | ClassificationPrediction:
    """Predict with uncertainty, from draws that each use the same weights for every row: a draw is a smooth function.

    Runs in evaluation mode and restores the mode of every submodule; with a seed, the global random state is left alone.
    The result does not depend on how the rows are batched, and several threads may predict at once.

    Args:
        bnn: the Bayesian network.
        x: its input: a tensor or array [N, ...], a tuple of them (positional arguments) or a dict (keyword arguments).
        samples: S, the number of draws, stratified over members: a multiple of their number weighs them equally.
            `posteriors.Anchored` has one draw a member and uses each once, so there S is at most the number of members.
        seed: seed of the draws; None takes the global random state.
        batch_size: rows run at once; None: 1,024.

    Returns:
        What suits the likelihood: a `RegressionPrediction` for Gaussians, a `StudentTPrediction`, `PoissonPrediction` or
        `NegativeBinomialPrediction` (all of them are `NumericPrediction`), a `ClassificationPrediction` for classes.

    Raises:
        ValueError: no samples, no rows, an input that is NaN or infinite, a network whose output has other rows, or
            predictions that are NaN or infinite.
        TypeError: the input holds no tensor, or the likelihood has no `Prediction`.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(noise=0.1))
        >>> yu.predict(bnn, torch.randn(5, 3)).std.shape
        torch.Size([5, 1])
    """
    if not isinstance(bnn, Bayesian):
        raise TypeError(f"predict takes a network made by bayesianize, got {type(bnn).__name__}")
    output, member = outputs(bnn, x, samples, seed, batch_size)
    with torch.no_grad():
        prediction = prediction_of(output, bnn.likelihood.distribution(output, member))
    _check_finite(prediction.samples)
    return replace(prediction, provenance={**bnn.provenance, "samples": len(output), "samples_seed": seed})


@torch.no_grad()
def outputs(
    bnn: Bayesian, x: Any, samples: int, seed: int | None, batch_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """What the network returns in evaluation mode under draws of its weights; arguments as for `predict`.

    Returns:
        [S, N, ...], and the member that each draw is from, int64 [S].
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    like = bnn.reference_tensor
    x = to_tensors(x, like.device, like.dtype)
    rows = count_rows(x)
    check_finite("x", x)
    with _evaluating(bnn):
        q = bnn.q()
        if q.is_points:
            samples = min(samples, bnn.members)
        member = [s % bnn.members for s in range(samples)]
        # with no seed, one from the global random state: the generator may have to yield the same draws several times
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        generator = torch.Generator(like.device)
        chunks = torch.arange(samples).split(max(1, _DRAWN // sum(mean[0].numel() for mean in q.mean)))

        def draw() -> Iterator[Drawn]:
            generator.manual_seed(seed)
            for chunk in chunks:
                members = [member[s] for s in chunk.tolist()]
                yield Drawn(q.sample(members, generator), members)

        held = list(draw()) if len(chunks) == 1 else None
        parts = []
        for index in torch.arange(rows, device=like.device).split(batch_size or _BATCH_SIZE):
            args, kwargs = as_arguments(x if len(index) == rows else take_rows(x, index))
            part = bnn.run_draws(draw if held is None else held.__iter__, args, kwargs)
            if part.dim() < 2 or part.shape[1] != len(index):
                raise ValueError(
                    f"the network returned {tuple(part.shape[1:])} for {len(index)} rows: the first axis must be the rows"
                )
            parts.append(part)
    return torch.cat(parts, 1), torch.tensor(member, device=like.device)


def _check_finite(samples: Tensor) -> None:
    bad = ~torch.isfinite(samples)
    if bad.any():
        rows = bad.flatten(2).any(2).any(0) if bad.dim() > 2 else bad.any(0)
        raise NotFiniteError(
            f"the predictions of {int(rows.sum())} rows, the first of them row {int(rows.nonzero()[0])}, are NaN or "
            "infinite: the network returned such values, or a count's mean exp(f(x)) overflows, as far from the data it may"
        )


_evaluation_lock = threading.Lock()
_evaluations: WeakKeyDictionary[nn.Module, _Evaluation] = WeakKeyDictionary()


@dataclass
class _Evaluation:
    modes: list[tuple[nn.Module, bool]]
    users: int = 0


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    # the first thread in notes the modes and the last one out restores them
    with _evaluation_lock:
        if module not in _evaluations:
            _evaluations[module] = _Evaluation([(part, part.training) for part in module.modules()])
            module.eval()
        _evaluations[module].users += 1
    try:
        yield
    finally:
        with _evaluation_lock:
            evaluation = _evaluations[module]
            evaluation.users -= 1
            if evaluation.users == 0:
                for part, training in evaluation.modes:
                    part.training = training
                del _evaluations[module]
