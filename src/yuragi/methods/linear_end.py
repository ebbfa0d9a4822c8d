"""Networks that end in a linear layer, and how their weights are distributed under a Normal prior."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.priors import FanIn, Normal, Prior


def last_linear(net: nn.Module) -> tuple[str, nn.Linear]:
    """The last `nn.Linear` of a network, and its name, which is empty where the network is it.

    Raises:
        ValueError: there is none.
    """
    found = [(name, part) for name, part in net.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        raise ValueError(f"{type(net).__name__} has no nn.Linear: the last layer must be one")
    return found[-1]


@torch.no_grad()
def check_ends_in_linear(net: nn.Module, x: Any) -> None:
    """Refuse a network whose output for `x` is not that of its last `nn.Linear`, used once."""
    net = copy.deepcopy(net).eval()
    name, layer = last_linear(net)
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    args, kwargs = as_arguments(x)
    output = net(*args, **kwargs)
    if len(seen) != 1 or not isinstance(output, Tensor) or not torch.equal(output, seen[0]):
        raise ValueError(
            f"the network does not end in its last nn.Linear, '{name}', used once: given it, it is not linear"
        )


def normal_scales(bnn: Bayesian) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every weight under the network's Normal prior, the weights one after another, [P]."""
    prior = bnn.prior
    assert isinstance(prior, Normal)
    like = prior.scale.new_empty(1, sum(weight.numel for weight in bnn.weights))
    return prior.along(prior.loc, like).expand_as(like)[0], prior.along(prior.scale, like).expand_as(like)[0]


def fixed_normal(prior: Prior | None, why: str) -> Normal:
    """The prior, `FanIn()` where None; refused, with what needs it otherwise, where it is not Normal or is learned."""
    prior = FanIn() if prior is None else prior
    if not isinstance(prior, Normal) or prior.learn:
        raise ValueError(f"{why} needs a Normal prior with a fixed scale, as Normal, FanIn or Pretrained: got {prior}")
    return prior
