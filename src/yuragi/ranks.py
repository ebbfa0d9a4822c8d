"""The processes that train one network together: who they are, and what they tell each other.

Each holds the whole network and makes the same steps. What must agree comes from the first of them (the weights that a fit
begins with, the order of the rows, what a clock says), and what each finds out by its own rows is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from yuragi.flat import of_one_kind

T = TypeVar("T")
_FLATTENED = 2**20  # numbers of a tensor from which copying it beside others costs more than a message of its own


class Fabric(Protocol):
    """What is asked of a `lightning.fabric.Fabric`, launched."""

    @property
    def global_rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """How many processes there are, on all machines."""

    @property
    def device(self) -> torch.device:
        """That of this process."""


class Ranks:
    """All processes of a fit, seen from one of them; by default it is alone.

    Args:
        rank: number of this process, from 0.
        count: R, how many there are. More than one talk by `torch.distributed`.

    Example:
        >>> alone = Ranks()
        >>> alone.first, alone.from_first(3), alone.of_all(3)
        (True, 3, [3])
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @classmethod
    def of(cls, fabric: Fabric) -> Ranks:
        """The processes that a fabric has launched.

        Raises:
            TypeError: it is none.
            RuntimeError: it has not launched them yet.
        """
        if not all(hasattr(fabric, name) for name in ("global_rank", "world_size", "device")):
            raise TypeError(
                f'fabric must be a lightning Fabric (pip install "yuragi[fabric]"), got {type(fabric).__name__}'
            )
        ranks = cls(fabric.global_rank, fabric.world_size)
        if ranks.count > 1 and not (distributed.is_available() and distributed.is_initialized()):
            raise RuntimeError(f"the fabric's {ranks.count} processes do not run yet: call fabric.launch() before fit")
        return ranks

    @property
    def first(self) -> bool:
        """Whether this is the process that decides and writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def seeds(self, seed: int | None) -> list[int | None]:
        """What each process seeds its own noise by, when the fit has this seed; a process alone takes that itself."""
        if seed is None or self.alone:
            return [seed] * self.count
        return [derived_seed(seed, rank) for rank in range(self.count)]

    def from_first(self, value: T) -> T:
        """The value that the first process has."""
        if self.alone:
            return value
        held = [value if self.first else None]
        distributed.broadcast_object_list(held, src=0)
        return held[0]  # type: ignore[return-value]

    def by_first(self, make: Callable[[], T]) -> T:
        """What the first process makes; an error that it meets is raised in all."""
        if self.alone:
            return make()
        made: tuple[Any, Exception | None] = (None, None)
        if self.first:
            try:
                made = make(), None
            except Exception as error:  # whatever it is, the others wait for it
                made = None, error
        value, failed = self.from_first(made)
        if failed is not None:
            raise failed
        return value  # type: ignore[no-any-return]

    def of_all(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if self.alone:
            return [value]
        held: list[Any] = [None] * self.count
        distributed.all_gather_object(held, value)
        return held

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put into each tensor its sum over all processes, to the last bit the same in each of them."""
        if self.alone:
            return
        for same in of_one_kind(tensors):
            small = []
            for tensor in same:
                if tensor.numel() < _FLATTENED or not tensor.is_contiguous():
                    small.append(tensor)
                else:
                    distributed.all_reduce(tensor)
            if small:
                flat = torch.cat([tensor.reshape(-1) for tensor in small])
                distributed.all_reduce(flat)
                for tensor, part in zip(small, flat.split([tensor.numel() for tensor in small]), strict=True):
                    tensor.copy_(part.view(tensor.shape))


def derived_seed(seed: int, number: int) -> int:
    """A seed for one of several that draw apart, by its number.

    Example:
        >>> derived_seed(0, 1) == derived_seed(0, 1) != derived_seed(0, 2)
        True
    """
    (drawn,) = np.random.SeedSequence([seed % 2**64, number]).generate_state(1, np.uint64)
    return int(drawn) >> 2
