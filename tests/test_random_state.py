"""The states of random generators: set, they draw the same numbers again."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from yuragi.encoding import decoded, encoded
from yuragi.random_state import random_state, set_random_state

CPU = torch.device("cpu")


@pytest.mark.parametrize("foreign", [True, False])
def test_the_same_numbers_are_drawn_again(foreign: bool) -> None:
    generators = [torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)]

    def draws() -> list[float]:
        own = [float(torch.randn((), generator=generator)) for generator in generators]
        return [*own, float(torch.rand(())), float(np.random.normal()), random.gauss(0, 1)]  # noqa: NPY002

    draws()  # NumPy and Python have the second of a pair of normals left now
    text, tensors = encoded(random_state(generators, CPU, foreign))
    expected = draws()
    draws()
    set_random_state(decoded(json.loads(json.dumps(text)), tensors), generators, CPU)
    found = draws()
    assert found[:3] == expected[:3]
    assert (found[3:] == expected[3:]) == foreign


def test_as_many_generators_as_there_were() -> None:
    state = random_state([torch.Generator()], CPU, foreign=False)
    with pytest.raises(ValueError, match="longer"):
        set_random_state(state, [], CPU)
