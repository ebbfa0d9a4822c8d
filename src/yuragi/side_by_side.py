"""Priors or likelihoods that differ in numbers alone as a single one, so that networks with them can train together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from yuragi.likelihoods import Likelihood
from yuragi.priors import Prior

Alternative = TypeVar("Alternative", Prior, Likelihood)


def beside(parts: Sequence[Alternative], each: int) -> Alternative | None:
    """One prior or likelihood whose member k has the settings of `parts[k // each]`; None where there can be none.

    Example:
        >>> from yuragi.priors import FanIn
        >>> beside([FanIn(0.5), FanIn(2.0)], each=2)
        FanIn(gain=tensor([0.5000, 0.5000, 2.0000, 2.0000]))
    """
    if any(type(part) is not type(parts[0]) for part in parts):
        return None
    given = [part.arguments() for part in parts]
    if any(arguments.keys() != given[0].keys() for arguments in given):
        return None
    joined: dict[str, Any] = {}
    for name in given[0]:
        values = [arguments[name] for arguments in given]
        own = name in parts[0].per_member
        value = _value(values, each, own)
        if value is _CANNOT:
            return None
        joined[name] = value
    if any(value == "learned" for value in joined.values() if isinstance(value, str)):
        joined["members"] = each * len(parts)
    return type(parts[0])(**joined)


_CANNOT = object()


def _value(values: list[Any], each: int, own: bool) -> Any:
    first = values[0]
    if isinstance(first, Prior):
        return _CANNOT if (joined := beside(values, each)) is None else joined
    if isinstance(first, dict):
        if any(list(value) != list(first) for value in values):
            return _CANNOT
        entries = {key: _value([value[key] for value in values], each, own=False) for key in first}
        return _CANNOT if any(entry is _CANNOT for entry in entries.values()) else entries
    if any(isinstance(value, Tensor) for value in values):
        return _CANNOT
    numbers = all(isinstance(value, float) for value in values)
    if own and numbers and (len(values) > 1):
        return torch.tensor(values).repeat_interleave(each)
    return first if all(value == first for value in values) else _CANNOT
