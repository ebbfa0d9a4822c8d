"""One method in one split: what it gets, its fit, what that costs, and its predictions."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.comparison.cost import timed
from yuragi.comparison.scores import Predicted
from yuragi.comparison.splits import Positions
from yuragi.history import ConvergenceWarning
from yuragi.likelihoods import Likelihood
from yuragi.priors import Prior


@dataclass(frozen=True)
class Rules:
    """What is the same for all methods.

    Attributes:
        likelihood: p(y∣f(x)).
        prior: p(w), or None for that of each method.
        budget: seconds a fit; None: as long as each takes.

    Raises:
        ValueError: the budget is not positive and finite.
    """

    likelihood: Likelihood
    prior: Prior | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        """Check the budget."""
        if self.budget is not None and not (math.isfinite(self.budget) and self.budget > 0):
            raise ValueError(f"budget must be a positive number of seconds a fit, got {self.budget}")


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the methods get of one split.

    Attributes:
        net: the network at its start.
        train: (x, y) of the rows to train on.
        inputs: the x of any rows.
        in_units: a prediction in the units of the targets that are scored.
    """

    net: nn.Module
    train: tuple[Any, Tensor]
    inputs: Callable[[Positions], Any]
    in_units: Callable[[Predicted], Predicted] = lambda prediction: prediction

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next((parameter.device for parameter in self.net.parameters()), torch.device("cpu"))


class Refused(Exception):
    """A method cannot handle the network, the likelihood or the data, or needs what is not installed."""


class AllRefusedError(ValueError):
    """No method could be run."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method's result in one split.

    Attributes:
        result: what `run` returned.
        prepared: what it was fitted to.
        seconds: that the fit took.
        warned: that it had not converged.
    """

    result: Any
    prepared: Prepared
    seconds: float
    warned: tuple[str, ...]

    def predict(self, rows: Positions) -> tuple[Predicted, float]:
        """The prediction of some rows, in the units of the scores, and the seconds that it took."""
        x = self.prepared.inputs(rows)
        prediction, seconds = timed(lambda: self.result.predict(x), self.prepared.device)
        return self.prepared.in_units(prediction), seconds


def check_installed(method: str) -> None:
    """Import what a method wraps, so that its first fit does not pay for that.

    Raises:
        Refused: it is not installed.
    """
    from yuragi.methods.wrapped import LIBRARIES, wrapped

    if method in LIBRARIES:
        try:
            wrapped(method)
        except ImportError as error:
            raise Refused(str(error)) from error


def fit(method: str, settings: Mapping[str, Any], prepared: Prepared, rules: Rules, seed: int) -> Fitted:
    """Run a method.

    Args:
        method: its name.
        settings: of its own.
        prepared: network and data.
        rules: what is the same for all methods.
        seed: of everything random.

    Raises:
        Refused: what `run` says in a ValueError or an ImportError.
    """
    from yuragi.methods import METHODS

    run = METHODS[method]
    given: dict[str, Any] = {
        "likelihood": copy.deepcopy(rules.likelihood),
        "prior": copy.deepcopy(rules.prior),
        "seed": seed,
        "seconds": rules.budget,
    }
    try:
        with _without_convergence() as warned:
            result, seconds = timed(lambda: run(prepared.net, prepared.train, **given, **settings), prepared.device)
    except (ValueError, ImportError) as error:
        raise Refused(str(error)) from error
    return Fitted(result, prepared, seconds, tuple(warned))


@contextmanager
def _without_convergence() -> Iterator[list[str]]:
    """Keep the texts of `ConvergenceWarning`; other warnings go where they would have gone."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield texts
    for one in caught:
        if issubclass(one.category, ConvergenceWarning):
            texts.append(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
