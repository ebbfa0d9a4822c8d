"""From a network to a Bayesian one: `bayesianize`, and the recipe by which `fit` can do it again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.posteriors import Anchored, MeanField, Posterior
from yuragi.priors import FanIn, Prior
from yuragi.starts import member_starts
from yuragi.weights import Where, as_new, as_template, select_weights

Auto = Literal["auto"]
Start = Literal["fresh", "trained"]
Part = TypeVar("Part", Prior, Posterior, Likelihood)
ANCHORED_MEMBERS = 20
MIXTURE_MEMBERS = 5  # of a mean-field mixture that is an alternative to another posterior


@dataclass(frozen=True)
class Recipe:
    """What `bayesianize` was told that the network does not show, so that other candidates can be built like it.

    Attributes:
        priors, posteriors: the alternatives, one or more.
        likelihoods: the alternatives; None for "auto", when they depend on targets and outputs.
        estimator, members: as given, None where left open.
        start, seed: as given.
    """

    priors: tuple[Prior, ...]
    posteriors: tuple[Posterior, ...]
    likelihoods: tuple[Likelihood, ...] | None
    estimator: Estimator | None
    members: int | None
    start: Start
    seed: int | None

    @property
    def open(self) -> bool:
        """Whether something is left for `fit` to choose."""
        return self.likelihoods is None or max(map(len, (self.priors, self.posteriors, self.likelihoods))) > 1

    def members_of(self, posterior: Posterior) -> int:
        """How many members a network with this one of the alternatives has."""
        if self.members is not None:
            return self.members
        if isinstance(posterior, Anchored):
            return ANCHORED_MEMBERS
        return MIXTURE_MEMBERS if len(self.posteriors) > 1 else 1

    def of(self, prior: Prior, posterior: Posterior, likelihood: Likelihood, members: int) -> Recipe:
        """The recipe with these parts chosen."""
        return replace(self, priors=(prior,), posteriors=(posterior,), likelihoods=(likelihood,), members=members)

    def build(self, module: nn.Module, where: Where, output: Callable[[Any], Tensor] | str | int | None) -> Bayesian:
        """The network `module` made Bayesian with the first of the alternatives, which are copied."""
        prior, posterior = copy.deepcopy(self.priors[0]), copy.deepcopy(self.posteriors[0])
        likelihood = Gaussian() if self.likelihoods is None else copy.deepcopy(self.likelihoods[0])
        members = self.members_of(posterior)
        weights, left_out = select_weights(module, where)
        devices = {str(weight.parameter.device) for weight in weights}
        if len(devices) > 1:
            raise ValueError(
                f"the Bayesian weights lie on several devices ({', '.join(sorted(devices))}): move them to one"
            )
        estimator = _chosen_estimator(self.estimator, posterior)
        bnn = Bayesian(
            module, weights, left_out, prior, posterior, likelihood.to(devices.pop()), estimator, members, output
        )
        with nullcontext() if self.seed is None else torch.random.fork_rng():
            if self.seed is not None:
                torch.manual_seed(self.seed)
            prior.setup(weights, members)
            posterior.setup(weights, prior, members)
            starts = prior.initial_means(weights, member_starts(module, weights, members, self.start))
            means = posterior.initial_means(starts)
        _install(bnn, means)
        bnn.recipe = self
        return bnn

    def rebuild(self, bnn: Bayesian, module: nn.Module) -> Bayesian:
        """A network like `bnn`, by this recipe: from `module`, which is that of `bnn` or a copy of it."""
        names = set(bnn.weight_names)
        for name in names:
            as_new(module.get_parameter(name))
        return self.build(module, lambda name, _: name in names, bnn.output)


def bayesianize(
    module: nn.Module,
    *,
    likelihood: Likelihood | Sequence[Likelihood] | Auto | None = None,
    prior: Prior | Sequence[Prior] | Auto | None = None,
    posterior: Posterior | Sequence[Posterior] | Auto | None = None,
    estimator: Estimator | None = None,
    members: int | None = None,
    where: Where = None,
    output: Callable[[Any], Tensor] | str | int | None = None,
    start: Literal["fresh", "trained"] = "fresh",
    seed: int | None = None,
) -> Bayesian:
    """Make a network Bayesian: its weights become the means of a posterior, with a spread beside each one.

    The module itself is kept and used, not copied; with one member its parameters are the means.

    Of `likelihood`, `prior` and `posterior` each may also be a list of alternatives, or "auto" for those that yuragi
    recommends: `fit` then chooses by held-out data. See `yuragi.selection`. Until then the network has the first of each;
    as `fit` chooses, it gets other parameters, but stays the same object and keeps `module`: make an optimiser of your own
    afterwards, and do not train the network before.

    Args:
        module: any `nn.Module`.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None. "auto" depends on targets and outputs: Gaussian or
            Student-t for floating-point targets (with a scale from the network where it returns twice as many numbers),
            `Poisson` or `NegativeBinomial` for integers, `Bernoulli` for truth values, `Categorical` for integers and an axis
            of classes.
        prior: p(w); `priors.FanIn()` when None. "auto" is `FanIn` with gains of 0.5, 1 and 2.
        posterior: q(w); `posteriors.MeanField()` when None. "auto" is `Anchored` and a mixture of `MeanField`.
        estimator: "flipout" (per-example noise where valid, right for every layer), "local" (the least gradient noise
            for linear layers, an approximation for convolutions) or "shared" (one draw a pass, and the only one for a
            posterior whose weights are correlated); None: "flipout" where it is valid, else "shared".
        members: K, components of the mixture posterior, all trained at once; None is 1, and 20 for `Anchored`; 5 for another
            posterior that is one of several alternatives.
        where: what becomes Bayesian: a glob pattern on parameter or module names, a module type, a predicate of
            (parameter name, owning module), or a sequence of these. Everything trainable when None; all but the
            normalisation layers with `yuragi.weights.everything_but(yuragi.weights.NORMS)`. What no Bayesian weight
            reaches is computed once, for all members and draws.
        output: which part of what the network returns is the prediction: a key, attribute, index or function.
        start: with several members, begin each from `reset_parameters()` ("fresh") or near the weights ("trained").
        seed: seed of the members' starts and anchors; the global random state is used when None, and left alone otherwise.

    Returns:
        The `Bayesian` network, on the device of the module.

    Raises:
        ValueError: nothing was selected, a lazy module is not initialised, or an argument is out of range.
        TypeError: `module` is not an `nn.Module`, or already Bayesian.

    Example:
        >>> import yuragi as yu
        >>> net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        >>> bnn = yu.bayesianize(net, likelihood=yu.Gaussian(noise=0.1), estimator="local")
        >>> bnn(torch.randn(5, 3)).shape
        torch.Size([5, 1])
    """
    if isinstance(module, Bayesian) or not isinstance(module, nn.Module):
        raise TypeError(f"bayesianize takes a deterministic nn.Module, got {type(module).__name__}")
    recipe = Recipe(
        _alternatives("prior", prior, FanIn(), tuple(FanIn(gain) for gain in _AUTO_GAINS)),
        _alternatives("posterior", posterior, MeanField(), (Anchored(), MeanField())),
        None
        if isinstance(likelihood, str) and likelihood == "auto"
        else _alternatives("likelihood", likelihood, Gaussian(), ()),
        estimator,
        members,
        start,
        seed,
    )
    for alternative in recipe.posteriors:
        _chosen_estimator(estimator, alternative)
    if members is not None and members < 1:
        raise ValueError(f"members must be at least 1, got {members}")
    return recipe.build(module, where, output)


def _alternatives(name: str, given: Any, default: Part, recommended: tuple[Part, ...]) -> tuple[Part, ...]:
    kind = _KINDS[name]
    if given is None:
        return (default,)
    if isinstance(given, str) and given == "auto":
        return recommended
    listed = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for part in listed:
        if not isinstance(part, kind):
            got = part.__name__ + " itself" if isinstance(part, type) else repr(part)
            raise TypeError(f"{name} must be a {kind.__name__} such as yuragi.{_EXAMPLES[name]}, got {got}")
    if not listed:
        raise ValueError(f"{name} is an empty list: give one {kind.__name__} at least")
    return cast("tuple[Part, ...]", listed)


def _chosen_estimator(estimator: Estimator | None, posterior: Posterior) -> Estimator:
    if estimator is None:
        return "flipout" if posterior.independent else "shared"
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if estimator != "shared" and not posterior.independent:
        raise ValueError(
            f'estimator "{estimator}" gives each example noise of its own that is independent over the weights, but under '
            f'{type(posterior).__name__} they are correlated: use "shared"'
        )
    return estimator


def _install(bnn: Bayesian, means: list[Tensor]) -> None:
    if bnn.members == 1:
        with torch.no_grad():
            for weight, mean in zip(bnn.weights, means, strict=True):
                if mean.data_ptr() != weight.parameter.data_ptr():  # else it is the parameter, and begins where it is
                    weight.parameter.copy_(mean[0])
        return
    for weight, mean in zip(bnn.weights, means, strict=True):
        as_template(weight.parameter)
        bnn.means.register_parameter(weight.name.replace(".", "/"), nn.Parameter(mean))


_KINDS: dict[str, type[nn.Module]] = {"prior": Prior, "posterior": Posterior, "likelihood": Likelihood}
_AUTO_GAINS = (0.5, 1.0, 2.0)
_EXAMPLES = {
    "likelihood": "Gaussian(noise=0.1)",
    "prior": "priors.FanIn()",
    "posterior": "posteriors.Anchored()",
}
