"""The optimiser of a fit: of which parameters, at which rates, and going on from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from yuragi.bayesian import Bayesian
from yuragi.checkpoints import CheckpointError

NOISE_LR = 10.0  # the noise is one number among many weights: at their learning rate it would lag behind


def groups(bnn: Bayesian, given: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    """Groups of all that trains: those given, then the network, then the likelihood at a learning rate of its own.

    Raises:
        ValueError: nothing trains.
    """
    given = [{**group, "params": list(group["params"])} for group in given]
    taken = {id(parameter) for group in given for parameter in group["params"]}

    def rest(module: nn.Module) -> list[nn.Parameter]:
        return [p for p in module.parameters() if p.requires_grad and id(p) not in taken]

    noise = rest(bnn.likelihood)
    taken |= {id(parameter) for parameter in noise}
    found = [*given, {"params": rest(bnn)}, {"params": noise, "lr": NOISE_LR * lr}]
    found = [group for group in found if group["params"]]
    if not found:
        raise ValueError("nothing to train: every parameter has requires_grad=False")
    return found


def made(
    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """An optimiser of these groups.

    Raises:
        ValueError: it is one that needs the same loss several times.
    """
    optimizer = make(groups)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates the loss several times a step, and here each time has other noise: use Adam or SGD"
        )
    return optimizer


def described(optimizer: torch.optim.Optimizer, rates: list[float]) -> dict[str, Any]:
    """What `restore` needs; `rates` are the learning rates before any schedule."""
    return {"kind": type(optimizer).__name__, "rates": rates, "state": optimizer.state_dict()}


def restore(optimizer: torch.optim.Optimizer, rates: list[float], state: Mapping[str, Any]) -> None:
    """Go on from such a state.

    Raises:
        CheckpointError: it is that of an optimiser of another kind, or with other options.
    """

    def options(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in group.items() if name != "lr"} for group in groups]

    kind, now, then = type(optimizer).__name__, optimizer.state_dict()["param_groups"], state["state"]["param_groups"]
    if kind != state["kind"] or options(now) != options(then) or rates != state["rates"]:
        raise CheckpointError(
            f"the checkpoint has the state of another optimiser: {state['kind']} with learning rates {state['rates']} and "
            f"{options(then)}, and here it is {kind} with {rates} and {options(now)}"
        )
    optimizer.load_state_dict(state["state"])
