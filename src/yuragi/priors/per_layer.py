"""A prior of its own for each layer, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.priors.normal import FanIn
from yuragi.priors.prior import Prior
from yuragi.weights import Weight, group_by_pattern, in_order, pick


class PerLayer(Prior):
    """Different priors for different weights; the first pattern that matches a weight's name counts.

    Args:
        layers: glob pattern on parameter or module names -> prior, as for `where=` of `bayesianize`.
        default: prior of the weights that no pattern matches; `FanIn()` when None.

    Raises:
        ValueError: from `bayesianize`, a pattern that matches nothing.

    Example:
        >>> import yuragi as yu
        >>> from yuragi.priors import Laplace, PerLayer
        >>> net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        >>> prior = PerLayer({"2": Laplace(scale=0.1)})  # the last layer, and FanIn() elsewhere
        >>> bnn = yu.bayesianize(net, prior=prior)
    """

    def __init__(self, layers: Mapping[str, Prior], default: Prior | None = None) -> None:
        super().__init__()
        self.patterns = list(layers)
        self.parts = nn.ModuleList([*layers.values(), FanIn() if default is None else default])

    @property
    def independent(self) -> bool:
        """Whether the weights are independent: they are unless a part correlates its own."""
        return all(part.independent for part in self._parts)

    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Give each weight to the prior of its pattern."""
        self.groups = group_by_pattern(weights, self.patterns)
        self.names, self.numels = [weight.name for weight in weights], [weight.numel for weight in weights]
        for part, group in self._used:
            part.setup(pick(weights, group), members)

    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""
        columns = w.split_with_sizes(self.numels, 1)
        return torch.stack([part.log_prob(torch.cat(pick(columns, group), 1)) for part, group in self._used]).sum(0)

    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member: a list of tensors [K, *shape], in each weight's dtype."""
        drawn = [part.sample(pick(weights, group), members, generator) for part, group in self._used]
        return in_order(self.groups, drawn)

    def kl_from_normal(
        self, means: Sequence[Tensor], sigma: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """KL(q‖p) of independent Normals q, [K], nats: the sum of those of the parts; arguments as for any prior."""
        columns = sigma.split_with_sizes(self.numels, 1)
        return torch.stack(
            [
                part.kl_from_normal(pick(means, group), torch.cat(pick(columns, group), 1), generator)
                for part, group in self._used
            ]
        ).sum(0)

    def initial_means(self, weights: Sequence[Weight], starts: list[Tensor]) -> list[Tensor]:
        """Where the posterior means begin, given where `bayesianize` would have them begin; list of [K, *shape]."""
        chosen = [part.initial_means(pick(weights, group), pick(starts, group)) for part, group in self._used]
        return in_order(self.groups, chosen)

    def initial_sigma(self, weights: Sequence[Weight], init_scale: float) -> Tensor:
        """Where the posterior spreads begin, [P], given where the posterior would have all of them begin."""
        part_of = {i: part for part, group in self._used for i in group}
        index = {name: i for i, name in enumerate(self.names)}  # a posterior may ask for some of the weights alone
        return torch.cat([part_of[index[weight.name]].initial_sigma([weight], init_scale) for weight in weights])

    def squared_distance(self, means: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
        """Σ (w − a)² / (2 s²) over all weights, [K]; arguments as for any prior."""
        sums = [part.squared_distance(pick(means, group), pick(anchors, group)) for part, group in self._used]
        return torch.stack(sums).sum(0)

    def precisions(self) -> Tensor | None:
        """1/s² of each tensor of weights, [1 or K, T], where all parts have them."""
        found = [(part.precisions(), len(group)) for part, group in self._used]
        columns = [precision.expand(-1, tensors) for precision, tensors in found if precision is not None]
        if len(columns) < len(found):
            return None
        members = max(map(len, columns))
        joined = torch.cat([column.expand(members, -1) for column in columns], 1)
        place = [index for _, group in self._used for index in group]
        return joined[:, torch.tensor(place, device=joined.device).argsort()]

    def check_anchors(self) -> None:
        """Refuse unless every part is Normal, with a scale that stays."""
        for part, _ in self._used:
            part.check_anchors()

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal prior with."""
        *layers, default = self._parts
        return {"layers": dict(zip(self.patterns, layers, strict=True)), "default": default}

    @property
    def _parts(self) -> list[Prior]:
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def _used(self) -> list[tuple[Prior, list[int]]]:
        return [(part, group) for part, group in zip(self._parts, self.groups, strict=True) if group]
