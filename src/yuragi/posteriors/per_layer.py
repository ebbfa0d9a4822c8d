"""A posterior of its own for each layer, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.flat import joined, pieces
from yuragi.posteriors.mean_field import MeanField
from yuragi.posteriors.posterior import CorrelatedDistribution, Distribution, Posterior
from yuragi.priors import Prior
from yuragi.weights import Weight, group_by_pattern, in_order, pick


class PerLayer(Posterior):
    """Different posteriors for different weights, independent of each other; the first pattern that matches counts.

    Args:
        layers: glob pattern on parameter or module names -> posterior, as for `where=` of `bayesianize`.
        default: posterior of the weights that no pattern matches; `MeanField()` when None.

    Raises:
        ValueError: a part is `Anchored`, which is a posterior of the network as a whole; from `bayesianize`, a pattern that
            matches nothing.

    Example:
        >>> import yuragi as yu
        >>> from yuragi.posteriors import FullCovariance, PerLayer
        >>> net = nn.Sequential(nn.Linear(3, 100), nn.ReLU(), nn.Linear(100, 1))
        >>> bnn = yu.bayesianize(net, posterior=PerLayer({"2": FullCovariance()}))  # MeanField() elsewhere
    """

    def __init__(self, layers: Mapping[str, Posterior], default: Posterior | None = None) -> None:
        super().__init__()
        self.patterns = list(layers)
        self.parts = nn.ModuleList([*layers.values(), MeanField() if default is None else default])
        for part in self._parts:
            if part.is_points:
                raise ValueError(
                    f"{type(part).__name__} is a posterior of the network as a whole: it cannot be that of a layer"
                )

    @property
    def independent(self) -> bool:
        """Whether every part is independent over its weights."""
        return all(part.independent for part in self._parts)

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Give each weight to the posterior of its pattern."""
        self.groups = group_by_pattern(weights, self.patterns)
        for part, group in self._used:
            part.setup(pick(weights, group), prior, members)

    def forward(self, means: Sequence[Tensor], members: int) -> PerLayerDistribution:
        """q(w) around `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        parts = [part(pick(means, group), members) for part, group in self._used]
        return PerLayerDistribution(means, members, parts, self.groups)

    def size(self, weights: Sequence[Weight], members: int) -> int:
        """How many numbers `setup` makes for these weights."""
        groups = group_by_pattern(weights, self.patterns)
        parts = zip(self._parts, groups, strict=True)
        return sum(part.size(pick(weights, group), members) for part, group in parts)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`."""
        *layers, default = self._parts
        return {"layers": dict(zip(self.patterns, layers, strict=True)), "default": default}

    @property
    def _parts(self) -> list[Posterior]:
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def _used(self) -> list[tuple[Posterior, list[int]]]:
        return [(part, group) for part, group in zip(self._parts, self.groups, strict=True) if group]


class PerLayerDistribution(CorrelatedDistribution):
    """Distributions over groups of weights, independent of each other; `groups` holds the weights of each by index."""

    def __init__(
        self,
        means: Sequence[Tensor],
        members: int,
        parts: Sequence[Distribution],
        groups: Sequence[Sequence[int]],
    ) -> None:
        super().__init__(means, members)
        self.parts, self.groups = parts, groups

    @property
    def independent(self) -> bool:
        """Whether every part is independent over its weights."""
        return all(part.independent for part in self.parts)

    @property
    def sigma(self) -> Tensor:
        """Marginal standard deviation of each weight, [K, P], the weights one after another."""
        found = []
        for part in self.parts:
            assert part.sigma is not None
            found.append(pieces(part.sigma, part.means))
        dtype = torch.promote_types(torch.float32, self.means[0].dtype)
        return joined(in_order(self.groups, found), self.members, dtype)

    def total_correlation(self) -> Tensor:
        """KL(q‖Π q_i) of each member, [K], nats: the sum over the parts."""
        found = [part.total_correlation() for part in self.parts if isinstance(part, CorrelatedDistribution)]
        return torch.stack(found).sum(0) if found else self.means[0].new_zeros(self.members)

    def noise(self, generator: torch.Generator | None = None) -> Sequence[Tensor]:
        """One draw of w − mean for each weight and member, in the shapes of `means`."""
        found = []
        for part in self.parts:
            noise = part.noise(generator)
            assert noise is not None
            found.append(noise)
        return in_order(self.groups, found)

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """Draw s from member `member[s]`: list of [S, *shape]."""
        # draw by draw: the parts take turns at the generator, whatever the number of draws
        rows = [in_order(self.groups, [part.sample([k], generator) for part in self.parts]) for k in member]
        return [torch.cat(column) for column in zip(*rows, strict=True)]
