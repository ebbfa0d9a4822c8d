"""Settings found by held-out data: candidates train side by side as members of one network, and the best is refitted.

A candidate is one choice of prior, posterior, likelihood and kl_weight. Candidates that differ in numbers alone (the gain
of a prior, a fixed noise, the kl_weight) are members of one network and meet the same batches; those of another kind of
posterior or likelihood need a network of their own. Each is scored by the log-likelihood of the predictive mixture of its
members on rows held out, and the winner is trained on all rows.

A scale that is learned from the data that the network was fitted to comes out too small where it overfits. The held-out
rows tell by how much: the factor that makes them most probable is part of the score, and stays with the winner's
likelihood as its `inflation`.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from yuragi import likelihoods
from yuragi.bayesian import Bayesian
from yuragi.conversion import Recipe
from yuragi.data import check_rows, take_rows, to_tensors
from yuragi.likelihoods import Likelihood
from yuragi.loop import train
from yuragi.posteriors import Posterior
from yuragi.prediction import outputs
from yuragi.priors import Prior

KL_WEIGHTS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""What `kl_weight="auto"` chooses from."""
HELD_OUT = 0.2
"""Share of the rows that candidates are scored on, where no validation data are given."""
_MEMBERS = 3  # of a candidate
_DRAWS = 12  # of a candidate that is no point, at least
_MIXTURE = 5  # members of a mean-field posterior that was chosen
_INFLATIONS = torch.linspace(-0.5, 1.5, 41, dtype=torch.float64).exp()
Part = TypeVar("Part", Prior, Likelihood)


@dataclass(frozen=True)
class Candidate:
    """One way to make a network Bayesian, and how it did.

    Attributes:
        prior, posterior, likelihood, kl_weight: the settings.
        log_likelihood: of the held-out data, mean, nats per datum, at the best inflation.
        inflation: what the likelihood's scale is best multiplied by; 1 where it was not learned.
    """

    prior: Prior
    posterior: Posterior
    likelihood: Likelihood
    kl_weight: float
    log_likelihood: float = math.nan
    inflation: float = 1.0

    def described(self) -> dict[str, Any]:
        """All of it as numbers and text."""
        return {
            "prior": repr(self.prior),
            "posterior": repr(self.posterior),
            "likelihood": repr(self.likelihood),
            "kl_weight": self.kl_weight,
            "log_likelihood": self.log_likelihood,
            "inflation": self.inflation,
        }


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what.

    Attributes:
        chosen: the winner.
        candidates: all of them with their scores, the best first.
        held_out: how many rows they were scored on.
        seconds: wall-clock time of the choice, without the refit.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    held_out: int
    seconds: float


def select(
    bnn: Bayesian,
    data: Any,
    *,
    kl_weights: Sequence[float],
    validation: Any = None,
    sample_weight: Any = None,
    seed: int | None = None,
    **settings: Any,
) -> Selection:
    """Train all candidates on a part of the data, score them on the rest, and make `bnn` an untrained network of the best.

    Args:
        bnn: made by `bayesianize`, with the alternatives given there; changed in place.
        data: (x, y) in memory, or a map-style Dataset of pairs.
        kl_weights: the alternatives.
        validation: the held-out (x, y); where None, a fifth of the rows, chosen by `seed`.
        sample_weight: [N] or None.
        seed: of the held-out rows and the training.
        **settings: of `yuragi.loop.train`.

    Returns:
        A `Selection`.

    Raises:
        ValueError: the data have too few rows, or the network was not made by `bayesianize`.
        TypeError: data that cannot be split, as a DataLoader.
    """
    start = time.perf_counter()
    if bnn.recipe is None:
        raise ValueError(
            "only a network that bayesianize made can be chosen by held-out data: this one was loaded or built"
        )
    recipe: Recipe = bnn.recipe
    if validation is None:
        data, validation, sample_weight = _split(bnn, data, sample_weight, seed)
    like = bnn.reference_tensor
    x, y = (to_tensors(part, like.device, like.dtype) for part in validation)
    check_rows(x, y, " of the held-out data")
    kinds = recipe.likelihoods or _likelihoods(bnn, x, y)
    candidates = [
        Candidate(prior, posterior, likelihood, float(weight))
        for posterior, likelihood, prior, weight in itertools.product(
            recipe.posteriors, kinds, recipe.priors, kl_weights
        )
    ]
    scored: list[Candidate] = []
    for group in _groups(candidates):
        network = recipe.rebuild(
            bnn, copy.deepcopy(bnn.module), group.prior, group.posterior, group.likelihood, group.members
        )
        train(network, data, kl_weight=group.kl_weight, sample_weight=sample_weight, seed=seed, **settings)
        scored += _score(network, x, y, group)
    ranked = sorted(scored, key=lambda candidate: candidate.log_likelihood, reverse=True)
    chosen = ranked[0]
    members = recipe.members or (_MIXTURE if not chosen.posterior.is_points and len(recipe.posteriors) > 1 else None)
    final = recipe.rebuild(bnn, bnn.module, chosen.prior, chosen.posterior, chosen.likelihood, members)
    if final.likelihood.inflation is not None:
        final.likelihood.inflation.fill_(chosen.inflation)
    bnn.become(final)
    return Selection(chosen, tuple(ranked), len(y), time.perf_counter() - start)


@dataclass(frozen=True)
class _Group:
    """Candidates that train as members of one network: `each` members of the first, then of the second, and so on."""

    candidates: list[Candidate]
    each: int
    prior: Prior
    likelihood: Likelihood

    @property
    def posterior(self) -> Posterior:
        return self.candidates[0].posterior

    @property
    def members(self) -> int:
        return self.each * len(self.candidates)

    @property
    def kl_weight(self) -> Tensor:
        return torch.tensor([c.kl_weight for c in self.candidates]).repeat_interleave(self.each)


def _groups(candidates: list[Candidate]) -> list[_Group]:
    groups: list[_Group] = []
    waiting = candidates
    while waiting:
        together = waiting[:1]
        for candidate in waiting[1:]:
            if _joined([*together, candidate]) is not None:
                together.append(candidate)
        group = _joined(together)
        assert group is not None
        groups.append(group)
        waiting = [candidate for candidate in waiting if candidate not in together]
    return groups


def _joined(candidates: list[Candidate]) -> _Group | None:
    # None where they cannot be members of one network
    first = candidates[0]
    if any(c.posterior is not first.posterior for c in candidates):
        return None
    each = _MEMBERS
    prior = beside([c.prior for c in candidates], each)
    likelihood = beside([c.likelihood for c in candidates], each)
    return None if prior is None or likelihood is None else _Group(candidates, each, prior, likelihood)


def beside(parts: Sequence[Part], each: int) -> Part | None:
    """One prior or likelihood whose member k has the settings of `parts[k // each]`; None where there can be none.

    Example:
        >>> from yuragi.priors import FanIn
        >>> beside([FanIn(0.5), FanIn(2.0)], each=2)
        FanIn(gain=tensor([0.5000, 0.5000, 2.0000, 2.0000]))
    """
    if any(type(part) is not type(parts[0]) for part in parts):
        return None
    given = [part.arguments() for part in parts]
    if any(arguments.keys() != given[0].keys() for arguments in given):
        return None
    joined: dict[str, Any] = {}
    for name in given[0]:
        values = [arguments[name] for arguments in given]
        own = name in parts[0].per_member
        value = _value(values, each, own)
        if value is _CANNOT:
            return None
        joined[name] = value
    if any(value == "learned" for value in joined.values() if isinstance(value, str)):
        joined["members"] = each * len(parts)
    return type(parts[0])(**joined)


_CANNOT = object()


def _value(values: list[Any], each: int, own: bool) -> Any:
    first = values[0]
    if isinstance(first, Prior):
        return _CANNOT if (joined := beside(values, each)) is None else joined
    if isinstance(first, dict):
        if any(list(value) != list(first) for value in values):
            return _CANNOT
        entries = {key: _value([value[key] for value in values], each, own=False) for key in first}
        return _CANNOT if any(entry is _CANNOT for entry in entries.values()) else entries
    if any(isinstance(value, Tensor) for value in values):
        return _CANNOT
    numbers = all(isinstance(value, float) for value in values)
    if own and numbers and (len(values) > 1):
        return torch.tensor(values).repeat_interleave(each)
    return first if all(value == first for value in values) else _CANNOT


@torch.no_grad()
def _score(network: Bayesian, x: Any, y: Tensor, group: _Group) -> list[Candidate]:
    """The candidates of a group with their held-out log-likelihoods."""
    rounds = 1 if group.posterior.is_points else -(-_DRAWS // group.each)
    output, _ = outputs(network, x, group.members * rounds, seed=0)
    member = torch.arange(group.members, device=output.device)
    inflation = network.likelihood.inflation
    best = [(-math.inf, 1.0)] * len(group.candidates)
    for factor in _INFLATIONS.tolist() if inflation is not None else [1.0]:
        if inflation is not None:
            inflation.fill_(factor)
        terms = torch.stack([_log_prob(network, part, member, y) for part in output.split(group.members)])
        # [rounds, candidates, each, N]: the mixture is over rounds and members
        mixed = terms.unflatten(1, (len(group.candidates), group.each)).transpose(1, 2).flatten(0, 1)
        scores = (mixed.logsumexp(0) - math.log(len(mixed))).mean(-1)
        best = [max(old, (score, factor)) for old, score in zip(best, scores.tolist(), strict=True)]
    return [
        Candidate(c.prior, c.posterior, c.likelihood, c.kl_weight, score, factor)
        for c, (score, factor) in zip(group.candidates, best, strict=True)
    ]


def _log_prob(network: Bayesian, output: Tensor, member: Tensor, y: Tensor) -> Tensor:
    terms = network.likelihood.distribution(output, member).log_prob(y).double()
    return terms.flatten(2).sum(2) if terms.dim() > 2 else terms


def _likelihoods(bnn: Bayesian, x: Any, y: Tensor) -> tuple[Likelihood, ...]:
    output, _ = outputs(bnn, take_rows(x, slice(0, 2)), 1, seed=0)
    shape = tuple(output.shape[2:])
    target = tuple(y.shape[1:])
    makers: tuple[Callable[[], Likelihood], ...]
    if not y.is_floating_point() and shape != target:
        makers = (likelihoods.Categorical,)
    elif shape == target:
        makers = (
            (likelihoods.Gaussian, likelihoods.StudentT)
            if y.is_floating_point()
            else (likelihoods.Poisson, likelihoods.NegativeBinomial)
        )
    elif shape and shape[:-1] == target[:-1] and shape[-1] == 2 * target[-1]:
        makers = (likelihoods.HeteroscedasticGaussian, likelihoods.HeteroscedasticStudentT)
    else:
        raise ValueError(
            f"no likelihood goes with outputs of shape {('N', *shape)} and targets of shape {tuple(y.shape)}: "
            'likelihood="auto" takes outputs shaped as the targets, or twice as many'
        )
    return tuple(make() for make in makers)


def _split(bnn: Bayesian, data: Any, sample_weight: Any, seed: int | None) -> tuple[Any, Any, Any]:
    """Rows to train on, rows held out, and the sample weights of the former."""
    like = bnn.reference_tensor
    whole = isinstance(data, (tuple, list)) and len(data) == 2
    if whole:
        x, y = (to_tensors(part, like.device, like.dtype) for part in data)
        check_rows(x, y)
        rows = len(y)
    elif isinstance(data, Dataset) and hasattr(data, "__len__"):
        rows = len(data)
    else:
        raise TypeError(
            f"to choose by held-out data, fit needs (x, y), a map-style Dataset or validation=, got {type(data).__name__}"
        )
    held = round(HELD_OUT * rows)
    if held < 1 or rows - held < 1:
        raise ValueError(
            f"{rows} rows are too few to hold some out: give validation=, or decide kl_weight and the parts"
        )
    generator = torch.Generator().manual_seed(0 if seed is None else seed)
    order = torch.randperm(rows, generator=generator)
    kept, out = order[held:], order[:held]
    if not whole:
        xs, ys = zip(*[data[i] for i in out.tolist()], strict=True)
        return (
            Subset(data, kept.tolist()),
            (torch.stack(xs), torch.as_tensor(ys) if not isinstance(ys[0], Tensor) else torch.stack(ys)),
            None,
        )
    kept, out = kept.to(like.device), out.to(like.device)
    weight = None if sample_weight is None else to_tensors(sample_weight, like.device, like.dtype)[kept]
    return (take_rows(x, kept), y[kept]), (take_rows(x, out), y[out]), weight
