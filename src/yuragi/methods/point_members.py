"""Members that are single points: fitted to the data, and draws of another method made a network of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.flat import joined
from yuragi.likelihoods import Likelihood
from yuragi.loop import History, train
from yuragi.posteriors import Points
from yuragi.posteriors.points import PointsDistribution
from yuragi.priors import Prior
from yuragi.starts import copied
from yuragi.training import ConvergenceWarning
from yuragi.weights import as_new

_POWER_STEPS = 30
_CURVATURE_STEP = 1e-2  # of the gradients' difference, as a share of the norm of the weights


class FittedPoints(Points):
    """Points on their way: −log p(w) stands where the KL does, so that the negative ELBO is that of the posterior's mode."""

    def forward(self, means: Sequence[Tensor], members: int) -> FittedPointsDistribution:
        """q(w) at `means`, list of [K, *shape], or of [*shape] where K, the number of members, is 1."""
        return FittedPointsDistribution(means, members)


class FittedPointsDistribution(PointsDistribution):
    """K points and their log prior density."""

    def kl(self, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
        """−log p(w) of each member, [K], nats."""
        dtype = torch.promote_types(self.means[0].dtype, torch.float32)
        return -prior.log_prob(joined(self.means, self.members, dtype))


def point_members(
    net: nn.Module,
    likelihood: Likelihood | None,
    prior: Prior | None,
    members: int,
    seed: int,
    start: Literal["fresh", "trained"] = "fresh",
) -> Bayesian:
    """A copy of a network made K points, to be trained by `fit_points`.

    Raises:
        ValueError: the prior's scale is to be learned.
    """
    bnn = bayesianize(
        copied(net),
        likelihood=likelihood,
        prior=prior,
        posterior=FittedPoints(),
        members=members,
        start=start,
        seed=seed,
    )
    if any(getattr(part, "learn", False) for part in bnn.prior.modules()):
        raise ValueError(
            f"{bnn.prior} has learn=True, which is fitted to the spread of a weight, and a point has none: give a prior "
            "with a fixed scale"
        )
    return bnn


def fit_points(bnn: Bayesian, data: Any, *, what: str, **settings: Any) -> History:
    """Train the points of `point_members`; settings as for `yuragi.loop.train`.

    Args:
        bnn: the network, trained in place.
        data: as for `yuragi.fit`.
        what: named in the warning.
        **settings: the rest.

    Warns:
        ConvergenceWarning: the loss was still falling.
    """
    history = train(bnn, data, **settings)
    if not history.converged:
        warnings.warn(
            f"{what} stopped after {len(history.loss)} epochs while the loss was still falling (now "
            f"{history.loss[-1]:.3g} nats per datum): give it more epochs or a higher lr",
            ConvergenceWarning,
            stacklevel=3,
        )
    return history


@torch.no_grad()
def network_of_points(
    fitted: Bayesian, points: Sequence[Tensor], member: Sequence[int], provenance: dict[str, Any]
) -> Bayesian:
    """Draws of weights as a network of S points.

    Args:
        fitted: the network that they were found with: its likelihood, prior and buffers are taken over.
        points: of every weight, list of [S, *shape].
        member: which of its members each draw comes from, of length S.
        provenance: of the new network.

    Returns:
        The network, in the mode of `fitted`.
    """
    module = copied(fitted.module)
    names = set(fitted.weight_names)
    for name in names:  # they are templates where there are several members
        as_new(module.get_parameter(name))
    network = bayesianize(
        module,
        likelihood=fitted.likelihood,
        prior=fitted.prior,
        posterior=Points(),
        members=len(member),
        where=lambda name, _: name in names,
        output=fitted.output,
        start="trained",
        seed=0,
    )
    network.train(fitted.training)
    network.prior.load_state_dict(fitted.prior.state_dict())  # one around the weights it was made for, say
    for mean, found in zip(network.q().mean, points, strict=True):
        mean.copy_(found)
    own = fitted.member_buffers.own()
    index = torch.as_tensor(member, device=network.reference_tensor.device)
    if len(member) > 1:
        network.member_buffers.make_own({name: value[index] for name, value in own.items()})
    elif own:
        module.load_state_dict({name: value[index[0]] for name, value in own.items()}, strict=False)
    network.recipe = None  # the weights know the data
    network.provenance = provenance
    return network


def largest_curvature(bnn: Bayesian, loss: Callable[[], Tensor], generator: torch.Generator) -> float:
    """Largest absolute eigenvalue of the loss's Hessian among all members, by power iteration on differences of gradients.

    Args:
        bnn: a network of points; unchanged.
        loss: the mean of the members' losses, with gradient, and the same whenever it is called.
        generator: of the first direction.

    Returns:
        In the units of one member's loss.
    """
    means = bnn.q().means
    # one flat vector a member; the mean over members has divided each gradient by their number
    at = joined([mean.detach() for mean in means], bnn.members, means[0].dtype).clone()

    def gradient(w: Tensor) -> Tensor:
        _write(bnn, w)
        return joined(torch.autograd.grad(loss(), means, materialize_grads=True), bnn.members, w.dtype) * bnn.members

    direction = torch.empty_like(at).normal_(generator=generator)
    eigenvalue = torch.zeros(bnn.members, 1, dtype=at.dtype, device=at.device)
    size = _CURVATURE_STEP * (at.norm(dim=1, keepdim=True) + 1e-3)
    for _ in range(_POWER_STEPS):
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(torch.finfo(at.dtype).tiny)
        product = (gradient(at + size * direction) - gradient(at - size * direction)) / (2 * size)
        eigenvalue = product.norm(dim=1, keepdim=True)
        direction = product
    _write(bnn, at)
    return float(eigenvalue.max())


@torch.no_grad()
def _write(bnn: Bayesian, w: Tensor) -> None:
    for mean, part in zip(bnn.q().means, w.split([m.numel() // bnn.members for m in bnn.q().means], 1), strict=True):
        mean.copy_(part.reshape(mean.shape))
