"""Running the user's module with drawn weights: one member as it is, several at once by vmap or in a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from yuragi import replay
from yuragi.estimators import NeedsLoop, Substitution, WroteShared

_thread = threading.local()  # modes are thread-local, and so is the knowledge of which one is running


@contextmanager
def entered(mode: Substitution, stacked: bool = False) -> Iterator[None]:
    """Run the block under `mode`, so that `checkpoint_contexts` can find it."""
    running: list[tuple[Substitution, bool]] = _thread.__dict__.setdefault("running", [])
    running.append((mode, stacked))
    try:
        with mode:
            yield
    finally:
        running.pop()


def checkpoint_contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """The `context_fn` of `torch.utils.checkpoint.checkpoint` for regions inside a Bayesian forward pass.

    Inside the region every weight uses the one draw of the pass, and the recomputation in backward uses it again.

    Returns:
        The context of the first run and that of the recomputation; both empty outside a Bayesian pass.

    Example:
        >>> from torch import nn
        >>> from torch.utils.checkpoint import checkpoint
        >>> import yuragi as yu
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body, self.head = nn.Linear(3, 8), nn.Linear(8, 1)
        ...
        ...     def forward(self, x):
        ...         h = checkpoint(self.body, x, use_reentrant=False, context_fn=yu.checkpoint_contexts)
        ...         return self.head(h.relu())
        >>> bnn = yu.bayesianize(Net(), likelihood=yu.Gaussian(0.1))
        >>> bnn(torch.randn(5, 3)).sum().backward()
    """
    running = _thread.__dict__.get("running")
    if not running:
        return nullcontext(), nullcontext()
    mode, stacked = running[-1]
    if stacked:
        raise NeedsLoop
    # drawn here, before the region notes the state of the random generator, and outside the mode: the means are its keys
    with torch._C.DisableTorchFunction():
        for index in set(mode.index.values()):
            mode.draw.value(index)
    return mode.recomputable(), _again(mode)


@contextmanager
def _again(mode: Substitution) -> Iterator[None]:
    with mode.recomputable(), mode:
        yield


class Strategy(StrEnum):
    """How one pass is made for several rows of weights; a later one can do whatever an earlier one cannot."""

    VMAP = "vmap"  # all rows at once
    REPLAY = "replay"  # one after another, but what the rows' weights do not reach only once
    LOOP = "loop"  # one after another


def run_stacked(
    run: Callable[[Mapping[str, Sequence[Tensor]]], Any],
    stacks: Mapping[str, Sequence[Tensor]],
    strategy: Strategy,
    shared: Sequence[Tensor] = (),
) -> Any:
    """Call `run` for each row of the stacked tensors and stack what it returns.

    Args:
        run: takes one row of `stacks` and returns any nest of tensors.
        stacks: named lists of tensors [R, ...].
        strategy: how.
        shared: buffers that `run` may find all rows share, and then gives each row its own of.

    Returns:
        As `run` returns, each tensor with a leading axis R.

    Raises:
        NeedsLoop: the module does something for which the next strategy is needed.
    """
    if strategy is Strategy.VMAP:
        try:
            # an operation without a batching rule runs in a loop inside vmap: slower, but no news to the user
            torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]
            return torch.func.vmap(run, randomness="different")(stacks)
        except (RuntimeError, ValueError) as error:
            if any(words in str(error) for words in ("vmap", "atching rule", "function transform", "functorch")):
                raise NeedsLoop(str(error)) from error
            raise
    if strategy is Strategy.REPLAY:
        return run_chunks(run, [stacks], strategy, shared)
    return pytree.tree_map(_stack, *[run(row) for row in _rows(stacks)])


def run_chunks(
    run: Callable[[replay.Row], Any],
    chunks: Iterable[Mapping[str, Sequence[Tensor]]],
    strategy: Strategy,
    shared: Sequence[Tensor] = (),
) -> Any:
    """As `run_stacked`, for more rows than are to be in memory at once: `chunks` yields the stacks of some at a time."""
    if strategy is not Strategy.REPLAY:
        parts = [run_stacked(run, stacks, strategy, shared) for stacks in chunks]
        return parts[0] if len(parts) == 1 else pytree.tree_map(lambda *leaves: torch.cat(leaves), *parts)
    try:
        rows = (row for stacks in chunks for row in _rows(stacks))
        return pytree.tree_map(_stack, *replay.run(run, rows, shared))
    except (replay.CannotReplay, WroteShared) as error:
        raise NeedsLoop(str(error)) from error


def _rows(stacks: Mapping[str, Sequence[Tensor]]) -> Iterator[replay.Row]:
    unbound = {name: [tensor.unbind(0) for tensor in tensors] for name, tensors in stacks.items()}
    rows = next(len(tensor) for tensors in stacks.values() for tensor in tensors)
    for row in range(rows):
        yield {name: [one[row] for one in tensors] for name, tensors in unbound.items()}


def _stack(*leaves: Any) -> Any:
    if isinstance(leaves[0], Tensor):
        return torch.stack(leaves)
    if leaves[0] is None or isinstance(leaves[0], (bool, int, float, str)):
        return leaves[0]
    raise TypeError(
        f"the network returned {type(leaves[0]).__name__}, whose tensors cannot be stacked over members or draws: return a "
        "tensor, tuple or dict, or name the prediction with bayesianize(..., output=)"
    )
