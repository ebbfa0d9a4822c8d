"""Standard normals for the noise of a step: drawn anew, or read from a table that is drawn now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from yuragi.flat import in_transform

Normals = Callable[[Sequence[int], Tensor, torch.Generator | None], Tensor]
"""From a shape, a tensor for dtype and device, and a generator, to standard normals of that shape, without gradient."""

_HALF = 2**20  # numbers drawn for a table; as many more are their negatives
_WINDOW = 2**17  # numbers read from one place
_USES = 16  # how often each number is read before the table is drawn anew
_FEW = 2**11  # numbers that are drawn faster than looked up
_PLACES = 64  # drawn at once


def fresh(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normals drawn anew, in the dtype and on the device of `like`."""
    return like.new_empty(tuple(shape), requires_grad=False).normal_(generator=generator)


class NormalTable:
    """Normals for training, at the cost of reading them: windows of a table at random places.

    A processor takes longer to draw a normal than a step needs for all else that it does with a weight. The table holds
    2²⁰ normals, scaled to variance 1, and their negatives; a window begins at a place drawn uniformly, and a tensor of more
    than 2¹⁷ numbers is made of several. Over steps the noise of a weight is thus drawn from the table independently, the
    noise of two weights is uncorrelated, and all odd moments are exactly zero. After its numbers have been read 16 times,
    the table is drawn anew, as another tensor: what a graph holds of the old one stays as it was.

    What is read is a view of the table, and must not be written to.

    Example:
        >>> table = NormalTable()
        >>> table((100, 100), torch.zeros(1), torch.Generator().manual_seed(0)).shape
        torch.Size([100, 100])
    """

    def __init__(self) -> None:
        self._tables: dict[torch.dtype, _Table] = {}

    def __call__(self, shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Standard normals of this shape, in the dtype and on the device of `like`."""
        size = torch.Size(shape)
        if torch.compiler.is_compiling():
            return fresh(shape, like, generator)
        # other devices draw normals as fast as they read them; and rows of vmap are to have noise of their own
        drawn = like.device.type != "cpu" or in_transform() or like.dtype not in (torch.float32, torch.float64)
        if drawn or size.numel() < _FEW:
            return fresh(shape, like, generator)
        table = self._tables.get(like.dtype)
        if table is None:
            table = self._tables[like.dtype] = _Table(like.dtype)
        return table.read(size.numel(), generator).view(size)

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs to go on with the same numbers."""
        return {
            f"{str(dtype).removeprefix('torch.')}.{name}": value
            for dtype, table in self._tables.items()
            for name, value in table.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on as the table went on whose `state` this is."""
        for name in {key.split(".")[0] for key in state}:
            table = self._tables[getattr(torch, name)] = _Table(getattr(torch, name))
            table.restore({part: state[f"{name}.{part}"] for part in ("numbers", "generator")})


class _Table:
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._own = torch.Generator()
        self._seed = 0
        self._values: Tensor | None = None
        self._left = 0
        self._places: list[int] = []

    def read(self, count: int, generator: torch.Generator | None) -> Tensor:
        if count <= _WINDOW:
            return self._window(count, generator)
        sizes = [_WINDOW] * (count // _WINDOW) + [count % _WINDOW]
        return torch.cat([self._window(size, generator) for size in sizes])

    def state(self) -> dict[str, Tensor]:
        numbers = torch.tensor([self._seed, self._left, *self._places])
        return {"numbers": numbers, "generator": self._own.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._seed, self._left, *self._places = state["numbers"].tolist()
        self._values = self._drawn()
        self._own.set_state(state["generator"])

    def _window(self, size: int, generator: torch.Generator | None) -> Tensor:
        if self._left < size or self._values is None:
            self._seed = int(torch.randint(2**62, (), generator=generator))
            self._values, self._left, self._places = self._drawn(), _USES * _HALF, []
        if not self._places:
            self._places = torch.randint(2 * _HALF, (_PLACES,), generator=self._own).tolist()
        self._left -= size
        return self._values.narrow(0, self._places.pop(), size)

    def _drawn(self) -> Tensor:
        half = torch.empty(_HALF, dtype=self._dtype).normal_(generator=self._own.manual_seed(self._seed))
        half /= half.square().mean().sqrt()
        # the first window once more at the end, so that one may begin anywhere
        return torch.cat([half, -half, half[:_WINDOW]])
