"""What a fit leaves behind beside the network: its history, epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from yuragi.bayesian import Bayesian

if TYPE_CHECKING:
    from yuragi.selection import Selection

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


def still_falling(loss: list[float]) -> bool:
    """Whether the loss, epoch by epoch, fell by more than 0.05 nats per datum in its last quarter."""
    if len(loss) < 4:
        return False
    values = torch.tensor(loss, dtype=torch.float64)
    half, quarter = len(loss) // 2, len(loss) // 4
    before, last = values[half:-quarter], values[-quarter:]
    # the variance of the noise alone, from successive differences (von Neumann 1941): a steady fall does not count as noise
    noise = sum(float(part.diff().square().mean()) / 2 / len(part) for part in (before, last) if len(part) > 1)
    return float(before.mean() - last.mean()) > _UNCONVERGED + 3 * math.sqrt(noise)
