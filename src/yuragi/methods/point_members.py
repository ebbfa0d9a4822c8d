"""Members that are single points: fitted to the data, and draws of another method made a network of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.flat import joined, pieces
from yuragi.history import ConvergenceWarning, History
from yuragi.likelihoods import Likelihood
from yuragi.loop import train
from yuragi.posteriors import Points
from yuragi.posteriors.points import PointsDistribution
from yuragi.priors import Prior
from yuragi.starts import copied
from yuragi.weights import as_new

_POWER_STEPS = 30
_DIFFERENCE = 1e-2


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


def flat_points(bnn: Bayesian) -> Tensor:
    """The members' weights one after another, a copy, [K, P]."""
    means = [mean.detach() for mean in bnn.q().means]
    return joined(means, bnn.members, means[0].dtype).clone()


@torch.no_grad()
def set_points(bnn: Bayesian, w: Tensor) -> None:
    """Let the members' weights be `w`, [K, P]."""
    means = bnn.q().means
    for mean, part in zip(means, pieces(w, means), strict=True):
        mean.copy_(part)


def member_gradients(bnn: Bayesian, loss: Tensor) -> Tensor:
    """The gradient of each member's own loss in its weights, [K, P], where `loss` is the mean of them."""
    means = bnn.q().means
    gradients = torch.autograd.grad(loss, means, materialize_grads=True)
    return joined(gradients, bnn.members, means[0].dtype) * bnn.members


def largest_curvature(
    bnn: Bayesian, loss: Callable[[], Tensor], generator: torch.Generator, scale: Tensor | None = None
) -> float:
    """Largest absolute eigenvalue among the Hessians of the members' losses, by power iteration on differences of gradients.

    Args:
        bnn: a network of points; left as it is.
        loss: the mean of the members' losses, the same function of the weights whenever it is called.
        generator: of the first direction.
        scale: [P], units of the weights in which the Hessian is taken; 1 where None.
    """
    at = flat_points(bnn)
    scale = torch.ones_like(at[0]) if scale is None else scale
    # a share of the weights' size: far above rounding, and for a smooth loss near enough
    distance = _DIFFERENCE * ((at / scale).norm(dim=1, keepdim=True) + _DIFFERENCE)
    direction = torch.empty_like(at).normal_(generator=generator)
    for _ in range(_POWER_STEPS):
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(torch.finfo(at.dtype).tiny)
        ends = []
        for sign in (1, -1):
            set_points(bnn, at + sign * distance * scale * direction)
            ends.append(scale * member_gradients(bnn, loss()))
        direction = (ends[0] - ends[1]) / (2 * distance)
    set_points(bnn, at)
    return float(direction.norm(dim=1).max())
