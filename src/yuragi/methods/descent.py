"""Gradient descent on minibatches, for objectives that are not the ELBO of a `Bayesian` network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.data import Batch, Batches
from yuragi.loop import DEFAULT_LR, DEFAULT_STEPS, cosine
from yuragi.optimizers import NOISE_LR
from yuragi.pace import Part


def descend(
    loss: Callable[[Batch], Tensor],
    weights: Iterable[nn.Parameter],
    noise: Iterable[nn.Parameter],
    source: Batches,
    *,
    epochs: int | None,
    lr: float | None,
    seed: int,
    part: Part,
) -> Tensor:
    """Minimise a loss by Adam, whose learning rate falls along half a cosine.

    Args:
        loss: of a minibatch, scalar.
        weights: what is trained.
        noise: the likelihood's own parameters, which have ten times the learning rate; what is fixed is left out.
        source: the minibatches.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        lr: learning rate; None: 1e-2.
        seed: of dropout and whatever else draws from the global random state, which is left alone.
        part: of a job, whose share of the time ends it, and whose progress the learning rate follows.

    Returns:
        The mean loss of each epoch, float64 [epochs], of as many as the time allowed.

    Raises:
        ValueError: `epochs` or `lr` is out of range, or there is nothing to train.
        FloatingPointError: the loss became NaN or infinite.
    """
    epochs = max(20, -(-DEFAULT_STEPS // source.steps)) if epochs is None else epochs
    lr = DEFAULT_LR if lr is None else lr
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in part if p.requires_grad], "lr": rate}
        for part, rate in ((weights, lr), (noise, NOISE_LR * lr))
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("nothing to train: every parameter has requires_grad=False")
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    history: list[float] = []
    step, steps = 0, epochs * source.steps
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(epochs):
            total, rows = 0.0, 0
            for batch in source:
                part.after(step, steps)
                value = loss(batch)
                optimizer.zero_grad()
                value.backward()
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * cosine(part.done)
                optimizer.step()
                step += 1
                total += float(value.detach()) * len(batch.y)
                rows += len(batch.y)
                if part.stopped is not None:
                    break
            history.append(total / rows)
            if not math.isfinite(history[-1]):
                raise FloatingPointError(
                    f"the loss became {history[-1]} in epoch {epoch + 1}: lower lr, or check the scale of the data"
                )
            if part.stopped is not None:
                break
    part.after(steps, steps)
    return torch.tensor(history, dtype=torch.float64)


def gained(history: Tensor, unit: str = "nats") -> str:
    """How much the loss fell at the end, in words; `unit` is the loss's: whether it is worth while to go on."""
    quarter = max(1, len(history) // 4)
    fall = float(history[-2 * quarter : -quarter].mean() - history[-quarter:].mean())
    return (
        f"{fall:+.4f} {unit} per datum in the last quarter of {len(history)} epochs"
        if len(history) > 7
        else "untrained"
    )
