"""Settings found by held-out data: candidates train side by side as members of one network, and the best is refitted.

A candidate is one choice of prior, posterior, likelihood and kl_weight. Candidates that differ in numbers alone (the gain
of a prior, a fixed noise, the kl_weight) are members of one network and meet the same batches; those of another kind of
posterior or likelihood need a network of their own. Each is scored by the log-likelihood of the predictive mixture of its
members on rows held out, and the winner is trained on all rows. A candidate whose loss becomes NaN or infinite loses.

Deterministic weights (`where=`) that train are shared by all members of a network, and so by its candidates.

A scale that is learned from the data that the network was fitted to comes out too small where it overfits. The held-out
rows tell by how much: the factor with which they lie as far from the middle of their predictive distributions as they
should is part of the score, and goes with the winner's likelihood as its `inflation`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils.data import Dataset, Subset, default_collate

from yuragi import likelihoods
from yuragi.bayesian import Bayesian
from yuragi.conversion import Recipe
from yuragi.data import check_pair, check_weight, take_rows, to_tensors
from yuragi.likelihoods import Likelihood
from yuragi.likelihoods.likelihood import summed
from yuragi.loop import train
from yuragi.posteriors import Posterior
from yuragi.prediction import DRAWS, outputs
from yuragi.predictions import prediction_of
from yuragi.priors import Prior
from yuragi.starts import copied

KL_WEIGHTS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""What `kl_weight="auto"` chooses from."""
HELD_OUT = 0.2
"""Share of the rows that candidates are scored on, where no validation data are given."""
_MEMBERS = 3  # of a candidate, at most: what it is to become may have fewer
_DRAWS = 12  # of a candidate that is no point, at least
_INFLATIONS = (0.5, 5.0)
_HALVINGS = 12
Part = TypeVar("Part", Prior, Likelihood)


@dataclass(frozen=True)
class Candidate:
    """One way to make a network Bayesian, and how it did.

    Attributes:
        prior, posterior, likelihood, kl_weight: the settings.
        log_likelihood: of the held-out data, mean, nats per datum, at that inflation; −inf where its training failed.
        inflation: what the likelihood's scale must be multiplied by, as the held-out data say; 1 where it was not learned.
            After the refit on more rows it is less.
    """

    prior: Prior
    posterior: Posterior
    likelihood: Likelihood
    kl_weight: float
    log_likelihood: float = math.nan
    inflation: float = 1.0

    def described(self) -> dict[str, Any]:
        """All of it as numbers and text, with None for a log-likelihood that is not finite."""
        return {
            "prior": repr(self.prior),
            "posterior": repr(self.posterior),
            "likelihood": repr(self.likelihood),
            "kl_weight": self.kl_weight,
            "log_likelihood": self.log_likelihood if math.isfinite(self.log_likelihood) else None,
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
        bnn: made by `bayesianize`, with the alternatives given there, and not trained; changed in place.
        data: (x, y) in memory, or a map-style Dataset of pairs.
        kl_weights: the alternatives.
        validation: the held-out (x, y); where None, a fifth of the rows, chosen by `seed`.
        sample_weight: [N] or None; held-out rows count by it too.
        seed: of the held-out rows, the training, and the members where `bayesianize` had none; the global random state is
            used when None, and left alone otherwise.
        **settings: of `yuragi.loop.train`.

    Returns:
        A `Selection`.

    Raises:
        ValueError: the data have too few rows, the network is trained already or not made by `bayesianize`, an alternative
            gives each member its own settings, or it does not go with another or with the data.
        TypeError: data that cannot be split, as a DataLoader.
        FloatingPointError: no candidate has a finite score.
    """
    start = time.perf_counter()
    if bnn.recipe is None:
        raise ValueError(
            "there is nothing to choose by held-out data: the network is trained already, or was loaded, and its weights "
            "know those rows; make one with bayesianize, and decide or choose in its first fit"
        )
    recipe: Recipe = bnn.recipe
    with torch.random.fork_rng() if seed is not None else nullcontext():
        if seed is not None:
            torch.manual_seed(seed)
        held_out = _HeldOut.of(bnn, data, validation, sample_weight)
        kinds = recipe.likelihoods or _likelihoods(bnn, held_out)
        candidates = [
            Candidate(prior, posterior, likelihood, float(weight))
            for posterior, likelihood, prior, weight in itertools.product(
                recipe.posteriors, kinds, recipe.priors, kl_weights
            )
        ]
        trials = [
            _Trial(bnn, recipe, group, held_out, settings | {"seed": seed}) for group in _groups(candidates, recipe)
        ]
        for trial in trials:  # before any is trained
            trial.check()
        ranked = sorted(
            itertools.chain.from_iterable(trial.scored() for trial in trials),
            key=lambda candidate: candidate.log_likelihood,
            reverse=True,
        )
        chosen = ranked[0]
        if chosen.log_likelihood == -math.inf:
            raise FloatingPointError(
                f"none of {len(ranked)} candidates has a finite held-out log-likelihood: lower lr, or check the scale of "
                "the data"
            )
        members = recipe.members_of(chosen.posterior)
        final = recipe.of(chosen.prior, chosen.posterior, chosen.likelihood, members).rebuild(bnn, bnn.module)
    if final.likelihood.inflation is not None:
        final.likelihood.inflation.fill_(of_all_rows(chosen.inflation, held_out.trained))
    bnn.become(final)
    return Selection(chosen, tuple(ranked), len(held_out.y), time.perf_counter() - start)


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


def _groups(candidates: list[Candidate], recipe: Recipe) -> list[_Group]:
    groups: list[_Group] = []
    waiting = candidates
    while waiting:
        group = _joined(waiting[:1], recipe)
        if group is None:
            raise ValueError(
                f"{waiting[0].prior!r} or {waiting[0].likelihood!r} gives each member its own settings, but candidates have "
                "members of their own: give numbers, and a list of them as alternatives"
            )
        apart = []
        for candidate in waiting[1:]:
            larger = _joined([*group.candidates, candidate], recipe)
            if larger is None:
                apart.append(candidate)
            else:
                group = larger
        groups.append(group)
        waiting = apart
    return groups


def _joined(candidates: list[Candidate], recipe: Recipe) -> _Group | None:
    # None where they cannot be members of one network
    first = candidates[0].posterior
    if any(c.posterior is not first for c in candidates):
        return None
    each = min(_MEMBERS, recipe.members_of(first))
    prior = beside([c.prior for c in candidates], each)
    likelihood = beside([c.likelihood for c in candidates], each)
    return None if prior is None or likelihood is None else _Group(candidates, each, prior, likelihood)


@dataclass
class _Trial:
    """The training and scoring of a group."""

    bnn: Bayesian
    recipe: Recipe
    group: _Group
    held_out: _HeldOut
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        group = self.group
        recipe = self.recipe.of(group.prior, group.posterior, group.likelihood, group.members)
        self.network: Bayesian | None = recipe.rebuild(self.bnn, copied(self.bnn.module))

    @property
    def draws(self) -> int:
        """How many draws the predictions of the final network have."""
        return self.recipe.members_of(self.group.posterior) if self.group.posterior.is_points else DRAWS

    def check(self) -> None:
        """Refuse targets that the likelihood cannot describe, or that are not shaped for what the network returns."""
        assert self.network is not None
        first = slice(0, 2)
        output, _ = outputs(self.network, take_rows(self.held_out.x, first), self.group.members, seed=0)
        self.network.likelihood.log_prob(output, self.held_out.y[first])

    def scored(self) -> list[Candidate]:
        """The candidates with their scores."""
        network, self.network = self.network, None  # one is in memory no longer than it is needed
        assert network is not None
        rows = self.held_out
        try:
            train(network, rows.data, kl_weight=self.group.kl_weight, sample_weight=rows.data_weight, **self.settings)
        except FloatingPointError:
            return self._one_by_one()
        return _score(network, rows, self.group, self.draws)

    def _one_by_one(self) -> list[Candidate]:
        if len(self.group.candidates) == 1:
            return [replace(self.group.candidates[0], log_likelihood=-math.inf)]
        alone = [_joined([candidate], self.recipe) for candidate in self.group.candidates]
        trials = [_Trial(self.bnn, self.recipe, group, self.held_out, self.settings) for group in alone if group]
        return [candidate for trial in trials for candidate in trial.scored()]


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
def _score(network: Bayesian, held_out: _HeldOut, group: _Group, draws: int) -> list[Candidate]:
    """The candidates of a group with their held-out log-likelihoods, as of a mixture of so many draws."""
    rounds = 1 if group.posterior.is_points else -(-_DRAWS // group.each)
    output, _ = outputs(network, held_out.x, group.members * rounds, seed=0)
    # [rounds, candidates, each, N, …]: a candidate's mixture is over rounds and members
    output = _as_of_many(output.unflatten(0, (rounds, -1, group.each)), draws)
    inflation = torch.ones(len(group.candidates), dtype=torch.float64)
    if network.likelihood.inflation is not None:
        inflation = _inflations(network, output, held_out)
    terms = torch.stack([_log_prob(distribution, held_out.y) for distribution in _distributions(network, output)])
    mixed = terms.unflatten(1, output.shape[1:3]).transpose(1, 2).flatten(0, 1)
    scores = (mixed.logsumexp(0) - math.log(len(mixed))) @ held_out.share
    return [
        replace(candidate, log_likelihood=score if math.isfinite(score) else -math.inf, inflation=factor)
        for candidate, score, factor in zip(group.candidates, scores.tolist(), inflation.tolist(), strict=True)
    ]


def _as_of_many(output: Tensor, draws: int) -> Tensor:
    """Outputs [rounds, candidates, each, N, …] that differ as much as those of a mixture of `draws` are expected to.

    The mean square deviation of S draws from their own mean is (1 − 1/S) of their variance: few look too sure.
    """
    few = output.shape[0] * output.shape[2]
    if few == 1:
        return output
    centre = output.mean((0, 2), keepdim=True)
    return centre + math.sqrt((1 - 1 / draws) / (1 - 1 / few)) * (output - centre)


def _distributions(network: Bayesian, output: Tensor) -> list[Distribution]:
    """p(y∣output) of each round, batch shape [members, N, …]."""
    member = torch.arange(output.shape[1] * output.shape[2], device=output.device)
    return [network.likelihood.distribution(part.flatten(0, 1), member) for part in output]


def _inflations(network: Bayesian, output: Tensor, held_out: _HeldOut) -> Tensor:
    """What the scale of each candidate must be multiplied by, [candidates]; the network's likelihood keeps it.

    With it, the held-out data lie as far from the middle of their predictive distributions as they should: P(Y ≤ y) is
    uniform for a calibrated prediction, and so (P − ½)² is 1/12 on average. The most probable factor would do the same
    where the family is right; where it is not, a few outliers would make all error bars too wide.
    """
    candidates, each = output.shape[1:3]
    low, high = (torch.full((candidates,), math.log(end), dtype=torch.float64) for end in _INFLATIONS)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        factor = middle.exp().repeat_interleave(each).reshape(-1, *[1] * held_out.y.dim())
        network.likelihood.inflation = factor.to(output.device, output.dtype)
        rounds = [
            prediction_of(part.flatten(0, 1), distribution).draw_cdf(held_out.y)  # type: ignore[union-attr]
            for part, distribution in zip(output, _distributions(network, output), strict=True)
        ]
        probability = torch.stack(rounds).unflatten(1, (candidates, each)).mean((0, 2)).cpu()  # [candidates, N, …]
        distance = summed((probability - 0.5).square()) @ held_out.share / max(1, held_out.y[0].numel())
        low, high = torch.where(distance > 1 / 12, middle, low), torch.where(distance > 1 / 12, high, middle)
    return middle.exp()


def of_all_rows(inflation: float, trained: float) -> float:
    """The inflation of a network that is trained on all rows, from that of one trained on the share `trained` of them.

    What a fit gains on its own rows over others is inversely proportional to their number: with p parameters the squared
    error on others is about 1 + 2p/N times that on its own. Akaike, "Statistical predictor identification", 1970.
    """
    return math.sqrt(1 + trained * (inflation**2 - 1))


def _log_prob(distribution: Distribution, y: Tensor) -> Tensor:
    target = y if y.is_floating_point() else y.float()  # torch's Bernoulli takes no other
    return summed(distribution.log_prob(target)).cpu().double()


def _likelihoods(bnn: Bayesian, held_out: _HeldOut) -> tuple[Likelihood, ...]:
    y = held_out.y
    output, _ = outputs(bnn, take_rows(held_out.x, slice(0, 2)), 1, seed=0)
    shape, target = tuple(output.shape[2:]), tuple(y.shape[1:])
    each = {"outputs": target[0]} if len(target) == 1 else {}  # a learned scale for every column
    if shape == target:
        if y.is_floating_point():
            return likelihoods.Gaussian(**each), likelihoods.StudentT(**each)
        if y.dtype == torch.bool:
            return (likelihoods.Bernoulli(),)
        return likelihoods.Poisson(), likelihoods.NegativeBinomial(**each)
    if y.is_floating_point() and target and shape == (*target[:-1], 2 * target[-1]):
        return likelihoods.HeteroscedasticGaussian(**each), likelihoods.HeteroscedasticStudentT(**each)
    if not y.is_floating_point() and len(shape) == len(target) + 1 and shape[0] > 1 and shape[1:] == target:
        return (likelihoods.Categorical(),)
    raise ValueError(
        f"no likelihood goes with outputs of shape {('N', *shape)} and {y.dtype} targets of shape {('N', *target)}: "
        'likelihood="auto" takes outputs shaped as the targets, twice as many for floating-point targets, or a first axis '
        "of classes for integers"
    )


@dataclass(frozen=True)
class _HeldOut:
    """What candidates train on, and the rows that score them.

    Attributes:
        data, data_weight: to train on.
        x, y: the rows held out.
        share: of each in the score, [rows], float64 on the CPU, of sum 1.
        trained: the share of all data that candidates train on: 1 where validation data are given.
    """

    data: Any
    data_weight: Tensor | None
    x: Any
    y: Tensor
    share: Tensor
    trained: float = 1.0

    @classmethod
    def of(cls, bnn: Bayesian, data: Any, validation: Any, sample_weight: Any) -> _HeldOut:
        """The validation data where they are given, else a part of the data."""
        like = bnn.reference_tensor
        device, dtype = like.device, like.dtype
        if validation is not None:
            x, y = check_pair("validation", validation, device, dtype)
            return cls(data, sample_weight, x, y, _shares(torch.ones(len(y))))
        in_memory = isinstance(data, (tuple, list)) and len(data) == 2
        if in_memory:
            x, y = check_pair("training", data, device, dtype)
            rows = len(y)
        elif isinstance(data, Dataset) and hasattr(data, "__len__"):
            rows = len(data)
        else:
            raise TypeError(
                f"to choose by held-out data, fit needs (x, y), a map-style Dataset or validation=, got {type(data).__name__}"
            )
        held = round(HELD_OUT * rows)
        if held < 1:
            raise ValueError(
                f"{rows} rows are too few to hold some out: give validation=, or decide kl_weight and the parts"
            )
        order = torch.randperm(rows)
        kept, out = order[held:], order[:held]
        if not in_memory:
            x, y = check_pair("held-out", default_collate([data[i] for i in out.tolist()]), device, dtype)
            return cls(Subset(data, kept.tolist()), sample_weight, x, y, _shares(torch.ones(held)), 1 - held / rows)
        kept, out = kept.to(device), out.to(device)
        weight = torch.ones(rows, device=device)
        if sample_weight is not None:
            weight = check_weight(to_tensors(sample_weight, device, dtype), rows)
        return cls(
            (take_rows(x, kept), y[kept]),
            None if sample_weight is None else weight[kept],
            take_rows(x, out),
            y[out],
            _shares(weight[out]),
            float(weight[kept].sum() / weight.sum()),
        )


def _shares(weight: Tensor) -> Tensor:
    weight = weight.cpu().double()
    if not bool(weight.sum() > 0):
        raise ValueError("sample_weight is zero for all rows that were held out: give validation=")
    return weight / weight.sum()
