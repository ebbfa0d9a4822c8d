"""Rows of weights one after another, with whatever they cannot change computed once.

`torch.func.vmap` does this already: an operation that meets no stacked tensor runs once. But vmap cannot run every
operation, and it holds the activations of all rows at once. So here the user's module runs once, on the first row, and
a tape records each operation that meets one of the row's tensors, or a result of one; the other rows replay the tape.
A frozen backbone is not on the tape, and only one row's activations are held at a time.

The row's tensors, and all that is made from them, go through the module as `Drawn`: wrappers that know shape and dtype
but that no operation can read, except through the tape. So an operation that the tape does not see (of a compiled
extension, say) fails, where it might else take the first row's value for that of all. Whatever else could make a replay
differ from running the module again is refused by `CannotReplay`, and the caller then does run it again:

- Python that looks at a value, and might go another way for another row;
- an operation under another state of autograd or autocast than that in which the tape is replayed;
- a tensor off the tape that a row writes to, or that is written to after a row has read it;
- a shape that depends on the row;
- random numbers written into a tensor off the tape (random numbers in a new tensor are on the tape: each row its own).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from yuragi.estimators import WroteShared, is_metadata

Row = Mapping[str, Sequence[Tensor]]
_NOT_THE_SAME_FOR_EVERY_ROW = frozenset({"data_ptr", "untyped_storage", "register_hook"})


class CannotReplay(Exception):
    """The module must run again for every row."""


class Drawn(Tensor):
    """A tensor of the first row, which stands for that of any row; `slot` is its number on the tape."""

    value: Tensor
    slot: int

    @staticmethod
    def __new__(cls, value: Tensor, slot: int) -> Drawn:
        """A wrapper with the metadata of `value`."""
        drawn: Drawn = Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=value.dtype, device=value.device
        )
        drawn.value, drawn.slot = value, slot
        return drawn

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Refuse: the operation did not come through the tape."""
        raise CannotReplay(f"{func} ran where the tape could not see it")


class _Slot(NamedTuple):
    """The place of a tensor that each row has its own of."""

    number: int


class _Made(NamedTuple):
    """What an operation returned: its tensors by slot, and the shape and dtype that they had."""

    slots: list[int | None]
    like: list[tuple[torch.Size, torch.dtype] | None]


class _Step(NamedTuple):
    """One operation, with slots in place of the row's tensors."""

    func: Callable[..., Any]
    args: Any
    kwargs: Any
    made: _Made


class Tape(TorchFunctionMode):
    """Records what happens to the first row's tensors, and makes it happen to another row's.

    Args:
        guarded: tensors off the tape that are put back as they were if a row writes to them, by `WroteShared`.
        device: where random numbers are drawn, besides the processor.
    """

    def __init__(self, guarded: Sequence[Tensor], device: torch.device) -> None:
        super().__init__()
        self._guarded = {id(tensor) for tensor in guarded}
        self._device = device
        self._steps: list[_Step] = []
        self._read: dict[
            tuple[int, int], Tensor
        ] = {}  # (identity, version) -> a tensor off the tape that a row has read
        self._count = 0
        self._refusal = ""
        self._ambient = _ambient(device)

    def input(self, value: Tensor) -> Drawn:
        """A tensor that each row has its own of."""
        self._count += 1
        return Drawn(value, self._count - 1)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func`, and record it if it meets a `Drawn` or draws random numbers."""
        kwargs = kwargs or {}
        tensors: list[Tensor] = []
        _collect((args, kwargs), tensors)
        drawn = [tensor for tensor in tensors if isinstance(tensor, Drawn)]
        metadata = is_metadata(func)
        if metadata and not (drawn and func.__name__ in _NOT_THE_SAME_FOR_EVERY_ROW):
            return func(*_map(args, _value), **_map(kwargs, _value))
        clean = [tensor for tensor in tensors if not isinstance(tensor, Drawn)]
        versions = [_version(tensor) for tensor in clean]
        if drawn:
            return self._record(func, args, kwargs, drawn, clean, versions)
        before = self._random_states()
        result = func(*args, **kwargs)
        explicit = any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values()))
        if not explicit and all(map(torch.equal, before, self._random_states())):
            return result
        if [_version(tensor) for tensor in clean] != versions:
            self.refuse(f"{func.__name__} writes random numbers into a tensor that all rows share")
        return self._add(func, args, kwargs, result, [], clean)

    def refuse(self, reason: str) -> None:
        """Give up, even if the user's module swallows the exception."""
        self._refusal = self._refusal or reason
        raise CannotReplay(reason)

    def _record(
        self,
        func: Callable[..., Any],
        args: Any,
        kwargs: Any,
        drawn: list[Drawn],
        clean: list[Tensor],
        versions: list[int],
    ) -> Any:
        if _ambient(self._device) != self._ambient:
            self.refuse(f"{func.__name__} runs in another state of autograd or autocast")
        before = {id(tensor): tensor.clone() for tensor in clean if id(tensor) in self._guarded}
        result = func(*_map(args, _value), **_map(kwargs, _value))
        # batch normalisation writes running statistics without counting it as a new version: buffers are compared too
        written = [
            tensor
            for tensor, version in zip(clean, versions, strict=True)
            if _version(tensor) != version or (id(tensor) in before and not tensor.equal(before[id(tensor)]))
        ]
        if written:
            if not all(id(tensor) in before for tensor in written):
                self.refuse(f"{func.__name__} writes to a tensor that all rows share")
            with torch.no_grad():
                for tensor in written:
                    tensor.copy_(before[id(tensor)])
            raise WroteShared
        for one in drawn:
            if one.value.shape != one.shape or one.value.dtype != one.dtype:
                self.refuse(f"{func.__name__} changes a tensor's shape in place")
        return self._add(func, args, kwargs, result, drawn, clean)

    def _add(
        self, func: Callable[..., Any], args: Any, kwargs: Any, result: Any, drawn: list[Drawn], clean: list[Tensor]
    ) -> Any:
        known = {id(one.value): one for one in drawn}
        same = {id(tensor) for tensor in clean}
        leaves, tree = pytree.tree_flatten(result)
        made = _Made([], [])
        for position, leaf in enumerate(leaves):
            slot = None
            if isinstance(leaf, Tensor):
                if id(leaf) in known:  # written in place, or returned as it is
                    leaves[position] = known[id(leaf)]
                elif id(leaf) not in same:
                    leaves[position] = known[id(leaf)] = self.input(leaf)
                if id(leaf) in known:
                    slot = known[id(leaf)].slot
            elif leaf is not None:
                self.refuse(f"{func.__name__} returns a {type(leaf).__name__}, which may differ from row to row")
            made.slots.append(slot)
            made.like.append(None if slot is None else (leaf.shape, leaf.dtype))
        for tensor in clean:
            self._read[id(tensor), _version(tensor)] = tensor
        self._steps.append(_Step(func, _map(args, _as_slot), _map(kwargs, _as_slot), made))
        return pytree.tree_unflatten(leaves, tree)

    def finish(self, leaves: Sequence[Any]) -> Callable[[Sequence[Tensor]], list[Any]]:
        """End the recording; `leaves` are the module's results.

        Returns:
            A function from another row's inputs, in the order of `input`, to its results.
        """
        if self._refusal:
            raise CannotReplay(self._refusal)
        if any(_version(tensor) != version for (_, version), tensor in self._read.items()):
            raise CannotReplay("a tensor that all rows share is written to after a row has read it")
        wanted = _map(list(leaves), _as_slot)
        last: dict[int, int] = {}
        for number, step in enumerate(self._steps):
            for slot in (*_slots((step.args, step.kwargs)), *step.made.slots):
                if slot is not None:
                    last[slot] = number
        kept = set(_slots(wanted))
        freed: list[list[int]] = [[] for _ in self._steps]
        for slot, number in last.items():
            if slot not in kept:
                freed[number].append(slot)

        def replay(inputs: Sequence[Tensor]) -> list[Any]:
            values = dict(enumerate(inputs))
            for step, done in zip(self._steps, freed, strict=True):
                result = step.func(*_filled(step.args, values), **_filled(step.kwargs, values))
                for leaf, slot, like in zip(pytree.tree_leaves(result), *step.made, strict=True):
                    if slot is not None:
                        if (leaf.shape, leaf.dtype) != like:
                            raise CannotReplay(f"{step.func.__name__} returns another shape for another row")
                        values[slot] = leaf
                for slot in done:
                    del values[slot]
            return _filled(wanted, values)  # type: ignore[no-any-return]

        return replay

    def _random_states(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self._device.type != "cpu":
            states.append(torch.get_device_module(self._device).get_rng_state(self._device))
        return states


def run(
    run_row: Callable[[Row], Any],
    rows: Iterable[Row],
    guarded: Sequence[Tensor] = (),
) -> list[Any]:
    """Call `run_row` for the first row, and replay what it did for the others.

    Args:
        run_row: takes a row, named lists of tensors, and returns any nest of tensors.
        rows: one after another; each is let go of before the next is asked for.
        guarded: tensors that `run_row` may find written to by one row, as `WroteShared`, and then left as they were.

    Returns:
        What `run_row` would return for each row.

    Raises:
        CannotReplay: `run_row` must run for each row.
    """
    if torch.is_inference_mode_enabled():
        raise CannotReplay("in inference mode tensors do not tell whether they were written to")
    rest = iter(rows)
    row = next(rest)
    tape = Tape(guarded, next(tensor.device for tensors in row.values() for tensor in tensors))
    first = {name: [tape.input(tensor) for tensor in tensors] for name, tensors in row.items()}
    with tape:
        result = run_row(first)
    leaves, tree = pytree.tree_flatten(result)
    replay = tape.finish(leaves)
    results = [_map(leaves, _value)]
    del result, leaves, first
    results += [replay([tensor for tensors in row.values() for tensor in tensors]) for row in rest]
    return [pytree.tree_unflatten(one, tree) for one in results]


def _ambient(device: torch.device) -> tuple[Any, ...]:
    # what an operation's result or gradient depends on besides its arguments
    return (
        torch.is_grad_enabled(),
        torch.is_autocast_enabled(device.type),
        torch.get_autocast_dtype(device.type),
        torch._C._autograd._top_saved_tensors_default_hooks(True),
        torch._C._functorch.maybe_current_level(),
    )


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _collect(one, found)
    elif isinstance(value, dict):
        for one in value.values():
            _collect(one, found)


def _map(value: Any, function: Callable[[Any], Any]) -> Any:
    # over the containers in which operations take tensors; a Drawn anywhere else fails, as it must
    if isinstance(value, (Tensor, _Slot)):
        return function(value)
    if isinstance(value, (list, tuple)):
        items = [_map(one, function) for one in value]
        if type(value) in (list, tuple):
            return type(value)(items)
        return type(value)._make(items) if hasattr(value, "_make") else type(value)(items)
    if isinstance(value, dict):
        return {key: _map(one, function) for key, one in value.items()}
    return value


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Drawn) else leaf


def _as_slot(leaf: Any) -> Any:
    return _Slot(leaf.slot) if isinstance(leaf, Drawn) else leaf


def _filled(template: Any, values: Mapping[int, Tensor]) -> Any:
    return _map(template, lambda leaf: values[leaf.number] if isinstance(leaf, _Slot) else leaf)


def _slots(template: Any) -> list[int]:
    found: list[int] = []
    _map(template, lambda leaf: found.append(leaf.number) if isinstance(leaf, _Slot) else None)
    return found
