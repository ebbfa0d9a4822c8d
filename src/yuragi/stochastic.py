"""The user's network under weights drawn from a posterior: a pass of every member, or one of every draw."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from yuragi import passes
from yuragi.buffers import MemberBuffers, PassBuffers, dropping_reassigned, writing_reassigned
from yuragi.estimators import Estimator, NeedsLoop, NeedsSharedDraw, PerExample, Substitution, WeightDraw
from yuragi.forms import Noise, Value, Variance
from yuragi.passes import Strategy
from yuragi.posteriors import Distribution, Posterior
from yuragi.priors import Prior
from yuragi.weights import LeftOut, Weight

_ACTIVE = 2**19  # numbers that a layer returns for the draws that run at once
_FEWEST = 8  # draws at once

_thread = threading.local()


def _as_returned(result: Any) -> Any:
    return result


class Drawn(NamedTuple):
    """Draws of all weights, list of [S, *shape]; draw s belongs to member `member[s]`."""

    weights: Sequence[Tensor]
    member: Sequence[int]

    def split(self, size: int) -> Iterator[Drawn]:
        """The same draws, `size` at a time."""
        for start in range(0, len(self.member), size):
            part = slice(start, start + size)
            yield Drawn([weight[part] for weight in self.weights], self.member[part])


class StochasticNetwork(nn.Module):
    """A network that runs with weights drawn from a posterior.

    Args:
        module: the user's network. With one member its parameters are the posterior means; with more it is the
            template, and `means` holds the stacked means [K, *shape].
        weights: the parameters that are drawn.
        left_out: the others.
        posterior: the distribution of the weights, set up for them.
        estimator: "shared", "flipout" or "local".
        members: K.
        output: which part of what the network returns is the prediction: a key, attribute, index or function.

    Attributes:
        explored: whether a pass has found out where a per-example estimator gives way to one draw.
        seen: arguments of an early pass, (positional, by keyword), as meta tensors: shapes and dtypes alone; or None.
    """

    seen: tuple[tuple[Any, ...], dict[str, Any]] | None

    def __init__(
        self,
        module: nn.Module,
        weights: list[Weight],
        left_out: list[LeftOut],
        posterior: Posterior,
        estimator: Estimator,
        members: int,
        output: Callable[[Any], Tensor] | str | int | None,
    ) -> None:
        super().__init__()
        self.module = module
        self.posterior = posterior
        self.estimator = estimator
        self.members = members
        self.output = output
        self.weights = weights
        self.left_out = left_out
        self._shared: dict[int, str] = {}  # weights found to need one draw a pass, and why
        self._reached: set[int] = set()  # weights that some operation has used
        self.explored = False
        self.seen = None
        self._overriding = 0  # at_mean and seeded contexts entered, in all threads
        # how members and draws run; what the network does may need a slower way than the first
        self._passes = self._draws = Strategy.VMAP
        self.means = nn.Module()  # not a ParameterDict, whose methods have names that a parameter may have
        self.member_buffers = MemberBuffers(module, members)

    def q(self) -> Distribution:
        """The posterior over weights at the current parameters; see `yuragi.posteriors`."""
        result: Distribution = self.posterior(self._mean_parameters(), self.members)
        return result

    # -- passes of the members

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
    ) -> Any:
        """One stochastic pass of every member with weights from `q`."""
        return self._explored(lambda: self._noised(q, generator), args, kwargs, generator, _as_returned)

    def step(
        self,
        prior: Prior,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        autocast: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """KL(q‖prior) of each member, [K], and the selected output of one stochastic pass of every member, [K, B, *out].

        With `autocast` the pass alone runs under `torch.autocast`, and the output is no less than float32.
        """
        q = self.q()
        kl: list[Callable[[], Tensor]] = []
        device = self.reference_tensor.device.type

        def noised() -> tuple[dict[str, Sequence[Tensor]], bool]:
            # begun before the network: the backward pass then takes it last, when what the network's own kept is free again
            with nullcontext() if autocast is None else torch.autocast(device, enabled=False):
                found, stacks, per_example = self._kl_and_noised(q, prior, generator)
            kl[:] = [found]
            return stacks, per_example

        if autocast is None:
            output = self._explored(noised, args, kwargs, generator, self.select_output)
        else:
            with torch.autocast(device, autocast):
                output = self._explored(noised, args, kwargs, generator, self.select_output)
            output = output.to(torch.promote_types(output.dtype, torch.float32))
        return kl[0](), output.unsqueeze(0) if self.members == 1 else output

    def _explored(
        self,
        noised: Callable[[], tuple[dict[str, Sequence[Tensor]], bool]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        finish: Callable[[Any], Any],
    ) -> Any:
        # a pass; `finish` is applied to what each member returns
        result = self._tried(noised, args, kwargs, generator, finish)
        if not self.explored:
            self._remember(args, kwargs)
        self.explored = True
        return result

    def explore(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Run once and forget the result, to find out where a per-example estimator gives way to one draw."""
        before = self._buffer_values()
        shared = self.member_buffers.shared()
        with torch.no_grad():
            self.run(self.q(), args, kwargs)
        self._restore_buffers(before)
        # what has become the members' own begins from what they shared
        self.member_buffers.make_own({name: shared[name] for name in self.member_buffers.own() if name in shared})

    def pass_mode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Substitution:
        """The mode under which the network, called with these arguments, makes one stochastic pass; one member only."""
        stacks, per_example = self._noised(self.q(), None)
        mode = self._mode(stacks, args, kwargs, None, per_example)
        mode.can_run_again = False
        return mode

    def _per_example(self, q: Distribution) -> bool:
        return self.estimator != "shared" and q.independent and not q.is_points

    def _kl_and_noised(
        self, q: Distribution, prior: Prior, generator: torch.Generator | None
    ) -> tuple[Callable[[], Tensor], dict[str, Sequence[Tensor]], bool]:
        joint = q.joint(prior)
        if joint is None:
            kl_alone = q.kl(prior, generator)
            return lambda: kl_alone, *self._noised(q, generator)
        if not self._per_example(q):
            kl, values = joint(Value, generator)
            return kl, {"means": values}, False
        if self.estimator == "local":
            kl, variances = joint(Variance, generator)
            spreads = q.spreads()  # for weights that turn out to need one draw
            assert spreads is not None
            return kl, {"means": q.means, "scales": spreads, "variances": variances}, True
        kl, noise = joint(Noise, generator)
        return kl, {"means": q.means, "deltas": noise}, True

    def _noised(self, q: Distribution, generator: torch.Generator | None) -> tuple[dict[str, Sequence[Tensor]], bool]:
        # what each member's draw is made of, and whether the estimator may act per example
        stacks: dict[str, Sequence[Tensor]] = {"means": q.means}
        per_example = self._per_example(q)
        if per_example and self.estimator == "local":
            spreads = q.spreads()
            assert spreads is not None
            stacks["scales"] = spreads
            variances = q.variances()
            if variances is not None:
                stacks["variances"] = variances
        else:
            noise = q.noise(generator)
            if noise is not None:
                stacks["deltas"] = noise
        return stacks, per_example

    def _run_at_mean(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self.members == 1:
            return self.module(*args, **kwargs)
        return self._tried_at_mean(args, kwargs)

    def _tried_at_mean(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return self._tried(lambda: ({"means": self._mean_parameters()}, False), args, kwargs, None, _as_returned)

    def _tried(
        self,
        noised: Callable[[], tuple[dict[str, Sequence[Tensor]], bool]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        finish: Callable[[Any], Any],
    ) -> Any:
        while True:
            # an attempt that fails leaves no trace: not in the buffers, and not in the numbers that a generator yields
            tentative = not self.explored or (self.members > 1 and self._passes is not Strategy.LOOP)
            before = self._buffer_values() if tentative else None
            state = generator.get_state() if tentative and generator is not None else None
            try:
                stacks, per_example = noised()
                return self._attempt(stacks, args, kwargs, generator, per_example, finish)
            except NeedsSharedDraw:
                self._restore_buffers(before)
            except NeedsLoop:
                self._restore_buffers(before)
                self._passes = self._slower(self._passes)
            if state is not None and generator is not None:
                generator.set_state(state)

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
            run = self._member_pass(args, kwargs, generator, Strategy.LOOP, per_example, finish, nullcontext)
            return run(stacks)[0]
        rows = {name: list(tensors) for name, tensors in stacks.items()} | self.member_buffers.stacks()
        run = self._member_pass(args, kwargs, generator, self._passes, per_example, finish, writing_reassigned)
        result, made = passes.run_stacked(run, rows, self._passes, self._guarded(self._passes))
        self.member_buffers.make_own(made)
        return result

    # -- passes of draws

    def run_draws(
        self, chunks: Callable[[], Iterable[Drawn]], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Tensor:
        """The selected output of the network with given weights, [S, ...].

        Args:
            chunks: called, it yields the draws of all weights, as many at a time as are to be in memory at once.
            args: the network's positional arguments.
            kwargs: and those by keyword.
        """
        if self.seen is None:
            self._remember(args, kwargs)
        drawn = iter(chunks())
        one = next(drawn)
        only = next(drawn, None) is None
        # a large network gains nothing from vmap, and a vectorised convolution is slower than a loop
        small = sum(weight.numel for weight in self.weights) <= 200_000 and not any(
            len(weight.shape) > 2 for weight in self.weights
        )
        # and vmap would run what all draws share once a chunk
        small = small and (only or not self.left_out)
        strategy = self._draws if small else self._slower(Strategy.VMAP, self._draws)
        if only and len(one.member) == 1:
            strategy = Strategy.LOOP
        before = self._buffer_values() if strategy is not Strategy.LOOP else None
        at_once = self._draws_at_once(_batch_of(args, kwargs) or 1)
        while True:
            parts: Iterable[Drawn] = [one] if only else chunks()
            if strategy is Strategy.VMAP and not (self.left_out or torch.compiler.is_compiling()):
                parts = itertools.chain.from_iterable(part.split(at_once) for part in parts)
            try:
                return self._run_chunks(map(self._stacks_of, parts), strategy, args, kwargs)
            except NeedsLoop:
                self._restore_buffers(before)
                self._draws = strategy = self._slower(strategy)

    def _draws_at_once(self, rows: int) -> int:
        # so many that what a layer returns stays in the cache, but not so few that the calls take longer than the work
        width = max(max(weight.shape, default=1) for weight in self.weights)
        return max(_FEWEST, _ACTIVE // (rows * width))

    def _run_chunks(
        self,
        chunks: Iterable[Mapping[str, Sequence[Tensor]]],
        strategy: Strategy,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        run = self._member_pass(args, kwargs, None, strategy, False, self.select_output, dropping_reassigned)
        output: Tensor = passes.run_chunks(lambda row: run(row)[0], chunks, strategy, self._guarded(strategy))
        return output

    def _stacks_of(self, drawn: Drawn) -> dict[str, Sequence[Tensor]]:
        stacks: dict[str, Sequence[Tensor]] = {"means": drawn.weights}
        if self.members > 1:
            stacks |= self.member_buffers.stacks(drawn.member)
        return stacks

    # -- one pass

    def _slower(self, than: Strategy, at_least: Strategy = Strategy.VMAP) -> Strategy:
        # what is not on the tape of a replay is only what no Bayesian weight reaches: without other weights, nothing much
        replays = self.left_out and not torch.compiler.is_compiling()
        slower = Strategy.REPLAY if than is Strategy.VMAP and replays else Strategy.LOOP
        return max(slower, at_least, key=list(Strategy).index)

    def _member_pass(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        strategy: Strategy,
        per_example: bool,
        finish: Callable[[Any], Any],
        reassigned: Callable[[nn.Module], AbstractContextManager[Any]],
    ) -> Callable[[Mapping[str, Sequence[Tensor]]], tuple[Any, dict[str, Tensor]]]:
        # from a row of stacks to what the network returns, and the buffers that were found to be the row's own
        rows = self.member_buffers.rows() if self.members > 1 else None

        def run(row: Mapping[str, Sequence[Tensor]]) -> tuple[Any, dict[str, Tensor]]:
            buffers = None if rows is None else rows.of(row)
            mode = self._mode(row, args, kwargs, generator, per_example, buffers)
            if torch.compiler.is_compiling():
                entered: AbstractContextManager[Any] = mode
            else:
                entered = passes.entered(mode, strategy is not Strategy.LOOP)
            if buffers is not None and strategy is Strategy.LOOP:  # in which nothing tells whether members differ
                buffers.make_own(list(self.module.buffers()))
            with entered, reassigned(self.module):
                result = finish(mode.drawn(self.module(*args, **kwargs)))
            return result, {} if buffers is None else buffers.made

        return run

    def _mode(
        self,
        row: Mapping[str, Sequence[Tensor]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        generator: torch.Generator | None,
        per_example: bool,
        buffers: PassBuffers | None = None,
    ) -> Substitution:
        draw = WeightDraw(
            row["means"], row.get("deltas"), row.get("scales"), row.get("variances"), self.posterior.normals, generator
        )
        index = {id(weight.parameter): i for i, weight in enumerate(self.weights)}
        if per_example:
            return PerExample(
                index, draw, buffers, self.estimator, _batch_of(args, kwargs), self._shared, self._reached
            )
        return Substitution(index, draw, buffers, self._reached)

    def _remember(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return

        def describe(leaf: Any) -> Any:
            return torch.empty(leaf.shape, dtype=leaf.dtype, device="meta") if isinstance(leaf, Tensor) else leaf

        self.seen = pytree.tree_map(describe, (tuple(args), dict(kwargs)))

    def _guarded(self, strategy: Strategy) -> list[Tensor]:
        return list(self.module.buffers()) if strategy is Strategy.REPLAY else []

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

    # -- what passes have found out

    def found_out(self) -> dict[str, Any]:
        """What passes have found out of the network, as numbers and text: another like it need not find it out again."""
        return {
            "shared": dict(self._shared),
            "reached": sorted(self._reached),
            "passes": self._passes.name,
            "draws": self._draws.name,
        }

    def believe(self, found: Mapping[str, Any]) -> None:
        """Take over what `found_out` has said of a network like this one."""
        self._shared.update(found["shared"])
        self._reached.update(found["reached"])
        self._passes, self._draws = Strategy[found["passes"]], Strategy[found["draws"]]

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

    def _buffer_values(self) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
        # what a pass can write to or put another tensor in the place of: a posterior's anchors, say, are buffers too, but
        # as large as the network
        return [
            (part, name, buffer, buffer.clone())
            for root in (self.module, self.member_buffers)
            for part in root.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]

    def _restore_buffers(self, before: list[tuple[nn.Module, str, Tensor, Tensor]] | None) -> None:
        with torch.no_grad():
            for part, name, buffer, value in before or ():
                buffer.copy_(value)
                part._buffers[name] = buffer

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


def _batch_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    if args and isinstance(args[0], Tensor) and args[0].dim() > 0:  # the usual case, without walking a tree
        return args[0].shape[0]
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor) and leaf.dim() > 0:
            return leaf.shape[0]
    return None


_MEAN = object()


def _overrides() -> dict[int, Any]:
    overrides: dict[int, Any] = _thread.__dict__.setdefault("overrides", {})
    return overrides
