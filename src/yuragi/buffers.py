"""Buffers of a network with several members: shared by all where members cannot differ, and else each member's own.

Only an operation that would write something of a member's into a buffer (the running statistics behind a Bayesian layer)
makes it the members' own. What a frozen part of the network reads and writes stays shared, for with buffers of its own
it would have to run once for each member.

A pass may also put another tensor in a buffer's place, as in `self.mean = 0.9 * self.mean + 0.1 * x.mean(0)`. The network
gets its own buffer back, and the value is written to it as if the pass had done so in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MemberBuffers(nn.Module):
    """The buffers that are the members' own, stacked: [K, *shape], under their names in the network with "/" for ".".

    Which these are is found out in passes, so a state dict may differ in it from the network that it is loaded into,
    which then follows it.

    Args:
        template: the network; it keeps the buffers that are shared.
        members: K.
    """

    def __init__(self, template: nn.Module, members: int) -> None:
        super().__init__()
        self._template = (template,)  # in a tuple: it is no part of this module
        self.members = members

    def shared(self) -> dict[str, Tensor]:
        """The network's buffers that are the same for all members."""
        own = {name.replace("/", ".") for name in self._buffers}
        return {name: buffer for name, buffer in self._template[0].named_buffers() if name not in own}

    def own(self) -> dict[str, Tensor]:
        """The members' own buffers, [K, *shape], by their names in the network."""
        return {name.replace("/", "."): buffer for name, buffer in self._buffers.items() if buffer is not None}

    def make_own(self, values: Mapping[str, Tensor]) -> None:
        """Give members their own of these buffers, beginning at [K, *shape], or all at [*shape]."""
        kept = self._template[0].state_dict().keys() if values else ()
        for name, value in values.items():
            shape = self._template[0].get_buffer(name).shape
            stacked = value.detach().expand(self.members, *shape).clone()
            self.register_buffer(name.replace(".", "/"), stacked, persistent=name in kept)

    def stacks(self, member: Sequence[int] | None = None) -> dict[str, list[Tensor]]:
        """What passes need of the buffers: those of each member, or of a draw from each of the members given."""
        own, shared = list(self.own().values()), list(self.shared().values())
        if member is not None:
            own = [buffer[torch.as_tensor(member, device=buffer.device)] for buffer in own]
        rows = self.members if member is None else len(member)
        return {"own": own, "shared": [buffer.expand(rows, *buffer.shape) for buffer in shared]}

    def rows(self) -> BufferRows:
        """The mapping from a row of `stacks` to the buffers of a pass."""
        shared = dict(self._template[0].named_buffers())
        own = [shared.pop(name.replace("/", ".")) for name in self._buffers]
        return BufferRows(own, shared)

    def follow(self, state: Mapping[str, Any], prefix: str) -> None:
        """Before a state dict is loaded: give members their own buffers where it has them, and nowhere else."""
        if self.members == 1:
            return
        wanted = {name.removeprefix(prefix).replace("/", ".") for name in state if name.startswith(prefix)}
        self.make_own({name: buffer for name, buffer in self.shared().items() if name in wanted})
        for name in list(self._buffers):
            if name.replace("/", ".") not in wanted and name not in self._non_persistent_buffers_set:
                delattr(self, name)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.follow(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


class BufferRows:
    """Which of the network's buffers the tensors of a row stand for.

    Args:
        own: the network's buffers of which each member has its own.
        shared: the others, by name.
    """

    def __init__(self, own: Sequence[Tensor], shared: Mapping[str, Tensor]) -> None:
        self._own = [id(buffer) for buffer in own]
        self._shared = [id(buffer) for buffer in shared.values()]
        self._names = {id(buffer): name for name, buffer in shared.items()}

    def of(self, row: Mapping[str, Sequence[Tensor]]) -> PassBuffers | None:
        """The buffers of one pass; None if the network has none, or the row knows nothing of them."""
        own, shared = row.get("own", ()), row.get("shared", ())
        if not own and not shared:
            return None
        return PassBuffers(
            dict(zip(self._own, own, strict=True)), dict(zip(self._shared, shared, strict=True)), self._names
        )


class PassBuffers:
    """The buffers that one member sees in one pass.

    Args:
        own: identity of a network's buffer -> the member's own.
        shared: identity of a network's buffer -> a view of it to begin from, should it have to become the member's own.
        names: identity -> name, of the shared ones.
    """

    def __init__(self, own: dict[int, Tensor], shared: Mapping[int, Tensor], names: Mapping[int, str]) -> None:
        self.own = own
        self._shared = shared
        self._names = names
        self.made: dict[str, Tensor] = {}
        """Those that became the member's own in this pass, by name."""

    def make_own(self, *values: Any) -> bool:
        """Give the member its own of every shared buffer among these values; whether there was one."""
        found = False
        for value in values:
            if isinstance(value, Tensor):
                if id(value) in self._shared and id(value) not in self.own:
                    own = self._shared[id(value)].clone()
                    self.own[id(value)] = self.made[self._names[id(value)]] = own
                    found = True
            elif isinstance(value, (list, tuple)):
                found |= self.make_own(*value)
            elif isinstance(value, dict):
                found |= self.make_own(*value.values())
        return found


@contextmanager
def dropping_reassigned(module: nn.Module) -> Iterator[None]:
    """Give the module its own buffers back after the block, which may have put other tensors in their place."""
    held = [(part, dict(part._buffers)) for part in module.modules() if part._buffers]
    try:
        yield
    finally:
        for part, buffers in held:
            part._buffers.update(buffers)


@contextmanager
def writing_reassigned(module: nn.Module) -> Iterator[None]:
    """As `dropping_reassigned`, but write to each of the module's own buffers what the block has put in its place.

    The writing is an operation like those of the block: under a mode of its own buffers, a member's go to the member's.
    """
    with dropping_reassigned(module):
        held = [(part, dict(part._buffers)) for part in module.modules() if part._buffers]
        yield
        for part, buffers in held:
            for name, own in buffers.items():
                left = part._buffers.get(name)
                if own is None or left is None or left is own:
                    continue
                if left.shape == own.shape:  # else a cache of this batch, which the next pass makes anew
                    own.copy_(left.detach())
