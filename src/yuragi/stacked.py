"""Linear layers of several rows of weights under `torch.func.vmap`, as one batched product each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, faster where vmap has a weight for each row.

    vmap takes the layer apart, into views, a product and a sum, which for a small network costs more than the product.

    Args:
        x: [*, inputs].
        weight: [outputs, inputs].
        bias: [outputs] or None.

    Returns:
        [*, outputs].

    Example:
        >>> x, weights, biases = torch.randn(5, 3), torch.randn(8, 2, 3), torch.randn(8, 2)
        >>> torch.func.vmap(linear, in_dims=(None, 0, 0))(x, weights, biases).shape
        torch.Size([8, 5, 2])
    """
    level = None if torch.compiler.is_compiling() else _functorch.maybe_current_level()
    if level is None or x.dim() < 2 or not _stacked(weight, level) or not (bias is None or _stacked(bias, level)):
        return F.linear(x, weight, bias)
    weights, rows = _rows(weight), x.shape[:-1]
    inputs = _rows(x) if _stacked(x, level) else x.expand(len(weights), *x.shape)
    inputs = inputs.reshape(len(weights), -1, inputs.shape[-1])
    if bias is None:
        product = torch.bmm(inputs, weights.transpose(1, 2))
    else:
        product = torch.baddbmm(_rows(bias).unsqueeze(1), inputs, weights.transpose(1, 2))
    result: Tensor = _functorch._add_batch_dim(product.view(len(weights), *rows, product.shape[-1]), 0, level)
    return result


def _stacked(tensor: Tensor, level: int) -> bool:
    return bool(_functorch.is_batchedtensor(tensor)) and _functorch.maybe_get_level(tensor) == level


def _rows(tensor: Tensor) -> Tensor:
    rows: Tensor = _functorch.get_unwrapped(tensor)
    return rows.movedim(_functorch.maybe_get_bdim(tensor), 0)
