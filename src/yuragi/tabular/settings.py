"""What the settings of `fit_tabular` stand for: a posterior, its prior, its members, and a likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from yuragi import likelihoods, posteriors
from yuragi.data import usual_batch_size
from yuragi.likelihoods import Likelihood
from yuragi.likelihoods.location_scale import NetworkScale
from yuragi.loop import DEFAULT_STEPS
from yuragi.networks import TabularNetwork
from yuragi.priors import FanIn, PerLayer, Prior
from yuragi.tabular.rows import Rows

Task = Literal["regression", "classification"]
Posterior = Literal["auto", "anchored", "meanfield"] | posteriors.Posterior
Noise = Literal["auto", "learned", "heteroscedastic"] | float
MakeModule = Callable[[int, int], nn.Module]

ANCHORED_MEMBERS = 10
MIXTURE_MEMBERS = 5
BINS = 16
"""Bins of a column, at most."""
_FEW = 4096  # rows, below which a fit of the library's network is a short one
_SHORT_STEPS, _SHORT_LR = 1000, 0.02
_FEWEST_EPOCHS, _MOST_STEPS = 20, 20_000  # of rows that are read anew in every epoch
_FEWEST_TO_CHOOSE = 40  # rows, from which settings are chosen by held-out ones
_FEWEST_VARIED = 20  # targets that must differ from the most frequent one for that: else all that do might be held out
_FEW_KL_WEIGHT = 0.1


@dataclass(frozen=True)
class Plan:
    """How a network is made Bayesian, and what is left for `fit` to choose."""

    posterior: posteriors.Posterior
    prior: Prior | list[Prior]
    members: int
    kl_weight: float | Literal["auto"]

    @classmethod
    def of(cls, posterior: Posterior, members: int | None, net: nn.Module, can_choose: bool) -> Plan:
        """What `fit_tabular` says of its arguments.

        Raises:
            ValueError: `posterior` is none of those that there are.
        """
        one = _one_prior(net, can_choose)
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


def can_choose(rows: Rows, task: Task) -> bool:
    """Whether held-out rows can tell which settings are better."""
    return len(rows) >= _FEWEST_TO_CHOOSE and (task == "classification" or rows.varied >= _FEWEST_VARIED)


def likelihood_of(noise: Noise, rows: Rows, scale: Tensor) -> Likelihood:
    """The likelihood of standardised targets of these scales [outputs].

    Raises:
        ValueError: `noise` is none of those that there are.
    """
    if noise == "auto":
        return likelihoods.HeteroscedasticStudentT() if rows.varied else likelihoods.Gaussian(1.0)
    if noise == "learned":
        return likelihoods.Gaussian(outputs=len(scale))
    if noise == "heteroscedastic":
        return likelihoods.HeteroscedasticGaussian()
    number = isinstance(noise, (int, float, np.integer, np.floating)) and not isinstance(noise, bool)
    if not number or not 0 < noise < float("inf"):
        raise ValueError(
            f'noise must be "auto", "learned", "heteroscedastic" or a positive number in the units of y, got {noise!r}'
        )
    return likelihoods.Gaussian(float(noise / scale[0]))


def network_outputs(likelihood: Likelihood, outputs: int) -> int:
    """How many numbers the network gives for a target of so many."""
    return 2 * outputs if isinstance(likelihood, NetworkScale) else outputs


def usual_budget(rows: int) -> dict[str, Any]:
    """Settings of `yuragi.fit` for a `TabularNetwork` of anchored members: with few rows 1,000 steps at 0.02, else its own.

    With 2,000 steps at 0.01 it takes twice as long and is as good: see docs/quality.md.
    """
    if rows >= _FEW:
        return {}
    steps = -(-rows // usual_batch_size(rows))
    return {"epochs": -(-_SHORT_STEPS // steps), "lr": _SHORT_LR}


def streamed_budget(rows: int) -> dict[str, Any]:
    """`usual_budget` for rows that are read anew in every epoch: no more epochs than make 20,000 steps, one at least."""
    steps = -(-rows // usual_batch_size(rows))
    epochs = max(_FEWEST_EPOCHS, -(-DEFAULT_STEPS // steps))
    return usual_budget(rows) or {"epochs": max(1, min(epochs, -(-_MOST_STEPS // steps)))}


def _priors(net: nn.Module) -> list[Prior]:
    return net.priors() if isinstance(net, TabularNetwork) else [FanIn(gain) for gain in (0.5, 1.0, 2.0)]


def _one_prior(net: nn.Module, can_choose: bool) -> Prior:
    if not isinstance(net, TabularNetwork):
        return FanIn()
    if not can_choose:
        return net.priors()[0]
    # near the best of all sets in docs/quality.md; a scale held more tightly cannot follow a noise that varies much with x
    scale: dict[str, Prior] = {} if net.scale is None else {"scale": FanIn(gain=1.0)}
    return PerLayer({"bins": FanIn(gain=1.0)} | scale)
