"""What a fit leaves behind beside the network: its history, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from yuragi.bayesian import Bayesian

if TYPE_CHECKING:
    from yuragi.selection import Selection

_COUNTED = ("validation", "stopped", "best_epoch", "steps", "skipped", "compiled")
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
        loss: negative ELBO per datum, nats, with the penalty where there is one; NaN for an epoch of which no step was
            finite, as the other parts are then.
        log_likelihood: mean log p(y∣x,w), nats per datum.
        kl: KL(q‖p), nats.
        validation: (epoch, mean held-out log-likelihood of the predictive mixture, nats per datum).
        stopped: "epochs" (ran to the end), "validation" (early stopping), "callback", "time" (the budget is used up) or
            "progress" (whoever watches it said so).
        converged: False when the loss was still improving at the end.
        best_epoch: the epoch whose state was kept, with validation.
        settings: what the fit ran with, defaults filled in.
        steps: how many were tried.
        skipped: those of them that were left out, because the loss or its gradient was NaN or infinite.
        compiled: "compiled", or why the step was not: see `yuragi.compilation`.
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
    skipped: int = 0
    compiled: str = ""
    seconds: float = 0.0
    selection: Selection | None = None

    def state(self) -> dict[str, Any]:
        """All of it that a training loop adds to, for `load_state`."""
        curves = torch.tensor([self.loss, self.log_likelihood, self.kl], dtype=torch.float64)
        return {"curves": curves, **{name: getattr(self, name) for name in _COUNTED}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self.loss, self.log_likelihood, self.kl = state["curves"].tolist()
        for name in _COUNTED:
            setattr(self, name, state[name])

    def trained(self) -> str:
        """How long the fit was, in words, what went wrong in it, and whether it was still improving."""
        left_out = f", {self.skipped} steps left out" if self.skipped else ""
        return f"{len(self.loss)} epochs{left_out}" + ("" if self.converged else ", still improving at the end")

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
    loss = [value for value in loss if math.isfinite(value)]
    if len(loss) < 4:
        return False
    values = torch.tensor(loss, dtype=torch.float64)
    half, quarter = len(loss) // 2, len(loss) // 4
    before, last = values[half:-quarter], values[-quarter:]
    # the variance of the noise alone, from successive differences (von Neumann 1941): a steady fall does not count as noise
    noise = sum(float(part.diff().square().mean()) / 2 / len(part) for part in (before, last) if len(part) > 1)
    return float(before.mean() - last.mean()) > _UNCONVERGED + 3 * math.sqrt(noise)
