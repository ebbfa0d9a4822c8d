"""Markov chains that follow gradients of minibatches: what Langevin and Hamiltonian ones have in common."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.data import Batch, Batches, batches, take_rows
from yuragi.flat import split_like
from yuragi.history import ConvergenceWarning
from yuragi.likelihoods import Likelihood
from yuragi.loop import DEFAULT_LR, cosine, train
from yuragi.methods.chains import effective_sample_size, split_rhat
from yuragi.methods.point_members import (
    flat_points,
    largest_curvature,
    member_gradients,
    network_of_points,
    point_members,
    set_points,
)
from yuragi.methods.whitening import prior_scale
from yuragi.pace import Part
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior

_CHECKED = 256  # training inputs at which convergence is looked at
_NOT_MIXED = 1.1
_SHARES = (1, 2)  # of the time, of the warm-up and of the chains
_END = 1 / 3  # of a decreasing step size, relative to its begin

Schedule = Callable[[float], float]


def decreasing(done: float) -> float:
    """Step size multiplier (1 + 26·done)^(−1/3), which falls from 1 to 1/3.

    Welling & Teh, "Bayesian learning via stochastic gradient Langevin dynamics", 2011; the exponent is the optimal one of
    Teh, Thiery & Vollmer, "Consistency and fluctuations for stochastic gradient Langevin dynamics", 2016.

    Example:
        >>> decreasing(0.0), round(decreasing(1.0), 3)
        (1.0, 0.333)
    """
    return float((1 + (_END**-3 - 1) * done) ** (-1 / 3))


def cyclical(cycles: int = 4) -> Schedule:
    """A step size multiplier that falls from 1 to 0 along half a cosine, and does so again.

    At the beginning of a cycle a chain goes where it has not been, and at its end draws are kept. Zhang, Li, Zhang, Chen &
    Wilson, "Cyclical stochastic gradient MCMC for Bayesian deep learning", 2020 (who leave out the noise at the beginning).

    Args:
        cycles: how many, at least 1.

    Raises:
        ValueError: there is none.

    Example:
        >>> [round(cyclical(2)(done), 3) for done in (0.0, 0.25, 0.5, 0.75)]
        [1.0, 0.5, 1.0, 0.5]
    """
    if cycles < 1:
        raise ValueError(f"cycles must be at least 1, got {cycles}")
    return lambda done: cosine(done * cycles % 1)


class Dynamics(Protocol):
    """How a chain moves, in whitened weights u = w / (prior standard deviation)."""

    def step_size(self, curvature: float, batches: float) -> float:
        """The largest step size.

        Args:
            curvature: largest eigenvalue of the Hessian of −log p(w∣x, y).
            batches: N/B, of which the variance of a minibatch's gradient is about (N/B − 1)·curvature.
        """

    def move(self, u: Tensor, gradient: Tensor, step: float, generator: torch.Generator) -> Tensor:
        """The next u; `gradient` of −log p(w∣x, y) in u; both [C, P]."""


@dataclass(frozen=True, eq=False)
class ChainDraws:
    """The draws of C chains, T from each, and what tells whether they have converged.

    Attributes:
        network: the draws as a `Bayesian` network of S = CT points; draw s is number s // C of chain s % C.
        chains: C.
        step_size: the largest, in whitened weights.
        rhat: split R-hat of the network's output at up to 256 training inputs, float64 [N, *out].
        effective: its effective sample size, float64 [N, *out].
    """

    network: Bayesian
    chains: int
    step_size: float
    rhat: Tensor
    effective: Tensor

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def summary(self) -> str:
        """Chains, step size, R-hat and effective sample size, in words."""
        return (
            f"{self.chains} chains of {self.network.members // self.chains} draws, step size at most {self.step_size:.3g}; "
            f"outputs at training inputs: R-hat {float(self.rhat.mean()):.3f} on average, {float(self.rhat.max()):.3f} at "
            f"most, effective sample size at least {float(self.effective.min()):.0f}"
        )


def run_chains(
    net: nn.Module,
    data: Any,
    dynamics: Dynamics,
    *,
    likelihood: Likelihood | None,
    prior: Prior | None,
    seed: int,
    part: Part,
    chains: int,
    draws: int,
    steps: int,
    schedule: Schedule,
    warmup: int | None,
    batch_size: int | None,
    sample_weight: Any,
    provenance: dict[str, Any],
) -> ChainDraws:
    """Run all chains at once, from modes of the posterior that Adam finds from a random start for each.

    The step size is `schedule` of the fraction of the steps or of the time that is done, times what `dynamics` makes of the
    curvature at the start. Draws are kept where it is at most half of its largest, and equally far apart in the time that is
    simulated, the sum of the step sizes: so all count the same. A learned noise is maximised over until the first draw is
    kept: under draws of w, the gradient of E log p(y∣x, w) in it is that of the evidence (Fisher's identity).

    `part` says how long all of it may take, and `provenance` is added to that of the resulting network; all other arguments
    are as for the methods.
    """
    for name, value, least in (("chains", chains, 2), ("draws", draws, 4), ("steps", steps, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    multipliers = torch.tensor([schedule(step / steps) for step in range(steps)], dtype=torch.float64)
    keep = _kept(multipliers, draws)
    bnn = point_members(net, likelihood, prior, chains, seed)
    for name, parameter in bnn.likelihood.named_parameters():
        if parameter.requires_grad and parameter.shape[:1] != (1,):
            raise ValueError(
                f"the likelihood's {name} is learned by each member: let all share one, as {draws} draws do"
            )
    warming, moving = part.split(_SHARES)
    history = train(
        bnn, data, epochs=warmup, batch_size=batch_size, sample_weight=sample_weight, seed=seed, part=warming
    )
    bnn.eval()
    like = bnn.reference_tensor
    generator = torch.Generator(like.device).manual_seed(seed)
    source = batches(data, like, batch_size=batch_size, sample_weight=sample_weight, generator=generator)
    step_size, kept, rows = _moved(
        bnn, source, dynamics, schedule, [step / steps for step in keep], steps, moving, generator
    )
    points = split_like(torch.stack(kept).flatten(0, 1), [weight.parameter.unsqueeze(0) for weight in bnn.weights])
    member = list(range(chains)) * draws
    settings = {**history.provenance(bnn), **provenance, "chains": chains, "draws": draws, "steps": steps}
    network = network_of_points(bnn, points, member, settings)
    by_chain = predict(network, rows, samples=len(member)).samples.unflatten(0, (draws, chains)).movedim(1, 0)
    found = ChainDraws(network, chains, step_size, split_rhat(by_chain), effective_sample_size(by_chain))
    rhat = float(found.rhat.mean())
    if not rhat <= _NOT_MIXED:
        warnings.warn(
            f"the chains have not converged: R-hat of the outputs is {rhat:.2f} on average. Give them more steps, or take "
            "the spread between chains for that of a deep ensemble",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found


def _kept(multipliers: Tensor, draws: int) -> list[int]:
    # after which steps a draw is kept
    if not bool((multipliers.isfinite() & (multipliers >= 0)).all()) or not float(multipliers.max()) > 0:
        raise ValueError("the schedule must give multipliers that are finite, not negative and not all zero")
    small = torch.where(multipliers <= multipliers.max() / 2, multipliers, 0.0)
    steps = int((small > 0).sum())
    if steps < draws:
        raise ValueError(
            f"in only {steps} of {len(multipliers)} steps is the step size at most half of its largest, too few to keep "
            f"{draws} draws: give more steps, or another schedule"
        )
    clock = small.cumsum(0)
    wanted = torch.arange(1, draws + 1, dtype=torch.float64) * (clock[-1] / draws)
    index = torch.searchsorted(clock, wanted * (1 - 1e-9)).tolist()
    # where steps are so few that two draws would be kept after the same one, as many different ones
    return index if len(set(index)) == draws else small.nonzero().flatten()[-draws:].tolist()


def _moved(
    bnn: Bayesian,
    source: Batches,
    dynamics: Dynamics,
    schedule: Schedule,
    places: list[float],
    steps: int,
    part: Part,
    generator: torch.Generator,
) -> tuple[float, list[Tensor], Any]:
    # the largest step size, the weights [C, P] that are kept, and inputs at which to compare them; `places` are the
    # fractions of the chains at which to keep one
    scale = prior_scale(bnn, generator)
    stream = _endless(source)
    first = next(stream)

    def loss(batch: Batch) -> Tensor:
        return bnn.loss(batch.x, batch.y, source.num_data, sample_weight=batch.weight, generator=generator)

    curvature = source.num_data * largest_curvature(bnn, lambda: loss(first), generator, scale)
    largest = dynamics.step_size(curvature, source.num_data / len(first.y))
    noise = [parameter for parameter in bnn.likelihood.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(noise, lr=DEFAULT_LR) if noise else None
    u = flat_points(bnn) / scale
    kept: list[Tensor] = []
    step = 0
    while len(kept) < len(places):
        part.after(step, steps)
        # where the time has run ahead, or is up, the place of the draw that is due: each step keeps one then
        due = places[len(kept)]
        place = due if part.stopped is not None else min(part.done, due)
        value = loss(next(stream))
        if not math.isfinite(float(value.detach())):
            raise FloatingPointError(f"the loss became {float(value.detach())} in step {step}: lower lr")
        if optimizer is not None and place < places[0]:
            for parameter, slope in zip(noise, torch.autograd.grad(value, noise, retain_graph=True), strict=True):
                parameter.grad = slope
        gradient = source.num_data * scale * member_gradients(bnn, value)
        if optimizer is not None and place < places[0]:
            optimizer.param_groups[0]["lr"] = DEFAULT_LR * cosine(place / places[0])
            optimizer.step()
        u = dynamics.move(u, gradient, largest * schedule(place), generator)
        set_points(bnn, u * scale)
        if place == due:
            kept.append(u * scale)
        step += 1
    part.after(1, 1)
    index = torch.arange(min(_CHECKED, len(first.y)), device=u.device)
    return largest, kept, take_rows(first.x, index)


def _endless(source: Batches) -> Iterator[Batch]:
    while True:
        yield from source
