"""`ShuffledRows`: minibatches of rows that are read anew in every epoch, in a random order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from yuragi.data import Batch, Batches, usual_batch_size
from yuragi.tables.errors import TableError

Part = tuple[Tensor, Tensor, Tensor]
"""Some rows: inputs [n, D], targets [n, *out], and which of all rows they are, int64 [n]."""

_ROWS, _BYTES = 1 << 17, 1 << 26  # of the buffer, at most


class ShuffledRows(Batches):
    """Minibatches of rows that come in blocks: the blocks in a new random order each epoch, their rows through a buffer.

    Whenever the buffer is full, a half of its rows, drawn at random, goes out as minibatches. Each row comes once an epoch.
    Where all rows fit into the buffer, they stay there, and are read once.

    Args:
        read: gives the rows of a block, a part at a time.
        blocks: how many there are.
        num_data: N, rows of all blocks.
        sample: (x, y) of some of the rows, by which alternatives are chosen.
        batch_size: rows a minibatch; None: as `yuragi.fit`.
        buffer: rows of the buffer; None: 131,072, or as many as have 64 MiB of inputs.
        seed: of the order.
        device: where the minibatches are put.

    Raises:
        ValueError: a number is less than 1.

    Example:
        >>> def read(block):
        ...     rows = torch.arange(10 * block, 10 * block + 10)
        ...     yield rows[:, None].float(), rows.float(), rows
        >>> data = ShuffledRows(read, blocks=3, num_data=30, batch_size=8, buffer=16, seed=0)
        >>> [len(batch.y) for batch in data], sorted(int(i) for batch in data for i in batch.index) == list(range(30))
        ([8, 8, 8, 6], True)
    """

    def __init__(
        self,
        read: Callable[[int], Iterator[Part]],
        blocks: int,
        num_data: int,
        *,
        sample: tuple[Any, Tensor] | None = None,
        batch_size: int | None = None,
        buffer: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, number in (
            ("blocks", blocks),
            ("num_data", num_data),
            ("batch_size", batch_size),
            ("buffer", buffer),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self.read, self.blocks, self.num_data, self.sample = read, blocks, num_data, sample
        self.batch_size = min(usual_batch_size(num_data) if batch_size is None else batch_size, num_data)
        self.steps = -(-num_data // self.batch_size)
        self.buffer, self.device = buffer, device
        self.generator = torch.Generator().manual_seed(seed)
        self._all: Part | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch.

        Raises:
            TableError: the blocks have other rows than they had.
        """
        seen = 0
        for x, y, index in self._shuffled():
            for rows in torch.arange(len(y)).split(self.batch_size):
                batch = [part[rows].to(self.device) for part in (x, y, index)]
                yield Batch(batch[0], batch[1], batch[2], None)
            seen += len(y)
        if seen != self.num_data:
            raise TableError(f"there are {seen:,} rows to learn from where there were {self.num_data:,}: start again")

    def generators(self) -> list[torch.Generator]:
        """That of the order."""
        return [self.generator]

    def _shuffled(self) -> Iterator[Part]:
        """Rows in a random order, as many at a time as make whole minibatches, except for the last."""
        # drawn in every epoch, needed or not: an epoch that is begun again elsewhere is to have the same order
        blocks = torch.randperm(self.blocks, generator=self.generator).tolist()
        if self._all is not None:
            yield self._permuted(self._all, self.num_data)
            return
        pool: Part | None = None
        held = capacity = 0
        for block in blocks:
            for part in self.read(block):
                if pool is None:
                    capacity = self._capacity(part[0])
                    pool = tuple(one.new_empty(capacity, *one.shape[1:]) for one in part)  # type: ignore[assignment]
                    assert pool is not None
                while len(part[0]):
                    taken = min(capacity - held, len(part[0]))
                    for into, one in zip(pool, part, strict=True):
                        into[held : held + taken] = one[:taken]
                    held += taken
                    part = tuple(one[taken:] for one in part)  # type: ignore[assignment]
                    if held == capacity:
                        out, kept = self._drawn(pool, held)
                        yield out
                        held = len(kept[0])
                        for into, one in zip(pool, kept, strict=True):
                            into[:held] = one
        if pool is not None and held:
            if held == self.num_data:  # all that there are
                order = pool[2][:held].argsort()
                pool = self._all = tuple(one[order] for one in pool)  # type: ignore[assignment]
            assert pool is not None
            yield self._permuted(pool, held)

    def _permuted(self, pool: Part, held: int) -> Part:
        order = torch.randperm(held, generator=self.generator)
        return tuple(one[order] for one in pool)  # type: ignore[return-value]

    def _drawn(self, pool: Part, held: int) -> tuple[Part, Part]:
        order = torch.randperm(held, generator=self.generator)
        out = max(1, held // 2 // self.batch_size) * self.batch_size
        return tuple(one[order[:out]] for one in pool), tuple(one[order[out:]] for one in pool)  # type: ignore[return-value]

    def _capacity(self, x: Tensor) -> int:
        rows = min(_ROWS, _BYTES // max(1, x[0].numel() * x.element_size())) if self.buffer is None else self.buffer
        return max(2 * self.batch_size, rows)
