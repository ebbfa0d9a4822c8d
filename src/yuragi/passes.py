"""Running the user's module with drawn weights: one member as it is, several at once by vmap or in a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from yuragi.estimators import NeedsLoop, Substitution

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


@contextmanager
def keeping_buffers(module: nn.Module, rows: Sequence[Tensor] | None) -> Iterator[None]:
    """Give the module its own buffers back after the block, which may have put other tensors in their place.

    Args:
        module: the network, which runs once in the block.
        rows: one tensor for each of its buffers, which takes the value that the block leaves; None: it is dropped.
    """
    held = [(part, dict(part._buffers)) for part in module.modules() if part._buffers]
    row_of = {} if rows is None else {id(own): row for own, row in zip(module.buffers(), rows, strict=True)}
    try:
        yield
        for part, buffers in held:
            for name, own in buffers.items():
                left, row = part._buffers.get(name), row_of.get(id(own))
                if left is None or left is own or row is None or left is row:
                    continue
                if left.shape == row.shape:  # else a cache of this batch, which the next pass makes anew
                    with torch.no_grad():
                        row.copy_(left)
    finally:
        for part, buffers in held:
            part._buffers.update(buffers)


def run_stacked(
    run: Callable[[Mapping[str, Sequence[Tensor]]], Any], stacks: Mapping[str, Sequence[Tensor]], vectorised: bool
) -> Any:
    """Call `run` for each row of the stacked tensors and stack what it returns.

    Args:
        run: takes one row of `stacks` and returns any nest of tensors.
        stacks: named lists of tensors [R, ...].
        vectorised: all rows at once by `torch.func.vmap`, else one after another.

    Returns:
        As `run` returns, each tensor with a leading axis R.

    Raises:
        NeedsLoop: `vectorised`, and vmap has no rule for something that the module does.
    """
    if vectorised:
        try:
            # an operation without a batching rule runs in a loop inside vmap: slower, but no news to the user
            torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]
            return torch.func.vmap(run, randomness="different")(stacks)
        except (RuntimeError, ValueError) as error:
            if any(words in str(error) for words in ("vmap", "atching rule", "function transform", "functorch")):
                raise NeedsLoop(str(error)) from error
            raise
    unbound = {name: [tensor.unbind(0) for tensor in tensors] for name, tensors in stacks.items()}
    rows = next(len(tensor) for tensors in stacks.values() for tensor in tensors)
    results = [run({name: [one[row] for one in tensors] for name, tensors in unbound.items()}) for row in range(rows)]
    return pytree.tree_map(_stack, *results)


def _stack(*leaves: Any) -> Any:
    if isinstance(leaves[0], Tensor):
        return torch.stack(leaves)
    if leaves[0] is None or isinstance(leaves[0], (bool, int, float, str)):
        return leaves[0]
    raise TypeError(
        f"the network returned {type(leaves[0]).__name__}, whose tensors cannot be stacked over members or draws: return a "
        "tensor, tuple or dict, or name the prediction with bayesianize(..., output=)"
    )
