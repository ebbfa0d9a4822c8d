"""All that training changes in a Bayesian network, to go on from it in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from yuragi.bayesian import Bayesian
from yuragi.ranks import Ranks


def network_state(bnn: Bayesian) -> dict[str, Any]:
    """Parameters, buffers (those that a state dict leaves out, too), and what passes have found out.

    Returns:
        The tensors themselves, not copies, and JSON.
    """
    state = bnn.state_dict()
    left_out = {name: buffer for name, buffer in bnn.named_buffers() if name not in state}
    return {"kept": dict(state), "left_out": left_out, "found_out": bnn.found_out()}


def copied_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with tensors of its own."""
    return pytree.tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, dict(state))  # type: ignore[no-any-return]


@torch.no_grad()
def load_network_state(bnn: Bayesian, state: Mapping[str, Any]) -> None:
    """Make a network like the one whose state it was."""
    kept, left_out = state["kept"], state["left_out"]
    bnn.member_buffers.follow(kept | left_out, "member_buffers.")
    for name, buffer in list(bnn.named_buffers()):
        if name in kept and kept[name].shape != buffer.shape:  # a scale that is inflated member by member, say
            owner, _, own = name.rpartition(".")
            setattr(bnn.get_submodule(owner), own, torch.empty_like(kept[name], device=buffer.device))
    bnn.load_state_dict(kept)
    buffers = dict(bnn.named_buffers())
    for name, value in left_out.items():
        buffers[name].copy_(value)
    bnn.believe(state["found_out"])


def follow_first(bnn: Bayesian, ranks: Ranks) -> None:
    """Make the network of each process like that of the first."""
    if ranks.alone:
        return
    state = network_state(bnn) if ranks.first else {}
    # by way of the CPU: a tensor would come back on the device that it was sent from
    state = pytree.tree_map(lambda leaf: leaf.detach().cpu() if isinstance(leaf, Tensor) else leaf, state)
    load_network_state(bnn, ranks.from_first(state))
