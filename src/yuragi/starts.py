"""Where the members of a mixture posterior begin."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from yuragi.weights import Weight, select_weights

_TRAINED_NOISE = 0.1  # of a tensor's root mean square


def member_starts(
    module: nn.Module, weights: Sequence[Weight], members: int, start: Literal["fresh", "trained"]
) -> list[Tensor]:
    """Starting means, list of [K, *shape]; the first member keeps the module's own weights, and K = 1 is a view of them.

    Args:
        module: the network; left as it is.
        weights: its Bayesian weights.
        members: K.
        start: "fresh": each further member as if its network had been built anew, by `reset_parameters()`; a tensor that
            nothing resets is redrawn with its own mean and standard deviation. "trained": the weights plus Normal
            noise of a tenth of each tensor's root mean square.

    Raises:
        ValueError: unknown `start`.
    """
    if start not in ("fresh", "trained"):
        raise ValueError(f'start must be "fresh" or "trained", got {start!r}')
    own = [weight.parameter.detach() for weight in weights]
    if members == 1:
        return [w.unsqueeze(0) for w in own]  # not copied: a large network's conversion is all copying
    rows = [own]
    for _ in range(members - 1):
        rows.append([_near(w) for w in own] if start == "trained" else _fresh(module, weights, own))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def copied(module: nn.Module) -> nn.Module:
    """A copy of a network, also where its hooks have left tensors on it that have a graph behind them."""
    return copy.deepcopy(module, _copies(module))


def built_anew(module: nn.Module) -> nn.Module:
    """A copy of a network whose trainable weights are as if it had been built anew, as `member_starts` says.

    What is frozen, and all buffers, are as they were. Draws from the global random state.
    """
    other = copied(module)
    weights = select_weights(other, None)[0]
    with torch.no_grad():
        for weight, starts in zip(weights, member_starts(other, weights, 2, "fresh"), strict=True):
            weight.parameter.copy_(starts[1])
    return other


def _takes_nothing(reset: Callable[..., object]) -> bool:
    try:
        inspect.signature(reset).bind()
    except TypeError:
        return False
    return True


def _near(w: Tensor) -> Tensor:
    return w + _TRAINED_NOISE * w.square().mean().sqrt() * torch.randn_like(w)


@torch.no_grad()
def _fresh(module: nn.Module, weights: Sequence[Weight], own: Sequence[Tensor]) -> list[Tensor]:
    # the copy's Weight records must point into the copy, so both go through one deepcopy
    other, others = copy.deepcopy((module, list(weights)), _copies(module))
    for weight in others:
        weight.parameter.fill_(torch.nan)  # to see which tensors a reset reaches
    for part in reversed(list(other.modules())):  # parents last: they may reset what their children hold
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset) and _takes_nothing(reset):
            reset()
    return [
        torch.normal(w.mean().expand_as(w), w.std(correction=0)) if fresh.parameter.isnan().any() else fresh.parameter
        for w, fresh in zip(own, others, strict=True)
    ]


def _copies(module: nn.Module) -> dict[int, Any]:
    # tensors that a hook left on its module, as pruning does: they have a graph behind them, and deepcopy refuses them
    return {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
