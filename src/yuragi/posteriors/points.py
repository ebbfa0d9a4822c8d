"""Members that are points: equal-weight draws of the weights, whatever method they come from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yuragi.posteriors.posterior import Distribution, Posterior
from yuragi.priors import Prior
from yuragi.weights import Weight


class Points(Posterior):
    """Each member is one point, and K draws are the whole posterior.

    It holds what another method has found, such as the draws of a Markov chain; `yuragi.posteriors.Anchored` is the one
    whose points `yuragi.fit` can train.
    """

    is_points = True

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Nothing: there are no spreads."""

    def forward(self, means: Sequence[Tensor], members: int) -> PointsDistribution:
        """q(w) at `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        return PointsDistribution(means, members)


class PointsDistribution(Distribution):
    """K points."""

    @property
    def sigma(self) -> None:
        """None: a member has no spread."""
        return None

    @property
    def is_points(self) -> bool:
        """Always: K draws are the whole posterior."""
        return True

    def noise(self, generator: torch.Generator | None = None) -> None:
        """None: a member has no spread."""
        return None

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """Refuse: points have no density, and these have no anchors.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "members that are points have no KL, and these keep no anchors that could stand in its place: ask the network "
            "that they were made from, or train posteriors.Anchored"
        )

    def sample(self, member: Sequence[int], generator: torch.Generator | None) -> list[Tensor]:
        """The members asked for: list of [S, *shape]."""
        index = torch.as_tensor(member, device=self.means[0].device)
        return [mean[index] for mean in self.mean]
