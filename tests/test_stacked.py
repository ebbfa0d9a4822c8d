"""A linear layer with a weight for each row of a vmap is the layer of each row, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi import stacked

ROWS = 4


def tensor(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bias", ["own", "common", None])
@pytest.mark.parametrize("weight", ["own", "last axis", "common"])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
@pytest.mark.parametrize("x", ["own", "second axis", "common"])
def test_rows_are_layers_of_their_own(x: str, shape: tuple[int, ...], weight: str, bias: str | None) -> None:
    axes = {"own": 0, "last axis": 2, "second axis": 1, "common": None}
    inputs, weights, biases = tensor(ROWS, *shape), tensor(ROWS, 2, 3), tensor(ROWS, 2)
    given = [
        inputs[0] if x == "common" else inputs.movedim(0, axes[x] or 0).contiguous(),
        weights[0] if weight == "common" else weights.movedim(0, axes[weight] or 0).contiguous(),
        None if bias is None else biases[0] if bias == "common" else biases,
    ]
    leaves = [one.requires_grad_() for one in given if one is not None]
    in_dims = (axes[x], axes[weight], None if bias is None else axes[bias])
    if any(axis is not None for axis in in_dims):
        found = torch.func.vmap(stacked.linear, in_dims=in_dims)(*given)  # type: ignore[arg-type]
    else:
        found = stacked.linear(*given).expand(ROWS, *shape[:-1], 2)  # type: ignore[arg-type]

    def row(value: Tensor | None, axis: int | None, k: int) -> Tensor | None:
        return value if value is None or axis is None else value.select(axis, k)

    expected = torch.stack(
        [
            F.linear(*[row(value, axis, k) for value, axis in zip(given, in_dims, strict=True)])  # type: ignore[arg-type]
            for k in range(ROWS)
        ]
    )
    torch.testing.assert_close(found, expected)
    factor = tensor(*expected.shape)
    by_rows = torch.autograd.grad((factor * expected).sum(), leaves)
    torch.testing.assert_close(torch.autograd.grad((factor * found).sum(), leaves), by_rows)


def test_inside_another_vmap_it_is_the_layer_of_the_inner_one() -> None:
    x, weights = tensor(3, ROWS, 5, 3), tensor(ROWS, 2, 3)
    inner = torch.func.vmap(stacked.linear)
    found = torch.func.vmap(lambda one: inner(one, weights))(x)
    torch.testing.assert_close(found, torch.einsum("arbi,roi->arbo", x, weights))
