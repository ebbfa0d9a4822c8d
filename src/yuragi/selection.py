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
from typing import Any

import torch
from torch import Tensor

from yuragi import likelihoods
from yuragi.bayesian import Bayesian
from yuragi.checkpoints import Checkpoints
from yuragi.conversion import Recipe
from yuragi.data import Batches, take_rows
from yuragi.draws import DRAWS, outputs
from yuragi.held_out import HeldOut, of_all_rows, score
from yuragi.likelihoods import Likelihood
from yuragi.loop import train
from yuragi.members import copy_members
from yuragi.pace import Part
from yuragi.posteriors import Posterior
from yuragi.priors import Prior
from yuragi.ranks import Ranks
from yuragi.side_by_side import beside
from yuragi.starts import copied

KL_WEIGHTS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""What `kl_weight="auto"` chooses from."""
_MEMBERS = 3  # of a candidate, at most: what it is to become may have fewer


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
    part: Part | None = None,
    checkpoints: Checkpoints | None = None,
    ranks: Ranks | None = None,
    **settings: Any,
) -> tuple[Selection, Part]:
    """Train all candidates on a part of the data, score them on the rest, and make `bnn` an untrained network of the best.

    Where the job is stopped meanwhile, `bnn` becomes the trained members of the best candidate so far instead.

    Args:
        bnn: made by `bayesianize`, with the alternatives given there, and not trained; changed in place.
        data: (x, y) in memory, a map-style Dataset of pairs, or `Batches` with a sample: candidates then train on that, as
            long as if it were all.
        kl_weights: the alternatives.
        validation: the held-out (x, y); where None, a fifth of the rows, chosen by `seed`.
        sample_weight: [N] or None; held-out rows count by it too.
        seed: of the held-out rows, the training, and the members where `bayesianize` had none; the global random state is
            used when None, and left alone otherwise.
        part: of what job this and the refit are.
        checkpoints: of what is trained; candidates whose training was complete are not trained again.
        ranks: the processes that train together; several need a seed.
        **settings: of `yuragi.loop.train`.

    Returns:
        A `Selection`, and the part of the job that is left for the refit.

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
    ranks = Ranks() if ranks is None else ranks
    if checkpoints is not None:
        checkpoints.begin(bnn, seeded=seed is not None)
    if isinstance(data, Batches) and validation is None:
        settings |= {"epochs": None}
    with torch.random.fork_rng() if seed is not None else nullcontext():
        if seed is not None:
            torch.manual_seed(seed)
        held_out = HeldOut.of(bnn, data, validation, sample_weight)
        kinds = recipe.likelihoods or _likelihoods(bnn, held_out)
        candidates = [
            Candidate(prior, posterior, likelihood, float(weight))
            for posterior, likelihood, prior, weight in itertools.product(
                recipe.posteriors, kinds, recipe.priors, kl_weights
            )
        ]
        trials = [
            _Trial(bnn, recipe, group, held_out, settings | {"seed": seed, "ranks": ranks}, checkpoints)
            for group in _groups(candidates, recipe)
        ]
        for trial in trials:  # before any is trained
            trial.check()
        part = Part() if part is None else part
        members = [trial.group.members for trial in trials]
        *parts, refit = part.split([*members, max(map(recipe.members_of, recipe.posteriors))])
        ranked: list[Candidate] = []
        best: _Trained | None = None
        for trial, its_part in zip(trials, parts, strict=True):
            for trained in trial.scored(its_part):
                ranked.append(trained.candidate)
                may_stop = part.job.progress is not None or checkpoints is not None  # now, or when it is resumed
                if may_stop and (best is None or trained.better_than(best)):
                    best = trained  # else it need not stay in memory
                    if checkpoints is not None:
                        checkpoints.best(trained.network)
            if part.job.stopped is not None:
                break
        ranked.sort(key=lambda candidate: candidate.log_likelihood, reverse=True)
        chosen = ranked[0]
        if chosen.log_likelihood == -math.inf:
            raise FloatingPointError(
                f"none of {len(ranked)} candidates has a finite held-out log-likelihood: lower lr, or check the scale of "
                "the data"
            )
        if part.job.stopped is not None and best is not None:
            final = best.alone(bnn, recipe)
        else:
            members_of = recipe.members_of(chosen.posterior)
            final = recipe.of(chosen.prior, chosen.posterior, chosen.likelihood, members_of).rebuild(bnn, bnn.module)
            if final.likelihood.inflation is not None:
                final.likelihood.inflation.fill_(of_all_rows(chosen.inflation, held_out.trained))
    bnn.become(final)
    return Selection(chosen, tuple(ranked), len(held_out.y), time.perf_counter() - start), refit


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
    held_out: HeldOut
    settings: dict[str, Any]
    checkpoints: Checkpoints | None

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

    def scored(self, part: Part) -> list[_Trained]:
        """The candidates with their scores, trained as that part of the job."""
        network, self.network = self.network, None  # one is in memory no longer than it is needed
        assert network is not None
        group = self.group
        if self.checkpoints is None:
            scores = self._scores(network, part)
        else:
            scores = self.checkpoints.once(lambda: self._scores(network, part), network)
        if scores is None:
            return self._one_by_one(network, part)
        trained = []
        for i, (found, inflation) in enumerate(scores):
            log_likelihood = found if math.isfinite(found) else -math.inf
            candidate = replace(group.candidates[i], log_likelihood=log_likelihood, inflation=inflation)
            trained.append(_Trained(candidate, network, i * group.each, group.each))
        return trained

    def _scores(self, network: Bayesian, part: Part) -> list[tuple[float, float]] | None:
        """Log-likelihood and inflation of each candidate, once `network` has been trained; None where that failed."""
        rows, group = self.held_out, self.group
        settings = self.settings | {"kl_weight": group.kl_weight, "sample_weight": rows.data_weight, "part": part}
        try:
            train(network, rows.data, checkpoints=self.checkpoints, **settings)
        except FloatingPointError:
            return None
        ranks: Ranks = self.settings["ranks"]
        return ranks.from_first(list(zip(*score(network, rows, group.each, self.draws), strict=True)))

    def _one_by_one(self, network: Bayesian, part: Part) -> list[_Trained]:
        group = self.group
        if len(group.candidates) == 1:
            return [_Trained(replace(group.candidates[0], log_likelihood=-math.inf), network, 0, group.each)]
        alone = [_joined([candidate], self.recipe) for candidate in group.candidates]
        trials = [
            _Trial(self.bnn, self.recipe, group, self.held_out, self.settings, self.checkpoints)
            for group in alone
            if group
        ]
        parts = part.split([1] * len(trials))
        return [trained for trial, its in zip(trials, parts, strict=True) for trained in trial.scored(its)]


@dataclass(frozen=True)
class _Trained:
    """A candidate with its score, and its members in the network that it was trained in: `each`, from `first` on."""

    candidate: Candidate
    network: Bayesian
    first: int
    each: int

    def better_than(self, other: _Trained) -> bool:
        return self.candidate.log_likelihood > other.candidate.log_likelihood

    def alone(self, bnn: Bayesian, recipe: Recipe) -> Bayesian:
        """A network like `bnn` of these members."""
        likelihood = beside([self.candidate.likelihood], self.each)
        assert likelihood is not None  # as it was in a group
        own = recipe.of(self.candidate.prior, self.candidate.posterior, likelihood, self.each)
        network = own.rebuild(bnn, bnn.module)
        copy_members(self.network, network, self.first)
        if network.likelihood.inflation is not None:
            network.likelihood.inflation.fill_(self.candidate.inflation)
        network.recipe = None  # its weights know the data
        return network


def _likelihoods(bnn: Bayesian, held_out: HeldOut) -> tuple[Likelihood, ...]:
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
