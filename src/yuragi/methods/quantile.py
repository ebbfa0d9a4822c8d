"""Quantile regression with split-conformal calibration: the baseline that assumes no distribution."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.bayesian import as_arguments
from yuragi.calibration import SplitConformal
from yuragi.data import Batch, batches, check_finite, check_pair, count_rows, take_rows, to_tensors
from yuragi.held_out import HELD_OUT
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.likelihoods.location_scale import FLOOR, LocationScale, NetworkScale
from yuragi.methods.descent import descend, gained
from yuragi.methods.linear_end import check_ends_in_linear, last_linear
from yuragi.pace import Job, Part, Progress
from yuragi.predictions import QuantilePrediction
from yuragi.priors import Prior

_LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
_ROWS = 1024
_BEGIN = 0.5  # spread of the quantiles before training, in standard deviations of the targets


@dataclass(frozen=True, eq=False)
class Result:
    """A network of quantiles and the errors of rows that it has not seen. There is no posterior and so no `network`.

    `yuragi.save` takes a posterior of weights, and here is none: the same call with the same seed, and no `seconds`, makes
    the same result again.

    Attributes:
        module: the trained network; returns the quantiles of each output, before calibration, [N, *out, L].
        levels: L, increasing.
        calibrators: one a level, fitted on the rows held out.
        held_out: how many rows those are.
        missed: shares of them below each quantile before calibration, [L], over all outputs.
        history: pinball loss of each epoch, units of y, float64 [epochs].
    """

    module: nn.Module
    levels: tuple[float, ...]
    calibrators: tuple[SplitConformal, ...]
    held_out: int
    missed: tuple[float, ...]
    history: Tensor

    def predict(self, x: Any) -> QuantilePrediction:
        """Calibrated quantiles; `x` as for `yuragi.predict`."""
        raw = _quantiles(self.module, x)
        located = [
            c(_Located(q)).quantile(level) for c, q, level in zip(self.calibrators, raw, self.levels, strict=True)
        ]
        made = {"levels": self.levels, "held_out": self.held_out}
        return QuantilePrediction.of(_apart(torch.stack(located), self.levels), self.levels, made)

    def __str__(self) -> str:
        """How many rows vouch for the levels, and how far off the network was without them."""
        off = ", ".join(f"{level:g}: {share:.3f}" for level, share in zip(self.levels, self.missed, strict=True))
        return (
            f"quantile regression, calibrated on {self.held_out} rows held out; shares of them below its quantiles before "
            f"that: {off}; pinball loss {gained(self.history, 'units of y')}"
        )


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    levels: Sequence[float] | None = None,
    held_out: float = HELD_OUT,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> Result:
    """Train a network for several quantiles by the pinball loss, then shift each by what rows held out say.

        loss = mean_i Σ_τ max(τ(y_i − q_τ(x_i)), (τ − 1)(y_i − q_τ(x_i)))

    The last linear layer is replaced by one that gives the middle quantile and, through softplus, the distances to its
    neighbours: quantiles do not cross. The shift of level τ ≥ ½ is the error y − q_τ of rank ⌈τ(n + 1)⌉ among the n rows
    held out, of a level below it that of rank ⌊τ(n + 1)⌋; if held-out and new rows are exchangeable,

        P(y ≤ q_τ(x)) ≥ τ for τ ≥ ½,    P(y ≤ q_τ(x)) ≤ τ for τ < ½,

    whatever the network and the distribution, and an interval between two levels holds y as often as they promise. That is
    over all inputs, not at each, says nothing of inputs unlike the data, and is promised at `levels` alone: everything else
    that the prediction has rests on what `QuantilePrediction` assumes. Koenker & Bassett, "Regression quantiles", 1978;
    Romano, Patterson & Candès, "Conformalized quantile regression", 2019.

    Args:
        net: a module whose output is that of its last `nn.Linear`, [N, *, out]; left as it is.
        data: (x, y) tensors or arrays, y [N, *, out] floating point.
        likelihood: says only that the targets are continuous numbers: `Gaussian`, `StudentT` or one of those whose scale
            is the network's; its noise is not used.
        prior: not used, for there is no posterior: the argument is that of every method.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        levels: L, at least one below ½ and one from ½ on. None: 0.025, 0.05, 0.1, 0.25, 0.5 and their counterparts, as far as
            the rows held out suffice: for 0.025 it takes 39.
        held_out: share of the rows that the network is not trained on but calibrated.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step; None: as for `yuragi.fit`.
        lr: Adam's learning rate, which falls along half a cosine; None: 1e-2.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, the network does not
            end in a linear layer, the targets are not continuous, or too few rows are held out for a level.

    Example:
        >>> x = torch.linspace(-1, 1, 60).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> low, high = run(net, (x, x.sin()), epochs=20).predict(x).interval(0.8)
        >>> bool((low < high).all())
        True
    """
    if likelihood is not None and not isinstance(likelihood, LocationScale):
        raise ValueError(f"quantiles are of continuous numbers, and {likelihood} describes others: leave it out")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie strictly between 0 and 1, got {held_out}")
    like = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(()))
    x, y = check_pair("data", data, like.device, like.dtype)
    Gaussian().check_targets(y)
    if y.dim() < 2:
        raise ValueError(f"targets must be [N, *, out], got shape {tuple(y.shape)}: reshape them to ({len(y)}, 1)")
    check_ends_in_linear(net, x)
    generator = torch.Generator(like.device).manual_seed(seed)
    rows = max(1, round(held_out * len(y)))
    if rows == len(y):
        raise ValueError(f"{len(y)} rows are too few to hold {held_out:g} of them out and train on the rest")
    order = torch.randperm(len(y), generator=generator, device=like.device)
    out, kept = order[:rows], order[rows:]
    chosen = _checked_levels(levels, rows)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = _Quantiles(net, y[kept], chosen, isinstance(likelihood, NetworkScale))
    with torch.no_grad():
        module.check(take_rows(x, slice(0, 2)), y[:2])
    tau = torch.tensor(chosen, dtype=like.dtype, device=like.device)

    def loss(batch: Batch) -> Tensor:
        args, kwargs = as_arguments(batch.x)
        error = batch.y.unsqueeze(-1) - module(*args, **kwargs)
        return torch.maximum(tau * error, (tau - 1) * error).flatten(1).sum(1).mean()

    source = batches((take_rows(x, kept), y[kept]), like, batch_size=batch_size, generator=generator)
    module.train()
    history = descend(
        loss, module.parameters(), [], source, epochs=epochs, lr=lr, seed=seed, part=Part(Job(seconds, progress))
    )
    module.eval()
    raw = _quantiles(module, take_rows(x, out))
    calibrators = tuple(SplitConformal.fit(_Located(q), y[out]) for q in raw)
    for calibrator, level, q in zip(calibrators, chosen, raw, strict=True):
        calibrator(_Located(q)).quantile(level)  # refuses a level that the rows do not suffice for now, not later
    missed = tuple(float((y[out] <= q).double().mean()) for q in raw)
    return Result(module, chosen, calibrators, rows, missed, history)


class _Quantiles(nn.Module):
    """A network whose last linear layer gives quantiles, [N, *out, L], that increase by construction."""

    gaps: Tensor

    def __init__(self, net: nn.Module, y: Tensor, levels: tuple[float, ...], scales: bool) -> None:
        super().__init__()
        name, layer = last_linear(net)
        self.outputs, self.given = y.shape[-1], layer.out_features // (2 if scales else 1)
        wide = nn.Linear(
            layer.in_features, self.outputs * len(levels), device=layer.weight.device, dtype=layer.weight.dtype
        )
        self.net: nn.Module = wide
        if name:
            self.net = copy.deepcopy(net)
            self.net.set_submodule(name, wide)
        self.middle = next(k for k, level in enumerate(levels) if level >= 0.5)
        # before training, those of a Normal
        unit = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))
        spread = y.double().flatten(0, -2).std(0, correction=0).clamp_min(1e-6)
        gaps = _BEGIN * spread.unsqueeze(1) * unit.diff().to(spread.device) / F.softplus(torch.zeros(()))
        self.register_buffer("gaps", gaps.to(y.dtype))  # [out, L − 1]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        raw = self.net(*args, **kwargs).unflatten(-1, (self.outputs, -1))
        # a thousandth, so that none coincide
        steps = self.gaps * (FLOOR + F.softplus(raw[..., 1:]))
        above = F.pad(steps.cumsum(-1), (1, 0))
        quantiles: Tensor = raw[..., :1] + above - above[..., self.middle : self.middle + 1]
        return quantiles

    def check(self, x: Any, y: Tensor) -> None:
        """Refuse targets that do not go with the outputs that the network had."""
        args, kwargs = as_arguments(x)
        shape = copy.deepcopy(self).eval()(*args, **kwargs).shape[:-1]
        if self.given != self.outputs or shape != y.shape:
            raise ValueError(
                f"the network returns {self.given} numbers for each row and place, but the targets have shape "
                f"{tuple(y.shape)} for {len(y)} rows"
            )


@dataclass(frozen=True)
class _Located:
    """A quantile, as what a conformal calibrator measures errors from."""

    mean: Tensor


@torch.no_grad()
def _quantiles(module: nn.Module, x: Any) -> Tensor:
    """[L, N, *out], float64, in evaluation mode."""
    like = next(module.parameters())
    x = to_tensors(x, like.device, like.dtype)
    rows = count_rows(x)
    check_finite("x", x)
    parts = []
    for index in torch.arange(rows, device=like.device).split(_ROWS):
        args, kwargs = as_arguments(take_rows(x, index))
        parts.append(module(*args, **kwargs))
    return torch.cat(parts).movedim(-1, 0).double()


def _apart(q: Tensor, levels: tuple[float, ...]) -> Tensor:
    # shifted by different amounts they may cross: those above the middle are raised and those below it lowered, which
    # keeps what is promised of each, until they increase by a little
    middle = next(k for k, level in enumerate(levels) if level >= 0.5)
    least = 1e-9 * (q.abs().amax(0) + 1e-6)
    number = torch.arange(len(q), dtype=q.dtype, device=q.device).reshape(-1, *[1] * (q.dim() - 1)) - middle
    level_by_level = q - number * least
    upper = level_by_level[middle:].cummax(0).values
    lower = -(-level_by_level[: middle + 1]).flip(0).cummax(0).values.flip(0)
    return torch.cat([lower[:-1], upper]) + number * least


def _checked_levels(levels: Sequence[float] | None, rows: int) -> tuple[float, ...]:
    if levels is None:
        chosen = tuple(level for level in _LEVELS if round(min(level, 1 - level) * (rows + 1), 9) >= 1)
        if len(chosen) < 2:
            raise ValueError(f"{rows} rows held out suffice for no interval: give more data, or a larger held_out")
        return chosen
    chosen = tuple(float(level) for level in levels)
    if not all(0 < level < 1 for level in chosen) or any(a >= b for a, b in itertools.pairwise(chosen)):
        raise ValueError(f"levels must increase and lie strictly between 0 and 1, got {chosen}")
    if not chosen or chosen[0] >= 0.5 or chosen[-1] < 0.5:
        raise ValueError(f"levels must have one below 0.5 and one from 0.5 on, got {chosen}")
    return chosen
