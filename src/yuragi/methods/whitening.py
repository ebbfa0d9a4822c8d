"""The scale of each weight under its prior: in its units, where data say nothing, all directions are alike to a chain."""

from __future__ import annotations

import torch
from torch import Tensor

from yuragi.bayesian import Bayesian

_DRAWS = 256


def prior_scale(bnn: Bayesian, generator: torch.Generator) -> Tensor:
    """Standard deviation of each weight under the prior, the root mean square of it within a tensor, [P].

    Estimated from draws, so that no prior needs to know of it.

    Args:
        bnn: the network.
        generator: of the draws.
    """
    drawn = bnn.prior.sample(bnn.weights, _DRAWS, generator)
    return torch.cat([tensor.std(0).square().mean().sqrt().expand(tensor[0].numel()) for tensor in drawn])
