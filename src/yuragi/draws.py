"""Draws of what a Bayesian network returns: as many as are asked for, and the same however many that is at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.data import check_finite, count_rows, take_rows, to_tensors
from yuragi.stochastic import Drawn

DRAWS = 100
"""Draws of a prediction where the user has not said."""
MOST = 10_000
"""Draws at most where their number is to be found."""
_BATCH_SIZE = 1024
_DRAWN = 2**24  # weights drawn and held at once, over all draws


class Draws:
    """Draws of a network's output at given inputs, in evaluation mode; each uses the same weights for every row.

    Args:
        bnn: the Bayesian network.
        x: its input, as for `yuragi.predict`.
        seed: seed of the draws; None takes one from the global random state.
        batch_size: rows run at once; None: 1,024.

    Raises:
        ValueError: no rows, an input that is NaN or infinite, or a batch size below 1.
        TypeError: the input holds no tensor.
    """

    def __init__(self, bnn: Bayesian, x: Any, seed: int | None, batch_size: int | None = None) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        like = bnn.reference_tensor
        self.bnn, self.x = bnn, to_tensors(x, like.device, like.dtype)
        self.rows = count_rows(self.x)
        check_finite("x", self.x)
        self.batch_size = batch_size or _BATCH_SIZE
        # with no seed, one from the global random state: the generator may have to yield the same draws several times
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        self._generator = torch.Generator(like.device).manual_seed(seed)
        self._taken = 0
        self._q = bnn.q()

    @property
    def most(self) -> int | None:
        """How many different draws there are, where the members are points; else None."""
        return self.bnn.members if self._q.is_points else None

    @torch.no_grad()
    def take(self, samples: int) -> tuple[Tensor, Tensor]:
        """The next draws: [S, N, ...], and the member that each is from, int64 [S]; members take turns."""
        numbers = torch.arange(self._taken, self._taken + samples)
        member = numbers % self.bnn.members
        state = self._generator.get_state()
        chunks = member.split(max(1, _DRAWN // sum(mean[0].numel() for mean in self._q.mean)))

        def draw() -> Iterator[Drawn]:
            self._generator.set_state(state)
            for chunk in chunks:
                yield Drawn(self._q.sample(chunk.tolist(), self._generator), chunk.tolist())

        held = list(draw()) if len(chunks) == 1 else None
        parts = []
        for index in torch.arange(self.rows, device=self.bnn.reference_tensor.device).split(self.batch_size):
            args, kwargs = as_arguments(self.x if len(index) == self.rows else take_rows(self.x, index))
            part = self.bnn.run_draws(draw if held is None else held.__iter__, args, kwargs)
            if part.dim() < 2 or part.shape[1] != len(index):
                raise ValueError(
                    f"the network returned {tuple(part.shape[1:])} for {len(index)} rows: the first axis must be the rows"
                )
            parts.append(part)
        self._taken += samples
        return torch.cat(parts, 1), member.to(self.bnn.reference_tensor.device)


@dataclass(frozen=True)
class Plan:
    """How many draws to take.

    Attributes:
        samples: so many; None: until the standard error that comes from their number is at most `tol`.
        tol: relative to the standard deviation of y, or of a class's probability.
        members: K: where `samples` is None, their number is a multiple of it.
        most: how many different draws there are, where the members are points.
    """

    samples: int | None
    tol: float
    members: int
    most: int | None

    @property
    def first(self) -> int:
        """How many to begin with."""
        if self.samples is not None:
            return min(self.samples, self.members)
        return -(-DRAWS // self.members) * self.members

    def wanted(self, taken: int, error: Callable[[], float]) -> int:
        """How many there should be in all, when so many have been taken and have that error."""
        if self.most is not None:  # each once is the whole posterior, and has no such error
            return self.most if self.samples is None else min(self.samples, self.most)
        if self.samples is not None:
            return self.samples
        if taken == 0:
            return self.first
        now = error()
        if now <= self.tol or taken >= MOST:
            return taken
        # the error falls as the root of the number; a tenth more, since it is known to some digits alone
        further = taken * min(4.0, max(1.1, 1.1 * (now / self.tol) ** 2))
        return min(MOST // self.members, math.ceil(further / self.members)) * self.members


def outputs(
    bnn: Bayesian, x: Any, samples: int, seed: int | None, batch_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """What the network returns in evaluation mode under draws of its weights; arguments as for `predict`.

    Returns:
        [S, N, ...], and the member that each draw is from, int64 [S].
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    with torch.no_grad(), evaluating(bnn):
        draws = Draws(bnn, x, seed, batch_size)
        return draws.take(samples if draws.most is None else min(samples, draws.most))


_evaluation_lock = threading.Lock()
_evaluations: WeakKeyDictionary[nn.Module, _Evaluation] = WeakKeyDictionary()


@dataclass
class _Evaluation:
    modes: list[tuple[nn.Module, bool]]
    users: int = 0


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In this context all of a module is in evaluation mode; the first thread in notes the modes, the last restores them."""
    with _evaluation_lock:
        if module not in _evaluations:
            _evaluations[module] = _Evaluation([(part, part.training) for part in module.modules()])
            module.eval()
        _evaluations[module].users += 1
    try:
        yield
    finally:
        with _evaluation_lock:
            evaluation = _evaluations[module]
            evaluation.users -= 1
            if evaluation.users == 0:
                for part, training in evaluation.modes:
                    part.training = training
                del _evaluations[module]
