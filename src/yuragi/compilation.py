"""Whether a fit compiles its objective, and the objective either way."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from yuragi.bayesian import ELBO, Bayesian
from yuragi.torch_warnings import without_script_warnings

PAYS_FROM = 60_000
"""Steps: compiling takes half a minute and saves about a millisecond of each, and is to save twice what it costs."""
_SMALL = 2**17  # weights: in larger networks a step is spent on arithmetic, which compiling leaves as it is


class Objective:
    """`bnn.elbo`, compiled by `torch.compile` where that pays.

    The choice depends on the number of steps and of weights alone, never on the clock: the same fit makes it again. A
    compiled step draws other noise than the same step as it is, from the global random state.

    Args:
        bnn: the Bayesian network.
        steps: how many there are going to be; None where a time budget says.

    Attributes:
        decision: "compiled", or why not.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(torch.nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
        >>> Objective(bnn, steps=2000).decision
        'not compiled: 2,000 steps, and it pays from 60,000'
    """

    def __init__(self, bnn: Bayesian, steps: int | None) -> None:
        self.bnn = bnn
        self._compiled: Callable[..., ELBO] | None = None
        self._ran = False
        why_not = _why_not(bnn, steps)
        self.decision = f"not compiled: {why_not}" if why_not else "compiled"
        if not why_not:
            with without_script_warnings():
                self._compiled = torch.compile(bnn.elbo)

    def __call__(self, *args: Any, generator: torch.Generator | None, **options: Any) -> ELBO:
        """The ELBO of a minibatch; arguments as for `Bayesian.elbo`."""
        if self._compiled is not None:
            try:
                with nullcontext() if self._ran else without_script_warnings():
                    found = self._compiled(*args, **options)
                self._ran = True
                return found
            except Exception as error:  # what is wrong with the data itself is raised again below
                self._compiled = None
                self.decision = f"not compiled: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        return self.bnn.elbo(*args, generator=generator, **options)


def _why_not(bnn: Bayesian, steps: int | None) -> str:
    if steps is None:
        return "a time budget says how many steps there are"
    if steps < PAYS_FROM:
        return f"{steps:,} steps, and it pays from {PAYS_FROM:,}"
    if bnn.members > 1:
        return "members run side by side already"
    weights = sum(weight.numel for weight in bnn.weights)
    if weights > _SMALL:
        return f"{weights:,} weights, and it pays below {_SMALL:,}"
    if os.environ.get("TORCHDYNAMO_DISABLE") == "1":
        return "TORCHDYNAMO_DISABLE is set"
    return ""
