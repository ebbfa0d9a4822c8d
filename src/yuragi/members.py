"""Some members of a trained network, as a network of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian


@torch.no_grad()
def copy_members(source: Bayesian, target: Bayesian, first: int) -> None:
    """Let all members of `target` become members of `source`, from `first` on.

    Args:
        source: a trained network.
        target: one of the same module, posterior and likelihood, with fewer members or as many.
        first: the first member of `source` to copy. The `inflation` of a likelihood is not.
    """
    rows = slice(first, first + target.members)
    for mean, given in zip(target.q().means, source.q().means, strict=True):
        mean.copy_((given[rows] if source.members > 1 else given).reshape(mean.shape))
    for part, given_part in ((target.posterior, source.posterior), (target.likelihood, source.likelihood)):
        _copy_state(part, given_part, rows)
    drawn = set(target.weight_names)
    shared = {name: value for name, value in source.module.state_dict().items() if name not in drawn}
    own = {name: value[rows] for name, value in source.member_buffers.own().items()}
    if target.members == 1:
        shared |= {name: value[0] for name, value in own.items()}
    target.module.load_state_dict(shared, strict=False)
    if target.members > 1:
        target.member_buffers.make_own(own)


def _copy_state(target: nn.Module, source: nn.Module, rows: slice) -> None:
    state: dict[str, Tensor] = target.state_dict(keep_vars=True)
    given = source.state_dict()
    for name, value in state.items():
        if name == "inflation":  # it is whoever scored the members who knows theirs
            continue
        # a setting that candidates have a value each of, and a network alone has one for all members
        value.copy_(given[name] if given[name].shape == value.shape else given[name][rows][: len(value)])
