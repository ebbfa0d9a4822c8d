"""A Normal prior under which all weights are correlated: what an earlier full-covariance posterior becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from yuragi.flat import joined, split_like
from yuragi.priors.prior import Prior, positive_scales, spread_dtype
from yuragi.weights import Weight


class Multivariate(Prior):
    """w ~ N(m, R Rᵀ) over all weights together, R lower triangular. It is N(0, I) until `become` sets m and R.

    For posteriors whose KL knows correlated priors: `posteriors.MeanField` and `posteriors.FullCovariance`. The numbers are
    the prior's state, and not arguments. See `yuragi.continual`.

    Example:
        >>> import yuragi as yu
        >>> full = yu.posteriors.FullCovariance()
        >>> bnn = yu.bayesianize(torch.nn.Linear(1, 1), prior=yu.priors.Multivariate(), posterior=full)
        >>> bnn.prior.become(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    """

    loc: Tensor
    root: Tensor
    inverse: Tensor

    @property
    def independent(self) -> bool:
        """Whether the weights are independent: they are not."""
        return False

    def setup(self, weights: Sequence[Weight], members: int) -> None:
        """Begin with N(0, I)."""
        total = sum(weight.numel for weight in weights)
        loc = weights[0].parameter.new_zeros(total, dtype=spread_dtype(weights))
        eye = torch.eye(total, dtype=loc.dtype, device=loc.device)
        self.register_buffer("loc", loc)
        self.register_buffer("root", eye)
        self.register_buffer("inverse", eye.clone())  # R⁻¹

    def become(self, mean: Tensor, root: Tensor) -> None:
        """Set m [P] and R [P, P], the weights one after another.

        Raises:
            ValueError: a shape does not agree, or R is not lower triangular with a positive diagonal.
        """
        if mean.shape != self.loc.shape or root.shape != self.root.shape:
            raise ValueError(
                f"mean and root have shapes {tuple(mean.shape)} and {tuple(root.shape)} for {len(self.loc)} weights"
            )
        if bool(root.triu(1).any()):
            raise ValueError("root must be lower triangular: give the Cholesky factor of the covariance")
        positive_scales("the diagonal of root", root.diagonal())
        exact = root.detach().double()
        inverse = torch.linalg.solve_triangular(exact, torch.eye(len(exact), dtype=exact.dtype).to(exact), upper=False)
        self.loc, self.root = mean.detach().to(self.loc).clone(), root.detach().to(self.root).clone()
        self.inverse = inverse.to(self.root)

    def log_prob(self, w: Tensor) -> Tensor:
        """log p(w) in nats, summed over all weights: [K, P], the weights one after another, gives [K]."""
        return -0.5 * self._distance(w) - self._log_volume - 0.5 * len(self.loc) * math.log(2 * math.pi)

    def sample(self, weights: Sequence[Weight], members: int, generator: torch.Generator | None) -> list[Tensor]:
        """One draw a member: a list of tensors [K, *shape], in each weight's dtype."""
        unit = self.loc.new_empty(members, len(self.loc)).normal_(generator=generator)
        return split_like(self.loc + unit @ self.root.T, [weight.parameter.unsqueeze(0) for weight in weights])

    def kl_from_normal(
        self, means: Sequence[Tensor], sigma: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """KL(q‖p) of independent Normals q, [K], nats, in closed form; arguments as for any prior."""
        trace = sigma.square() @ self.inverse.square().sum(0)
        return self._kl(joined(means, len(sigma), sigma.dtype), trace, sigma.log().sum(1))

    def kl_from_correlated(self, means: Sequence[Tensor], root: Tensor) -> Tensor:
        """KL(q‖p) of Normals q with covariance L Lᵀ, [K], nats.

        KL = ½(‖R⁻¹L‖² + ‖R⁻¹(μ − m)‖² − P) + log∣R∣ − log∣L∣.

        Args:
            means: μ, one tensor [K, *shape] a weight, or [*shape] where K is 1.
            root: L, [K, P, P], lower triangular with a positive diagonal.
        """
        trace = (self.inverse @ root).square().sum((1, 2))
        return self._kl(joined(means, len(root), root.dtype), trace, root.diagonal(dim1=1, dim2=2).log().sum(1))

    def _kl(self, mean: Tensor, trace: Tensor, log_volume: Tensor) -> Tensor:
        return 0.5 * (trace + self._distance(mean) - len(self.loc)) + self._log_volume - log_volume

    def _distance(self, w: Tensor) -> Tensor:
        return ((w - self.loc) @ self.inverse.T).square().sum(1)

    @property
    def _log_volume(self) -> Tensor:
        return self.root.diagonal().log().sum()
