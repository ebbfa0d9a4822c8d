"""A mixture whose members are trained one by one, and so by as many processes as there are members at most."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yuragi.bayesian import Bayesian
from yuragi.conversion import Recipe
from yuragi.history import History
from yuragi.likelihoods.likelihood import Positive
from yuragi.members import copy_members
from yuragi.network_state import follow_first
from yuragi.posteriors import Anchored
from yuragi.priors.prior import LocationScale
from yuragi.ranks import Fabric, Ranks, derived_seed
from yuragi.starts import copied
from yuragi.training import fit


def fit_members(
    bnn: Bayesian,
    data: Any,
    *,
    seed: int,
    fabric: Fabric | None = None,
    checkpoint: str | Path | None = None,
    kl_weight: float | Tensor = 1.0,
    **settings: Any,
) -> list[History]:
    """Train each member of a mixture by a fit of its own; several processes share the members out.

    Member k has a seed that follows from `seed` and k alone, and the result does not depend on how many processes there are,
    nor on which trains what. They talk only at the end, when all get all members: the way to train a mixture of large
    networks on many machines. Of small ones `yuragi.fit` trains all members at once, vectorised, which is faster on one.

    Args:
        bnn: made by `bayesianize` with two members or more, and not trained; trained in place. Members may share nothing that
            trains.
        data: as for `yuragi.fit`, the same in each process.
        seed: of all members' seeds.
        fabric: a `lightning.fabric.Fabric`, launched; None: this process trains all.
        checkpoint: a folder, in which each member has one of its own for the checkpoints of its fit.
        kl_weight: as for `yuragi.fit`, decided: a number, or a tensor [K].
        **settings: others of `yuragi.fit`. What watches (`progress`, `callbacks`) sees one member after another, and a
            `time_budget` is that of each.

    Returns:
        A `History` of each member, K of them, the same in every process.

    Raises:
        ValueError: there is one member, the network is trained already or leaves something to choose, or members share what
            trains.

    Example:
        >>> import yuragi as yu
        >>> from torch import nn
        >>> x = torch.linspace(-1, 1, 50).reshape(-1, 1)
        >>> posterior = yu.posteriors.Anchored()
        >>> bnn = yu.bayesianize(
        ...     nn.Linear(1, 1), likelihood=yu.Gaussian(0.1), posterior=posterior, members=3, seed=0
        ... )
        >>> histories = fit_members(bnn, (x, 2 * x), seed=0, epochs=1500, lr=0.02)
        >>> len(histories), bool((yu.predict(bnn, x).mean - 2 * x).abs().max() < 0.2)
        (3, True)
    """
    _check(bnn, kl_weight)
    ranks = Ranks() if fabric is None else Ranks.of(fabric)
    made: list[tuple[int, dict[str, Any], History]] = []
    failed: Exception | None = None
    follow_first(bnn, ranks)  # else each process might have starts and anchors of its own
    try:
        for member in range(ranks.rank, bnn.members, ranks.count):
            one = _alone(bnn, member)
            if fabric is not None:
                one.to(fabric.device)
            history = fit(
                one,
                data,
                seed=derived_seed(seed, member),
                checkpoint=None if checkpoint is None else Path(checkpoint) / f"member-{member}",
                kl_weight=kl_weight[member] if isinstance(kl_weight, Tensor) and kl_weight.dim() else kl_weight,
                **settings,
            )
            made.append((member, _state(one), history))
    except Exception as error:  # the others wait at the end, and are to hear of it
        failed = error
    outcomes = ranks.of_all((made, failed))
    for _, met in outcomes:
        if met is not None:
            raise met
    trained = sorted((one for made, _ in outcomes for one in made), key=lambda one: one[0])
    _take(bnn, [state for _, state, _ in trained])
    bnn.recipe = None
    histories = [history for _, _, history in trained]
    bnn.provenance = histories[0].provenance(bnn) | {"seed": seed, "seeds": [h.settings["seed"] for h in histories]}
    return histories


def _check(bnn: Bayesian, kl_weight: Any) -> None:
    if bnn.members < 2:
        raise ValueError("fit_members shares members out, and this network has one: use fit")
    if bnn.recipe is None:
        raise ValueError("fit_members begins anew, and this network is trained already, or was loaded: use fit")
    if bnn.recipe.open or isinstance(kl_weight, (str, list, tuple)):
        raise ValueError("fit_members does not choose among alternatives: decide them, or let fit choose")
    if isinstance(kl_weight, Tensor) and kl_weight.shape not in ((), (bnn.members,)):
        raise ValueError(
            f"kl_weight has shape {tuple(kl_weight.shape)}: give a number, or one for each of {bnn.members} members"
        )
    for part in bnn.likelihood.modules():
        if isinstance(part, Positive) and part.learned and part.raw.requires_grad and len(part.raw) == 1:
            raise ValueError(
                f"the learned {part.name} of {bnn.likelihood!r} is one for all members, which are trained apart: give each "
                f"its own with members={bnn.members}"
            )
    for part in bnn.prior.modules():
        if isinstance(part, LocationScale) and (part.learn or len(part.scale) > 1):
            how = "is learned from all members" if part.learn else "gives each member a scale of its own"
            raise ValueError(f"{bnn.prior!r} {how}, which are trained apart: give one fixed scale")
    shared = [one.name for one in bnn.left_out if bnn.module.get_parameter(one.name).requires_grad]
    if shared:
        raise ValueError(
            f"the deterministic {', '.join(shared[:3])} is shared by all members, which are trained apart: freeze it, or "
            "make it Bayesian"
        )


def _alone(bnn: Bayesian, member: int) -> Bayesian:
    """One member as a network of its own, untrained."""
    with torch.random.fork_rng():  # what begins anew here is overwritten
        recipe: Recipe = replace(bnn.recipe, members=1)
        one = recipe.rebuild(bnn, copied(bnn.module))
    for part in one.likelihood.modules():
        if isinstance(part, Positive):
            part.keep_member(member)
    copy_members(bnn, one, member)
    if isinstance(one.posterior, Anchored):
        one.posterior.first_member = member
    return one


def _state(one: Bayesian) -> dict[str, Any]:
    """What members have of their own, of one."""
    return {
        "means": [mean.detach().cpu() for mean in one.q().means],
        "posterior": {name: value.cpu() for name, value in one.posterior.state_dict().items()},
        "likelihood": {name: value.cpu() for name, value in one.likelihood.state_dict().items()},
        "buffers": {name: buffer.cpu() for name, buffer in one.module.named_buffers()},
    }


@torch.no_grad()
def _take(bnn: Bayesian, states: list[dict[str, Any]]) -> None:
    """Let each member become what is in its state."""
    for index, mean in enumerate(bnn.q().means):
        mean.copy_(torch.stack([state["means"][index] for state in states]))
    for part, name in ((bnn.posterior, "posterior"), (bnn.likelihood, "likelihood")):
        for key, value in part.state_dict(keep_vars=True).items():
            own = [state[name][key] for state in states]
            value.copy_(own[0] if own[0].shape == value.shape else torch.cat(own))
    own_buffers: dict[str, Tensor] = {}
    for name, buffer in bnn.module.named_buffers():
        values = [state["buffers"][name] for state in states]
        if not all(torch.equal(value, values[0]) for value in values):
            own_buffers[name] = torch.stack(values).to(buffer.device)
        else:
            buffer.copy_(values[0])
    bnn.member_buffers.make_own(own_buffers)
