"""The states of all that a fit draws random numbers from, to draw the same ones again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def random_state(generators: Sequence[torch.Generator], device: torch.device, foreign: bool) -> dict[str, Any]:
    """The states now.

    Args:
        generators: beside the global ones.
        device: whose global generator is meant, beside that of the CPU.
        foreign: whether NumPy's and Python's own are meant too, from which code that is not torch's may draw.
    """
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "generators": [generator.get_state() for generator in generators],
        "foreign": foreign_state() if foreign else None,
    }


def set_random_state(state: Mapping[str, Any], generators: Sequence[torch.Generator], device: torch.device) -> None:
    """Go on from such a state, with as many generators."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    for generator, its in zip(generators, state["generators"], strict=True):
        generator.set_state(its)
    if state["foreign"] is not None:
        set_foreign_state(state["foreign"])


def foreign_state() -> dict[str, Any]:
    """The states of NumPy's and Python's own global generators."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    key = torch.tensor(numpy["state"]["key"].tolist())
    return {"numpy": numpy | {"state": numpy["state"] | {"key": key}}, "python": random.getstate()}


def set_foreign_state(state: Mapping[str, Any]) -> None:
    """Go on from such states."""
    numpy = state["numpy"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy | {"state": numpy["state"] | {"key": key}})  # noqa: NPY002
    random.setstate(state["python"])
