"""What a fit is of and how it is told to run, as JSON: two fits that agree in it are the same fit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, TensorDataset

from yuragi.bayesian import Bayesian
from yuragi.data import Batches, to_tensors

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_AT = [i / 10 for i in range(11)]  # fractions of a fit at which schedules are compared


def of_fit(
    bnn: Bayesian, data: Any, validation: Any, sample_weight: Any, choosing: bool, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The fingerprint of a fit.

    Args:
        bnn: the network, not trained by this fit yet; where its weights begin does not count.
        data: as for `yuragi.fit`. In memory, and of a TensorDataset, all numbers count; of another Dataset, that of its rows.
        validation: (x, y) or None.
        sample_weight: [N] or None.
        choosing: whether something was left open.
        settings: the other arguments, by name.

    Returns:
        Part -> what it is; JSON.
    """
    like = bnn.reference_tensor
    return {
        "the network": _described(bnn.module),
        "its device": like.device.type,
        "prior": _described(bnn.prior),
        "posterior": _described(bnn.posterior),
        "likelihood": _described(bnn.likelihood),
        "the alternatives": _described(bnn.recipe) if choosing else None,
        "estimator": bnn.estimator,
        "members": bnn.members,
        "the data": _of_data(data, like),
        "validation": None if validation is None else _of_data(validation, like),
        "sample_weight": None if sample_weight is None else _of_data((sample_weight,), like),
        **{name: _of_setting(value) for name, value in settings.items()},
        "its weights": {
            name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
            for name, value in bnn.named_parameters()
        },
    }


def of_schedule(schedule: Callable[[float], float]) -> list[float]:
    """What a schedule makes of the learning rate, here and there."""
    return [float(schedule(done)) for done in _AT]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In which parts two fingerprints differ, each as a phrase."""
    found = []
    for name in [*now, *(name for name in then if name not in now)]:
        one, other = then.get(name), now.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences({f"{name}: {key}": value for key, value in one.items()}, _prefixed(name, other))
        else:
            found.append(f"{name} was {_short(one)} and is {_short(other)}")
    return found


def _prefixed(name: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}: {key}": value for key, value in parts.items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _described(part: Any) -> str:
    return _ADDRESS.sub("", repr(part))


def _of_setting(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_of_setting(one) for one in value]
    if callable(value):
        return _described(getattr(value, "__qualname__", value))
    return value


def _of_data(data: Any, like: Tensor) -> dict[str, Any]:
    if isinstance(data, DataLoader):
        sampler = getattr(data.batch_sampler, "sampler", data.sampler)
        options = {"batch_size": data.batch_size, "drop_last": data.drop_last, "sampler": type(sampler).__name__}
        return {**_of_data(data.dataset, like), **options}
    if isinstance(data, Batches):
        sample = getattr(data, "sample", None)
        return {
            "kind": type(data).__name__,
            "rows": data.num_data,
            **({} if sample is None else _of_data(sample, like)),
        }
    if isinstance(data, TensorDataset):
        return {"kind": "TensorDataset", **_of_data(tuple(data.tensors), like)}
    if not isinstance(data, (tuple, list)):
        return {"kind": type(data).__name__, "rows": len(data) if hasattr(data, "__len__") else None}
    digest = hashlib.sha256()
    parts = [to_tensors(part, torch.device("cpu"), like.dtype) for part in data]
    for leaf in pytree.tree_leaves(parts):
        if isinstance(leaf, Tensor):
            digest.update(f"{leaf.dtype} {list(leaf.shape)}".encode())
            digest.update(leaf.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(leaf).encode())
    return {"sha256": digest.hexdigest()}
