"""The article's data through every method of `yuragi.methods`, beside the exact posterior."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yuragi.demo import NOISE, grid, network
from yuragi.likelihoods import Gaussian
from yuragi.methods import METHODS
from yuragi.pace import Job, Progress
from yuragi.predictions import NumericPrediction, RegressionPrediction

SECONDS = 100.0
_LEAST_SHARE = 0.5  # of its fair share of the time that a method has where those before it took more than theirs
_NEAR = 4.0  # |x| up to which the distance is measured: there the data end
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "deep_gp": {"inducing": 20, "lr": 0.05},  # few steps fit into the time
    "hmc": {"chains": 8, "steps": 50},
}
"""Own settings, where the defaults are for more time than there is here."""
_WEIGHTS = {"deep_gp": 2.0, "hmc": 3.0}
"""Shares of the time, of those that need more than the others."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a method.

    Attributes:
        method: its name in `METHODS`.
        prediction: on `demo.grid()`; None where it could not be run.
        seconds: that fit and prediction took.
        said: what printing the result says, or why there is none.
        warned: what the method warned of.
    """

    method: str
    prediction: NumericPrediction | None
    seconds: float
    said: str
    warned: tuple[str, ...]


def run_every_method(
    x: Tensor, y: Tensor, *, seconds: float = SECONDS, seed: int = 0, progress: Progress | None = None
) -> list[Outcome]:
    """Run all methods on the article's network with known noise, one after another.

    Args:
        x: inputs, [N, 1].
        y: targets, [N, 1].
        seconds: for all of them; what one does not need is left for those after it. Of one that takes more, because
            something in it cannot be cut short, the others lose half of their share at most.
        seed: of everything that is random; the global random state is left alone.
        progress: called with the fraction done; a true return value ends each of the methods where it is.

    Returns:
        One `Outcome` a method, in the order of `METHODS`. A method whose package is missing, or for which the time is too
        short, has none but the reason.

    Raises:
        ValueError: `seconds` is not positive and finite.
    """
    job = Job(seconds, progress)
    # the one that can use any time comes last
    order = sorted(METHODS, key=lambda name: _WEIGHTS.get(name, 1.0))
    weights = [_WEIGHTS.get(name, 1.0) for name in order]
    found = {}
    for index, name in enumerate(order):
        fair, share = (weights[index] / sum(part) for part in (weights, weights[index:]))
        own = max(_LEAST_SHARE * fair * seconds, share * job.left)

        def tell(done: float, begin: int = index) -> bool:
            job.tell((begin + done) / len(order), always=done in (0, 1))
            return job.stopped is not None

        found[name] = _outcome(name, x, y, own, seed, tell)
    return [found[name] for name in METHODS]


def reference() -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of f under the exact posterior on `demo.grid()`, float64 [241] each.

    By a long run of Hamiltonian Monte Carlo, as "made" in `demo_reference.json` says; two halves of its draws differ by a
    `distance` of 0.004.
    """
    stored = _stored()
    at = grid()[:, 0].double().numpy()
    mean, std = (torch.from_numpy(np.interp(at, stored["x"], stored[name])) for name in ("mean", "std"))
    return mean, std


def exact() -> RegressionPrediction:
    """The `reference` as a prediction on `demo.grid()`: two draws of f at one standard deviation from the mean."""
    mean, std = reference()
    return RegressionPrediction(torch.stack([mean - std, mean + std]).unsqueeze(-1), torch.tensor(NOISE))


def distance(prediction: NumericPrediction) -> float | None:
    """How far a prediction on `demo.grid()` is from the exact posterior of f, in units of y.

    The mean over |x| ≤ 4 of √((m − mean)² + (s − std)²), s the epistemic standard deviation: the 2-Wasserstein distance of
    two Normals. None where the method says nothing of f but of y alone.
    """
    mean, std = reference()
    m, s = (part[:, 0].double().cpu() for part in (prediction.mean, prediction.epistemic))
    if not bool((s > 0).any()):
        return None
    near = grid()[:, 0].abs() <= _NEAR
    return float(torch.hypot(m - mean, s - std)[near].mean())


def _outcome(name: str, x: Tensor, y: Tensor, seconds: float, seed: int, progress: Progress) -> Outcome:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = network().to(x.device)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            result = METHODS[name](
                net,
                (x, y),
                likelihood=Gaussian(NOISE),
                seed=seed,
                seconds=seconds,
                progress=progress,
                **_SETTINGS.get(name, {}),
            )
            prediction = result.predict(grid().to(x.device))
            said = str(result)
        except (ModuleNotFoundError, ValueError, FloatingPointError) as error:
            prediction, said = None, str(error)
    warned = tuple(dict.fromkeys(str(warning.message) for warning in caught))
    return Outcome(name, prediction, time.perf_counter() - start, said, warned)


@cache
def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(files("yuragi").joinpath("demo_reference.json").read_text(encoding="utf-8"))
    return stored
