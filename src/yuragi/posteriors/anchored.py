"""Members that are approximate posterior draws themselves: randomised maximum a posteriori."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from yuragi.flat import in_transform
from yuragi.forms import Form
from yuragi.posteriors.joint import KLAndForm
from yuragi.posteriors.points import PointsDistribution
from yuragi.posteriors.posterior import Posterior
from yuragi.priors import Prior
from yuragi.priors.normal import half_distances
from yuragi.weights import Weight

_KEPT = 2**24
"""How many numbers of target noise are kept at most."""


class Anchored(Posterior):
    """Posterior by randomised maximum a posteriori: each member is one approximate posterior draw, without a spread.

    Member k draws an anchor a_k ~ p(w) and starts there; it fits targets y_i + σ·z_ki (z drawn once per member and
    datum) under the regulariser Σ (w − a_k)²/(2s²). For a linear model with Gaussian noise the members are exact
    posterior draws. Matthews et al., "Sample-then-optimize posterior sampling for Bayesian linear models", 2017;
    Pearce et al., "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", 2020.

    Args:
        seed: seed of the target noise z; None draws one when the network is made Bayesian.

    Raises:
        ValueError: the seed is negative or too large.

    Example:
        >>> Anchored(seed=3)
        Anchored()
    """

    is_points = True
    seed: Tensor
    first_member = 0
    """Number of the first member, where they are some of those of a larger mixture: their target noise is theirs there."""
    _rows = 0  # whose target noise is kept, and that noise [K, rows, *out]
    _kept: Tensor | None = None

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        if seed is not None and not 0 <= seed < 2**63:
            raise ValueError(f"seed must be at least 0 and below 2**63, got {seed}")
        self.register_buffer("seed", torch.tensor(-1 if seed is None else seed))

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Draw the anchors from the prior.

        Raises:
            ValueError: the prior is not Normal, or learns its scale.
        """
        prior.check_anchors()
        if int(self.seed) < 0:
            self.seed = torch.randint(2**62, ())
        for index, anchor in enumerate(prior.sample(weights, members, None)):
            self.register_buffer(f"anchor_{index}", anchor)
        self.count = len(weights)

    @property
    def anchors(self) -> list[Tensor]:
        """a_k of each weight, list of [K, *shape]."""
        return [self.get_buffer(f"anchor_{index}") for index in range(self.count)]

    def initial_means(self, starts: list[Tensor]) -> list[Tensor]:
        """The anchors: members start where their prior draw is."""
        return [anchor.clone() for anchor in self.anchors]

    def forward(self, means: Sequence[Tensor], members: int) -> AnchoredDistribution:
        """q(w) at `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        return AnchoredDistribution(means, members, self.anchors)

    def target_noise(self, index: Tensor, shape: torch.Size) -> Tensor:
        """z: standard normals that depend on the seed, the member and the datum's index, and on nothing else.

        Args:
            index: datum indices, int64 [B].
            shape: shape of the result, [K, B, *out].

        Returns:
            float32 tensor of that shape.
        """
        whole = torch.Size([shape[0], self._rows, *shape[2:]])
        if not 0 < whole.numel() <= _KEPT:
            return self._made(index, shape)
        if self._kept is None or self._kept.shape != whole:
            self._kept = self._made(torch.arange(self._rows, device=index.device), whole)
        return self._kept.index_select(1, index)

    @contextmanager
    def keeping_noise(self, rows: int | None = None) -> Iterator[None]:
        """In this context the target noise of data 0 to `rows` − 1 is made once, where that is not too much to keep.

        Made anew for each batch it takes as long as the likelihood does.
        """
        self._rows = rows or 0
        try:
            yield
        finally:
            self._rows, self._kept = 0, None

    def _made(self, index: Tensor, shape: torch.Size) -> Tensor:
        members, rows = shape[0], len(index)
        outputs = shape[2:].numel()
        device = index.device
        member = torch.arange(self.first_member, self.first_member + members, device=device).reshape(-1, 1, 1)
        output = torch.arange(outputs, device=device)
        key = _mix(_mix(_mix(self.seed.to(device)) + member) + index.reshape(1, rows, 1))
        return _normal_from_bits(_mix(key + output), _mix(key + output + 0x5851F42D4C957F2D)).reshape(shape)


class AnchoredDistribution(PointsDistribution):
    """K points, and the anchors that they are held to."""

    def __init__(self, means: Sequence[Tensor], members: int, anchors: Sequence[Tensor]) -> None:
        super().__init__(means, members)
        self.anchors = anchors

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """Σ (w − a)²/(2s²) of each member, [K]: the regulariser that stands in the place of the KL."""
        return prior.squared_distance(self.mean, self.anchors)

    def joint(self, prior: Prior) -> KLAndForm | None:
        """The regulariser and the members as one node, for priors with one scale for each tensor of weights."""
        precisions = None if torch.compiler.is_compiling() or in_transform() else prior.precisions()
        if precisions is None:
            return None

        def make(form: type[Form], generator: torch.Generator | None) -> tuple[Callable[[], Tensor], Sequence[Tensor]]:
            distance, *members = _Held.apply(precisions, len(self.means), *self.means, *self.anchors)  # type: ignore[no-untyped-call]
            return lambda: distance, members

        return make


class _Held(torch.autograd.Function):
    """Half the squared distances from the anchors in units of the scales, [K], and the members as they are.

    Both give a gradient to every weight. Here it is one operation a weight that computes the one and adds the other; as
    operations of their own they were a fifth of the step of a small network with many members.
    """

    @staticmethod
    def forward(ctx: Any, precisions: Tensor, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        means, anchors = tensors[:count], tensors[count:]
        ctx.count = count
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(precisions, *tensors)
        shaped = [mean.view_as(anchor) for mean, anchor in zip(means, anchors, strict=True)]
        # not the means themselves: views are what an operation could not write in, as a lookup that bounds the norm of its
        # rows does
        return half_distances(shaped, anchors, precisions), *[
            torch.ops.aten._unsafe_view(mean, mean.shape) for mean in means
        ]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        precisions, *tensors = ctx.saved_tensors
        means, anchors = tensors[: ctx.count], tensors[ctx.count :]
        by_distance, *by_means = grad_outputs
        if by_distance is not None:
            factors = (by_distance.unsqueeze(1) * precisions).expand(-1, len(means)).unbind(1)
            by_means = [_pulled(*parts) for parts in zip(means, anchors, factors, by_means, strict=True)]
        return None, None, *by_means, *[None] * len(anchors)


def _pulled(mean: Tensor, anchor: Tensor, factor: Tensor, further: Tensor | None) -> Tensor:
    distance = mean - anchor.view_as(mean)
    factor = factor.to(mean.dtype).reshape(-1, *[1] * (anchor.dim() - 1))
    if len(anchor) == 1:
        factor = factor.reshape(())
    return distance * factor if further is None else torch.addcmul(further, distance, factor)


def _mix(bits: Tensor) -> Tensor:
    # splitmix64's finaliser (Steele et al. 2014) in wrapping int64 arithmetic; shifts are made logical by a mask
    bits = bits * -7046029254386353131
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)


def _normal_from_bits(first: Tensor, second: Tensor) -> Tensor:
    # Box-Muller from two uniforms in (0, 1)
    radius, angle = (((bits >> 11) & 0x1FFFFFFFFFFFFF).double().add_(0.5).mul_(2.0**-53) for bits in (first, second))
    return radius.log_().mul_(-2).sqrt_().mul_(angle.mul_(2 * math.pi).cos_()).float()
