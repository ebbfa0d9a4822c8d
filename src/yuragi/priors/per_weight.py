"""A Normal prior with a mean and a standard deviation of its own for each weight: what an earlier posterior becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from yuragi.flat import joined
from yuragi.priors.normal import Normal
from yuragi.priors.prior import positive_scales, spread_dtype
from yuragi.weights import Weight


class PerWeight(Normal):
    """Independent Normals, w_i ~ N(m_i, s_i²): each weight has its own. They are N(0, 1) until `become` sets them.

    The numbers are the prior's state, as a posterior's are, and not arguments. See `yuragi.continual`.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(torch.nn.Linear(2, 1), prior=yu.priors.PerWeight(), estimator="local")
        >>> bnn.prior.become(torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.1, 0.1, 2.0]))
        >>> bnn.prior.scale
        tensor([[0.1000, 0.1000, 2.0000]])
    """

    per_member: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()

    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Begin with N(0, 1) for all weights."""
        like = weights[0].parameter.new_zeros(1, sum(weight.numel for weight in weights), dtype=spread_dtype(weights))
        self.register_buffer("loc", like)
        self.register_buffer("scale", torch.ones_like(like))
        self.register_buffer("numels", torch.tensor([w.numel for w in weights], device=like.device), persistent=False)

    def become(self, mean: Tensor, std: Tensor) -> None:
        """Set the numbers of all weights, each [P], the weights one after another.

        Raises:
            ValueError: a shape is not [P], or a standard deviation is not positive and finite.
        """
        for name, values in (("mean", mean), ("std", std)):
            if values.shape != self.loc.shape[1:]:
                raise ValueError(f"{name} has shape {tuple(values.shape)} for {self.loc.shape[1]} weights")
        positive_scales("std", std)
        # new tensors: graphs of earlier passes may still hold the old ones
        self.loc, self.scale = (values.detach().to(self.loc).reshape(1, -1).clone() for values in (mean, std))

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]; arguments as for any prior."""
        rows, dtype = len(anchors[0]), self.scale.dtype
        moved = joined(means, rows, dtype) - joined(anchors, rows, dtype)
        return 0.5 * (moved / self.scale).square().sum(1)

    def precisions(self) -> None:
        """None: they differ within a tensor."""

    def arguments(self) -> dict[str, Any]:
        """Nothing: the numbers are state."""
        return {}
