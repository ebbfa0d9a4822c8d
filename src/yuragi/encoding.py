"""Values nested in dicts, lists and tuples, as JSON with their tensors beside it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

_TENSOR, _TUPLE, _PAIRS = "tensor", "tuple", "pairs"  # what an object of the JSON may stand for


def encoded(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """A value as JSON, and the tensors in it by the names that the JSON has for them.

    Args:
        value: tensors, numbers, text, None, and dicts, lists and tuples of them; the keys of dicts are text or whole numbers.

    Raises:
        TypeError: it holds something else.

    Example:
        >>> encoded({"betas": (0.9, 0.999), 3: None})[0]
        {'pairs': [['betas', {'tuple': [0.9, 0.999]}], [3, None]]}
    """
    tensors: dict[str, Tensor] = {}
    return _encode(value, "", tensors), tensors


def decoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that was encoded so; its tensors are the ones given.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: nothing was.
    """
    if not isinstance(value, dict):
        return [decoded(one, tensors) for one in value] if isinstance(value, list) else value
    ((kind, content),) = value.items()
    if kind == _TENSOR:
        return tensors[content]
    if kind == _TUPLE:
        return tuple(decoded(one, tensors) for one in content)
    if kind == _PAIRS:
        return {key: decoded(one, tensors) for key, one in content}
    raise ValueError(f"{kind!r} stands for nothing")


def _encode(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{place}"  # numbered: places need not differ where keys have a slash
        tensors[name] = value
        return {_TENSOR: name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"{place or 'it'} has the key {key!r}, and only text and whole numbers can be written")
        return {_PAIRS: [[key, _encode(one, f"{place}/{key}", tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        listed = [_encode(one, f"{place}/{i}", tensors) for i, one in enumerate(value)]
        return {_TUPLE: listed} if isinstance(value, tuple) else listed
    raise TypeError(f"{place or 'it'} is a {type(value).__name__}, which cannot be written")
