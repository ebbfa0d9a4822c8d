"""From a network to a Bayesian one: `bayesianize` and the module that it returns."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from yuragi import passes
from yuragi.coverage import Coverage
from yuragi.estimators import ESTIMATORS, Estimator, NeedsLoop, NeedsSharedDraw, PerExample, Substitution, WeightDraw
from yuragi.flat import pieces
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.posteriors import Anchored, Distribution, MeanField, Posterior
from yuragi.priors import FanIn, Prior
from yuragi.starts import member_starts
from yuragi.weights import LeftOut, Weight, Where, as_template, select_weights

Penalty = Callable[[Tensor, Tensor], Tensor]  # (outputs [K, B, *out], targets) -> scalar

_thread = threading.local()


def _as_returned(result: Any) -> Any:
    return result


class ELBO(NamedTuple):
    """The evidence lower bound of a minibatch and its parts, averaged over members.

    Attributes:
        loss: negative ELBO per datum, nats, scalar with gradient; the penalty is in it where there is one.
        log_likelihood: mean of log p(y∣x,w) over the batch, nats per datum, detached.
        kl: KL(q‖p), nats, summed over all weights, detached.
    """

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor


class Bayesian(nn.Module):
    """A network whose weights have a posterior: made by `bayesianize`.

    `bnn(x)` is one stochastic pass, in training and in evaluation mode, and returns what `net(x)` would; with K > 1
    members every tensor of the output has a leading axis K.

    Attributes:
        module: the user's network. With one member its parameters are the posterior means; with more it is the
            template, and `means` holds the stacked means [K, *shape].
        prior, posterior, likelihood: copies of what was passed, holding the state.
        estimator: "shared", "flipout" or "local".
        members: K.
        weights, left_out: which parameters are Bayesian, and which are not.
        explored: whether a pass has found out where a per-example estimator gives way to one draw.
    """

    def __init__(
        self,
        module: nn.Module,
        weights: list[Weight],
        left_out: list[LeftOut],
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        estimator: Estimator,
        members: int,
        output: Callable[[Any], Tensor] | str | int | None,
    ) -> None:
        super().__init__()
        self.module = module
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.estimator = estimator
        self.members = members
        self.output = output
        self.weights = weights
        self.left_out = left_out
        self._shared: dict[int, str] = {}  # weights found to need one draw a pass, and why
        self._reached: set[int] = set()  # weights that some operation has used
        self.explored = False
        self._overriding = 0  # at_mean and seeded contexts entered, in all threads
        # whether vmap can run the network: not for every operation, and in training not for running statistics
        self._vectorised_passes = True
        self._vectorised_draws = True
        self.means = nn.Module()  # not a ParameterDict, whose methods have names that a parameter may have
        self.member_buffers = nn.Module()

    # -- the distribution over weights

    def q(self) -> Distribution:
        """The posterior over weights at the current parameters; see `yuragi.posteriors`."""
        result: Distribution = self.posterior(self._mean_parameters(), self.members)
        return result

    def kl(self) -> Tensor:
        """KL(q‖p) in nats, summed over all weights, averaged over members; scalar.

        For `posteriors.Anchored` it is the regulariser Σ (w − a)²/(2s²).
        """
        return self.q().kl(self.prior).mean()

    def draws(self, samples: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draws of all Bayesian weights, stratified over members.

        Args:
            samples: S, number of draws.
            seed: seed of the draws; the global random state is used when None, and left alone otherwise.

        Returns:
            Parameter name -> [S, *shape], detached; draw s comes from member s mod K.
        """
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        with torch.no_grad():
            drawn = self.q().sample([s % self.members for s in range(samples)], self._generator(seed))
        return {weight.name: value for weight, value in zip(self.weights, drawn, strict=True)}

    def coverage(self) -> Coverage:
        """Which parameters are Bayesian, by which estimator, which are not and why; printable.

        Where a per-example estimator gives way to one draw a pass is known after the first forward pass, and so is
        which weights nothing has used: where code that is not Python reads a weight, noise cannot reach it.
        """
        reached = self._reached if self.explored else None
        return Coverage.of(self.module, self.weights, self.left_out, self.estimator, self._shared, reached)

    # -- forward passes

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """One stochastic pass: the arguments are the network's own."""
        if torch.compiler.is_compiling():
            if self._overriding:
                raise RuntimeError(
                    "at_mean() and seeded() do not reach a compiled network: call the network itself there"
                )
            return self.run(self.q(), args, kwargs)
        override = _overrides().get(id(self))
        if override is _MEAN:
            return self._run_at_mean(args, kwargs)
        return self.run(self.q(), args, kwargs, override)

    @contextmanager
    def at_mean(self) -> Iterator[None]:
        """In this context, and this thread, the network runs at its posterior means, without noise."""
        with self._overridden(_MEAN):
            yield

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """In this context, and this thread, the noise of forward passes comes from a generator of its own."""
        with self._overridden(self._generator(seed)):
            yield

    def run(
        self,
        q: Distribution,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None = None,
        finish: Callable[[Any], Any] = _as_returned,
    ) -> Any:
        """One stochastic pass of every member with weights from `q`; `finish` is applied to what each one returns."""
        stacks, per_example = self._noised(q, generator)
        first = not self.explored
        before = self._buffer_values() if first or (self.members > 1 and self._vectorised_passes) else None
        state = generator.get_state() if first and generator is not None else None
        while True:
            if state is not None and generator is not None:
                generator.set_state(state)  # a pass that is run again must not depend on the attempt before
            try:
                result = self._attempt(stacks, args, kwargs, generator, per_example, finish)
            except NeedsSharedDraw:
                self._restore_buffers(before)
                continue
            except NeedsLoop:
                self._restore_buffers(before)
                self._vectorised_passes = False
                continue
            self.explored = True
            return result

    def run_draws(self, weights: Sequence[Tensor], member: Sequence[int], args: Sequence[Any], kwargs: Any) -> Any:
        """The network with given weights: list of [S, *shape], draw s belonging to member `member[s]`; outputs [S, ...]."""
        stacks: dict[str, Sequence[Tensor]] = {"means": weights}
        if self.members > 1:
            index = torch.as_tensor(member)
            stacks["buffers"] = [buffer[index.to(buffer.device)] for buffer in self._stacked_buffers()]
        # a large network gains nothing from vmap, and a vectorised convolution is slower than a loop
        small = sum(weight.numel for weight in self.weights) <= 200_000 and not any(
            len(weight.shape) > 2 for weight in self.weights
        )
        if self._vectorised_draws and small and len(weights[0]) > 1:
            try:
                return self._run_draws(stacks, args, kwargs, True)
            except NeedsLoop:
                self._vectorised_draws = False
        return self._run_draws(stacks, args, kwargs, False)

    def _run_draws(
        self, stacks: dict[str, Sequence[Tensor]], args: Sequence[Any], kwargs: Any, vectorised: bool
    ) -> Any:
        def run(row: Mapping[str, Sequence[Tensor]]) -> Any:
            with passes.keeping_buffers(self.module, None):
                return self._run_member(row, args, kwargs, None, vectorised, False, self.select_output)

        return passes.run_stacked(run, stacks, vectorised)

    def explore(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Run once and forget the result, to find out where a per-example estimator gives way to one draw."""
        before = self._buffer_values()
        with torch.no_grad():
            self.run(self.q(), args, kwargs)
        self._restore_buffers(before)

    def pass_mode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Substitution:
        """The mode under which the network, called with these arguments, makes one stochastic pass; one member only."""
        stacks, per_example = self._noised(self.q(), None)
        mode = self._mode(stacks, args, kwargs, None, per_example)
        mode.can_run_again = False
        return mode

    def _noised(self, q: Distribution, generator: torch.Generator | None) -> tuple[dict[str, Sequence[Tensor]], bool]:
        # what each member's draw is made of, and whether the estimator may act per example
        stacks: dict[str, Sequence[Tensor]] = {"means": q.means}
        per_example = self.estimator != "shared" and q.independent and not q.is_points
        if per_example and self.estimator == "local":
            assert q.sigma is not None
            stacks["scales"] = pieces(q.sigma, q.means)
        else:
            noise = q.noise(generator)
            if noise is not None:
                stacks["deltas"] = noise
        return stacks, per_example

    def _run_at_mean(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self.members == 1:
            return self.module(*args, **kwargs)
        try:
            return self._attempt({"means": self._mean_parameters()}, args, kwargs, None, False, _as_returned)
        except NeedsLoop:
            self._vectorised_passes = False
            return self._run_at_mean(args, kwargs)

    def _attempt(
        self,
        stacks: dict[str, Sequence[Tensor]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        per_example: bool,
        finish: Callable[[Any], Any],
    ) -> Any:
        if self.members == 1:
            return self._run_member(stacks, args, kwargs, generator, False, per_example, finish)
        stacks = stacks | {"buffers": self._stacked_buffers()}
        return passes.run_stacked(
            lambda row: self._run_member(row, args, kwargs, generator, self._vectorised_passes, per_example, finish),
            stacks,
            self._vectorised_passes,
        )

    def _run_member(
        self,
        row: Mapping[str, Sequence[Tensor]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        stacked: bool,
        per_example: bool,
        finish: Callable[[Any], Any],
    ) -> Any:
        mode = self._mode(row, args, kwargs, generator, per_example)
        if torch.compiler.is_compiling():
            with mode:
                return finish(mode.drawn(self.module(*args, **kwargs)))
        rows = row.get("buffers")
        keeping = nullcontext() if rows is None else passes.keeping_buffers(self.module, rows)
        with keeping, passes.entered(mode, stacked):
            return finish(mode.drawn(self.module(*args, **kwargs)))

    def _mode(
        self,
        row: Mapping[str, Sequence[Tensor]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        per_example: bool,
    ) -> Substitution:
        draw = WeightDraw(row["means"], row.get("deltas"), row.get("scales"), generator)
        index = {id(weight.parameter): i for i, weight in enumerate(self.weights)}
        buffers = {}
        if "buffers" in row:
            buffers = {id(own): value for own, value in zip(self.module.buffers(), row["buffers"], strict=True)}
        if per_example:
            return PerExample(
                index, draw, buffers, self.estimator, _batch_of(args, kwargs), self._shared, self._reached
            )
        return Substitution(index, draw, buffers, self._reached)

    # -- the objective

    def elbo(
        self,
        x: Any,
        y: Tensor,
        num_data: int,
        *,
        kl_weight: float | Tensor = 1.0,
        index: Tensor | None = None,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
        penalty: Penalty | None = None,
    ) -> ELBO:
        """The negative ELBO per datum of a minibatch, and its parts.

        loss = −(1/B) Σ_i v_i log p(y_i∣x_i,w) + kl_weight · KL / N, averaged over members.

        Args:
            x: the network's input: a tensor, a tuple (positional arguments) or a dict (keyword arguments).
            y: targets, [B, *out] as the network's output for `Gaussian`, [B] class labels for `Categorical`.
            num_data: N, number of data in the whole training set.
            kl_weight: 1 is the true ELBO; below 1 a tempered posterior. A tensor [K] gives each member its own.
            index: [B] int64, which data of the training set these are; needed by `posteriors.Anchored`.
            sample_weight: v, [B]; a weight of 2 counts a datum twice.
            generator: source of the noise; the global one when None.
            penalty: a scalar added to the loss, from the outputs [K, B, *out] of this same pass and `y`; `sample_weight`
                does not reach it. See `yuragi.penalties`.

        Returns:
            `ELBO(loss, log_likelihood, kl)`.

        Raises:
            ValueError: a shape does not agree, `num_data` is less than 1, or `index` is needed.
        """
        if num_data < 1:
            raise ValueError(f"num_data must be at least 1, got {num_data}: it is the size of the whole training set")
        if isinstance(kl_weight, Tensor) and kl_weight.shape not in ((), (self.members,)):
            raise ValueError(
                f"kl_weight has shape {tuple(kl_weight.shape)}: give a number, or one for each of "
                f"{self.members} members"
            )
        q = self.q()
        args, kwargs = as_arguments(x)
        output = self.run(q, args, kwargs, generator, self.select_output)
        if self.members == 1:
            output = output.unsqueeze(0)
        if sample_weight is not None and sample_weight.shape != output.shape[1:2]:
            raise ValueError(
                f"sample_weight has shape {tuple(sample_weight.shape)}, but there are {output.shape[1]} data"
            )
        log_prob = self._log_prob(output, y, index, kl_weight, sample_weight)  # [K, B]
        if sample_weight is not None:
            log_prob = log_prob * sample_weight
        log_likelihood = log_prob.mean(-1)
        kl = q.kl(self.prior, generator)
        loss = (kl_weight * kl / num_data - log_likelihood).mean()
        if penalty is not None:
            extra = penalty(output, y)
            if extra.dim():
                raise ValueError(f"penalty must return a scalar, got a tensor of shape {tuple(extra.shape)}")
            loss = loss + extra
        return ELBO(loss, log_likelihood.detach().mean(), kl.detach().mean())

    def loss(
        self,
        x: Any,
        y: Tensor,
        num_data: int,
        *,
        kl_weight: float | Tensor = 1.0,
        index: Tensor | None = None,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
        penalty: Penalty | None = None,
    ) -> Tensor:
        """The negative ELBO per datum, nats, scalar with gradient; arguments as for `elbo`.

        Example:
            >>> import yuragi as yu
            >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
            >>> bnn.loss(torch.randn(8, 3), torch.randn(8, 1), num_data=800).backward()
        """
        return self.elbo(
            x,
            y,
            num_data,
            kl_weight=kl_weight,
            index=index,
            sample_weight=sample_weight,
            generator=generator,
            penalty=penalty,
        ).loss

    def select_output(self, result: Any) -> Tensor:
        """The tensor in what the network returned that the likelihood speaks of."""
        if callable(self.output):
            result = self.output(result)
        elif self.output is not None:
            named = isinstance(self.output, str) and not isinstance(result, Mapping)
            result = getattr(result, self.output) if named else result[self.output]  # type: ignore[arg-type]
        if not isinstance(result, Tensor):
            raise TypeError(
                f"the network returned {type(result).__name__}, not a tensor: say which part is the prediction with "
                "bayesianize(..., output=) (a key, an index or a function)"
            )
        return result

    def _log_prob(
        self,
        output: Tensor,
        y: Tensor,
        index: Tensor | None,
        kl_weight: float | Tensor,
        sample_weight: Tensor | None,
    ) -> Tensor:
        if not isinstance(self.posterior, Anchored) or not isinstance(self.likelihood, Gaussian):
            return self.likelihood.log_prob(output, y)
        if index is None:
            raise ValueError(
                "the Anchored posterior needs index=, which data these are: its target noise belongs to them"
            )
        unit = self.posterior.target_noise(index, output.shape).to(output.dtype)
        # the noise of a datum that counts v times is that of the mean of v; a tempered posterior is that of more noise
        if isinstance(kl_weight, Tensor) or kl_weight != 1:
            unit = unit * torch.as_tensor(kl_weight).to(unit).sqrt().reshape(-1, *[1] * (unit.dim() - 1))
        if sample_weight is not None:
            share = torch.where(sample_weight > 0, sample_weight, 1.0).rsqrt().to(unit.dtype)
            unit = unit * share.reshape(-1, *[1] * (unit.dim() - 2))
        return self.likelihood.randomised_log_prob(output, y, unit)

    # -- parts

    @property
    def weight_names(self) -> list[str]:
        """Names of the Bayesian weights, as in `module.named_parameters()`."""
        return [weight.name for weight in self.weights]

    @property
    def reference_tensor(self) -> Tensor:
        """A Bayesian weight, for its device and dtype."""
        return self.weights[0].parameter

    def _mean_parameters(self) -> list[Tensor]:
        # [*shape] for a single member, whose means are the network's own parameters, else [K, *shape]
        if self.members == 1:
            return [weight.parameter for weight in self.weights]
        return list(self.means._parameters.values())  # type: ignore[arg-type]

    def _stacked_buffers(self) -> list[Tensor]:
        return list(self.member_buffers.buffers())

    def _buffer_values(self) -> list[Tensor]:
        return [buffer.clone() for buffer in self._pass_buffers()]

    def _pass_buffers(self) -> list[Tensor]:
        # those that a pass may change
        return [*self.module.buffers(), *self.member_buffers.buffers()]

    def _restore_buffers(self, before: list[Tensor] | None) -> None:
        with torch.no_grad():
            for buffer, value in zip(self._pass_buffers(), before or (), strict=before is not None):
                buffer.copy_(value)

    def _generator(self, seed: int | None) -> torch.Generator | None:
        if seed is None:
            return None
        return torch.Generator(self.weights[0].parameter.device).manual_seed(seed)

    @contextmanager
    def _overridden(self, value: Any) -> Iterator[None]:
        overrides = _overrides()
        before = overrides.get(id(self))
        overrides[id(self)] = value
        self._overriding += 1
        try:
            yield
        finally:
            self._overriding -= 1
            overrides[id(self)] = before


class NegativeELBO(nn.Module):
    """The training objective as a module, so that wrappers which act in `forward` see the whole of it.

    `DistributedDataParallel` synchronises gradients of what its `forward` computed: wrap this, not the network.

    Args:
        bnn: the Bayesian network.
        num_data: N, number of data in the whole training set, over all processes.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
        >>> objective = NegativeELBO(bnn, num_data=800)  # DistributedDataParallel(objective) in each process
        >>> objective(torch.randn(8, 3), torch.randn(8, 1)).backward()
    """

    def __init__(self, bnn: Bayesian, num_data: int) -> None:
        super().__init__()
        self.bnn = bnn
        self.num_data = num_data

    def forward(self, x: Any, y: Tensor, **options: Any) -> Tensor:
        """The loss of a minibatch, scalar; keyword arguments as for `Bayesian.elbo`."""
        return self.bnn.loss(x, y, self.num_data, **options)


def bayesianize(
    module: nn.Module,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    posterior: Posterior | None = None,
    estimator: Estimator | None = None,
    members: int | None = None,
    where: Where = None,
    output: Callable[[Any], Tensor] | str | int | None = None,
    start: Literal["fresh", "trained"] = "fresh",
    seed: int | None = None,
) -> Bayesian:
    """Make a network Bayesian: its weights become the means of a posterior, with a spread beside each one.

    The module itself is kept and used, not copied; with one member its parameters are the means.

    Args:
        module: any `nn.Module`.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None.
        prior: p(w); `priors.FanIn()` when None.
        posterior: q(w); `posteriors.MeanField()` when None.
        estimator: "flipout" (per-example noise where valid, right for every layer), "local" (the least gradient noise
            for linear layers, an approximation for convolutions) or "shared" (one draw a pass, and the only one for a
            posterior whose weights are correlated); None: "flipout" where it is valid, else "shared".
        members: K, components of the mixture posterior, all trained at once; None is 1, and 20 for `Anchored`.
        where: what becomes Bayesian: a glob pattern on parameter or module names, a module type, a predicate of
            (parameter name, owning module), or a sequence of these. Everything trainable when None.
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
    for name, part, kind in (
        ("likelihood", likelihood, Likelihood),
        ("prior", prior, Prior),
        ("posterior", posterior, Posterior),
    ):
        if part is not None and not isinstance(part, kind):
            got = part.__name__ + " itself" if isinstance(part, type) else repr(part)
            raise TypeError(f"{name} must be a {kind.__name__} such as yuragi.{_EXAMPLES[name]}, got {got}")
    posterior = MeanField() if posterior is None else copy.deepcopy(posterior)
    estimator = _chosen_estimator(estimator, posterior)
    prior = FanIn() if prior is None else copy.deepcopy(prior)
    likelihood = Gaussian() if likelihood is None else copy.deepcopy(likelihood)
    if members is None:
        members = 20 if isinstance(posterior, Anchored) else 1
    if members < 1:
        raise ValueError(f"members must be at least 1, got {members}")
    weights, left_out = select_weights(module, where)
    devices = {str(weight.parameter.device) for weight in weights}
    if len(devices) > 1:
        raise ValueError(
            f"the Bayesian weights lie on several devices ({', '.join(sorted(devices))}): move them to one"
        )
    bnn = Bayesian(
        module, weights, left_out, prior, posterior, likelihood.to(devices.pop()), estimator, members, output
    )
    with nullcontext() if seed is None else torch.random.fork_rng():
        if seed is not None:
            torch.manual_seed(seed)
        prior.setup(weights, members)
        posterior.setup(weights, prior, members)
        starts = prior.initial_means(weights, member_starts(module, weights, members, start))
        means = posterior.initial_means(starts)
    _install(bnn, means)
    return bnn


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


def as_arguments(x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A batch as the network's arguments: a tuple or list is positional, a dict is by keyword, else one argument."""
    if isinstance(x, Mapping):
        return (), dict(x)
    if isinstance(x, (tuple, list)):
        return tuple(x), {}
    return (x,), {}


def _install(bnn: Bayesian, means: list[Tensor]) -> None:
    if bnn.members == 1:
        with torch.no_grad():
            for weight, mean in zip(bnn.weights, means, strict=True):
                weight.parameter.copy_(mean[0])
        return
    for weight, mean in zip(bnn.weights, means, strict=True):
        as_template(weight.parameter)
        bnn.means.register_parameter(weight.name.replace(".", "/"), nn.Parameter(mean))
    for name, buffer in bnn.module.named_buffers():
        bnn.member_buffers.register_buffer(name.replace(".", "/"), torch.stack([buffer.clone()] * bnn.members))


def _batch_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    if args and isinstance(args[0], Tensor) and args[0].dim() > 0:  # the usual case, without walking a tree
        return args[0].shape[0]
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor) and leaf.dim() > 0:
            return leaf.shape[0]
    return None


_MEAN = object()
_EXAMPLES = {
    "likelihood": "Gaussian(noise=0.1)",
    "prior": "priors.FanIn()",
    "posterior": "posteriors.Anchored()",
}


def _overrides() -> dict[int, Any]:
    overrides: dict[int, Any] = _thread.__dict__.setdefault("overrides", {})
    return overrides
