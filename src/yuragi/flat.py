"""All weights of a network one after another in one tensor [K, P], and that tensor cut into one piece a weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def split_like(flat: Tensor, means: Sequence[Tensor]) -> list[Tensor]:
    """Cut [R, P] into one tensor [R, *shape] a weight, in the weight's dtype; `means` are [K, *shape]."""
    parts = flat.split_with_sizes([mean[0].numel() for mean in means], 1)
    return [part.reshape(len(flat), *mean.shape[1:]).to(mean.dtype) for part, mean in zip(parts, means, strict=True)]


def pieces(flat: Tensor, means: Sequence[Tensor]) -> list[Tensor]:
    """Cut [K, P] into one tensor a weight, in the shape and dtype of `means`, which are [K, *shape] or, K = 1, [*shape]."""
    rows = flat.shape[0]
    parts = flat.split_with_sizes([mean.numel() // rows for mean in means], 1)
    cut = [part.reshape(mean.shape) for part, mean in zip(parts, means, strict=True)]
    if all(mean.dtype == flat.dtype for mean in means):
        return cut
    return [part.to(mean.dtype) for part, mean in zip(cut, means, strict=True)]


def joined(tensors: Sequence[Tensor], rows: int, dtype: torch.dtype) -> Tensor:
    """The reverse of `pieces`: [K, P] in `dtype` from one tensor a weight; K is `rows`."""
    return torch.cat([tensor.reshape(rows, -1) for tensor in tensors], 1).to(dtype)


def of_one_kind(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """The tensors in groups of one device and dtype."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return list(kinds.values())


def in_transform() -> bool:
    """Whether a `torch.func` transform is active, for which the faster autograd functions have no rules."""
    return torch._C._are_functorch_transforms_active()


def around(mean: Sequence[Tensor], member: Sequence[int], noise: Tensor) -> list[Tensor]:
    """Draws from their noise [S, P]: the mean of member `member[s]` plus row s, list of [S, *shape]."""
    index = torch.as_tensor(member, device=noise.device)
    return [centre[index] + delta for centre, delta in zip(mean, split_like(noise, mean), strict=True)]
