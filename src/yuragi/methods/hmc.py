"""Hamiltonian Monte Carlo: draws from the exact posterior of a small network, to compare approximations with."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.conversion import bayesianize
from yuragi.data import check_rows, to_tensors
from yuragi.flat import split_like
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.loop import cosine
from yuragi.methods.chains import effective_sample_size, split_rhat
from yuragi.methods.whitening import prior_scale
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import Points
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior
from yuragi.stochastic import Drawn
from yuragi.training import ConvergenceWarning

_DIVERGENT = 1000.0  # nats of energy, as in Stan
_STUCK = 0.05  # acceptance below which a chain is said to be stuck
_START_STEPS, _START_LR = 300, 0.03
_NOISE_SPREAD = 1.5
_LEAST_WARMUP, _LEAST_DRAWS = 1, 4
_SHARES = (1, 3, 6)  # of the time, of the start, the warm-up and the draws


@dataclass(frozen=True, eq=False)
class Result:
    """The draws of C chains, T from each, and what tells whether they have converged.

    Attributes:
        network: the draws as a `Bayesian` network of S = CT points; draw s is number s // C of chain s % C.
        log_density: log p(y, w) of each draw up to a constant, nats, float64 [C, T].
        acceptance: share of proposals that each chain accepted after warm-up, float64 [C].
        divergences: proposals of each chain after warm-up whose energy error was not finite or above 1,000 nats, [C].
        step_size: of the leapfrog integrator, in whitened weights.
        x: the inputs of the training data.
    """

    network: Bayesian
    log_density: Tensor
    acceptance: Tensor
    divergences: Tensor
    step_size: float
    x: Any

    @property
    def draws(self) -> dict[str, Tensor]:
        """All draws, parameter name -> [S, *shape]."""
        return self.network.draws(self.network.members)

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def convergence(self, x: Any = None) -> tuple[Tensor, Tensor]:
        """Split R-hat and effective sample size of the network's output at each input, float64 [N, *out] both.

        Args:
            x: inputs; those of the training data when None.
        """
        samples = self.predict(self.x if x is None else x).samples
        by_chain = samples.unflatten(0, (-1, len(self.log_density))).movedim(1, 0)
        return split_rhat(by_chain), effective_sample_size(by_chain)

    @property
    def stuck(self) -> list[int]:
        """Chains that accepted hardly any proposal, by number."""
        return (self.acceptance < _STUCK).nonzero().flatten().tolist()

    def summary(self, x: Any = None) -> str:
        """Acceptance, divergences, R-hat and effective sample size, in words; `x` as for `convergence`."""
        chains, length = self.log_density.shape
        rhat, size = self.convergence(x)
        where = "the training inputs" if x is None else "the given inputs"
        bad = self.divergences.nonzero().flatten().tolist()
        return "\n".join(
            [
                f"Hamiltonian Monte Carlo: {chains} chains of {length} draws, step size {self.step_size:.3g}",
                f"acceptance: {self.acceptance.mean():.2f} on average, {self.acceptance.min():.2f} in the worst chain; "
                f"stuck chains: {self.stuck or 'none'}",
                f"divergent proposals: {int(self.divergences.sum())}{f', in chains {bad}' if bad else ''}",
                f"log density: R-hat {float(split_rhat(self.log_density)):.3f}, "
                f"effective sample size {float(effective_sample_size(self.log_density)):.0f}",
                f"outputs at {where}: R-hat at most {float(rhat.max()):.3f}, "
                f"effective sample size at least {float(size.min()):.0f}",
            ]
        )

    def __str__(self) -> str:
        """The summary at the training inputs."""
        return self.summary()


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    chains: int = 4,
    warmup: int = 200,
    draws: int = 500,
    steps: int = 100,
    target_acceptance: float = 0.8,
    noise_prior: tuple[float, float] | None = None,
) -> Result:
    """Draw from the posterior p(w∣x, y) ∝ p(w) Π p(y_i∣f_w(x_i)) by Hamiltonian Monte Carlo, all chains at once.

    The chains move in whitened weights u = w / (prior standard deviation), begin at prior draws that have been fitted to
    the data, and share a step size, which dual averaging adapts during warm-up. Each proposal is `steps`/2 to `steps`
    leapfrog steps, as many as chance has it, with all data in memory; it costs as many gradients, so this is for small
    networks and data. Dropout and the like are in evaluation mode. Neal, "MCMC using Hamiltonian dynamics", 2011;
    Hoffman & Gelman, "The No-U-Turn sampler", 2014 (the dual averaging).

    Args:
        net: any `nn.Module`; left as it is. What is frozen in it stays so.
        data: (x, y) tensors or arrays.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None. A learned noise is drawn along with the weights.
        prior: p(w); `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        chains: C, at least 2, so that they can be compared.
        warmup: proposals that each chain makes before draws are kept; fewer where the time allows fewer.
        draws: T, draws kept from each chain, at least 4; fewer where the time allows fewer.
        steps: leapfrog steps of the longest proposals.
        target_acceptance: what the step size is adapted to: more is smaller steps.
        noise_prior: (median, spread) of a learned noise: log noise ~ N(log median, spread²); half the standard deviation
            of the targets and 1.5 when None.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, `seconds` do not suffice for a handful of proposals, the data are empty, NaN,
            infinite or of a wrong shape, or a prior or likelihood with a learned part that cannot be drawn.

    Warns:
        ConvergenceWarning: a chain is stuck, proposals diverged, or R-hat of the log density is above 1.1.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> found = run(nn.Linear(1, 1), (x, 2 * x), likelihood=yu.Gaussian(0.1), chains=8, warmup=50, draws=50, steps=5)
        >>> found.predict(x).epistemic.shape, found.draws["weight"].shape
        (torch.Size([20, 1]), torch.Size([400, 1, 1]))
    """
    counts = (
        ("chains", chains, 2),
        ("warmup", warmup, _LEAST_WARMUP),
        ("draws", draws, _LEAST_DRAWS),
        ("steps", steps, 1),
    )
    for name, value, least in counts:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not 0 < target_acceptance < 1:
        raise ValueError(f"target_acceptance must lie strictly between 0 and 1, got {target_acceptance}")
    start: Any = {"posterior": Points(), "prior": prior, "likelihood": likelihood, "start": "trained", "seed": seed}
    bnn = bayesianize(copy.deepcopy(net), members=chains, **start).eval()
    like = bnn.reference_tensor
    x, y = to_tensors(data[0], like.device, like.dtype), to_tensors(data[1], like.device, like.dtype)
    check_rows(x, y)
    generator = torch.Generator(like.device).manual_seed(seed)
    target = _Target(bnn, x, y, noise_prior, generator)
    starting, warming, drawing = Part(Job(seconds, progress)).split(_SHARES)
    u, each = _fitted_start(target, target.prior_draw(chains, generator), starting)
    fewest = _LEAST_WARMUP + _LEAST_DRAWS
    if seconds is not None and fewest * 0.75 * steps * each > seconds:
        raise ValueError(
            f"{seconds:g} seconds are too few: {fewest} proposals of {steps} steps at most, with all data in each, would "
            f"take {fewest * 0.75 * steps * each:.3g} seconds. Give more, fewer steps, or another method"
        )
    state = target.at(u)
    epsilon = _Adapted(_first_step_size(target, state, generator), target_acceptance)
    kept, density = [], []
    accepted = torch.zeros(chains, dtype=torch.float64, device=like.device)
    divergent = torch.zeros(chains, dtype=torch.int64, device=like.device)

    def proposed(size: float) -> tuple[_State, Tensor, Tensor]:
        length = int(torch.randint((steps + 1) // 2, steps + 1, (), generator=generator, device=like.device))
        return _propose(target, state, size, length, generator)

    for _ in warming.turns(warmup, _LEAST_WARMUP):
        state, _, change = proposed(epsilon.now)
        epsilon.update(float(change.exp().clamp_max(1).mean()))
    for _ in drawing.turns(draws, _LEAST_DRAWS):
        state, took, change = proposed(epsilon.average)
        kept.append(state.u)
        density.append(state.log_density)
        accepted += took
        divergent += change < -_DIVERGENT
    u = torch.stack(kept).flatten(0, 1)
    if target.noise_prior is not None:
        start["likelihood"] = Gaussian(target.noise(u).squeeze(1))
    network = bayesianize(copy.deepcopy(net), members=len(u), **start).eval()
    with torch.no_grad():
        for mean, drawn in zip(network.q().means, target.weights(u), strict=True):
            mean.copy_(drawn)
    result = Result(network, torch.stack(density, 1), accepted / len(kept), divergent, epsilon.average, x)
    _warn(result)
    return result


class _State(NamedTuple):
    u: Tensor  # [C, D], whitened weights and then the log of the noise, where it is drawn
    log_density: Tensor  # float64 [C]
    gradient: Tensor  # [C, D]


class _Target:
    """log p(y, w) of every chain, as a function of u."""

    def __init__(
        self, bnn: Bayesian, x: Any, y: Tensor, noise_prior: tuple[float, float] | None, generator: torch.Generator
    ) -> None:
        if any(getattr(part, "learn", False) for part in bnn.prior.modules()):
            raise ValueError("a prior with learn=True is fitted to the weights, not drawn: give one with a fixed scale")
        self.bnn, self.y = bnn, y
        self.args, self.kwargs = as_arguments(x)
        self.scored = _Scored(bnn.likelihood)
        bnn.likelihood.check_targets(y)
        self.noise_prior = _checked_noise_prior(bnn.likelihood, y, noise_prior)
        self.scale = prior_scale(bnn, generator)
        self.like = [weight.parameter.detach().unsqueeze(0) for weight in bnn.weights]

    def prior_draw(self, chains: int, generator: torch.Generator) -> Tensor:
        """u from the prior, [C, D]."""
        w = self.bnn.prior.sample(self.bnn.weights, chains, generator)
        u = torch.cat([tensor.flatten(1).to(self.scale.dtype) for tensor in w], 1) / self.scale
        if self.noise_prior is None:
            return u
        return torch.cat([u, torch.randn(chains, 1, generator=generator, dtype=u.dtype, device=u.device)], 1)

    def weights(self, u: Tensor) -> list[Tensor]:
        """[R, D] to one tensor [R, *shape] a weight."""
        return split_like(u[:, : len(self.scale)] * self.scale, self.like)

    def noise(self, u: Tensor) -> Tensor:
        """The noise's standard deviation, [R, 1], where it is drawn."""
        assert self.noise_prior is not None
        median, spread = self.noise_prior
        return median * (spread * u[:, -1:]).exp()

    def log_likelihood(self, u: Tensor) -> Tensor:
        """log p(y∣w) of each row, float64 [R]."""
        drawn = Drawn(self.weights(u), range(len(u)))

        def once() -> Iterator[Drawn]:
            yield drawn

        output = self.bnn.run_draws(once, self.args, self.kwargs)
        learned = {} if self.noise_prior is None else {"likelihood.scale.raw": inverse_softplus(self.noise(u))}
        scores: Tensor = torch.func.functional_call(self.scored, learned, (output, self.y))
        return scores.double().sum(1)

    def log_prior(self, u: Tensor) -> Tensor:
        """log p(w) of each row up to a constant, [R]."""
        size = len(self.scale)
        result = self.bnn.prior.log_prob(u[:, :size] * self.scale)
        return result if self.noise_prior is None else result - 0.5 * u[:, size:].square().sum(1)

    def at(self, u: Tensor) -> _State:
        """The log density and its gradient at u."""
        u = u.detach().requires_grad_()
        value = self.log_likelihood(u) + self.log_prior(u)
        (gradient,) = torch.autograd.grad(value.sum(), u)
        return _State(u.detach(), value.detach(), gradient)


class _Scored(nn.Module):
    """A likelihood as a module whose `forward` scores, for `functional_call`."""

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.likelihood = likelihood

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        return self.likelihood.log_prob(output, y)


def _checked_noise_prior(
    likelihood: Likelihood, y: Tensor, given: tuple[float, float] | None
) -> tuple[float, float] | None:
    if not any(parameter.requires_grad for parameter in likelihood.parameters()):
        if given is not None:
            raise ValueError("noise_prior= goes with a learned noise: give likelihood=Gaussian(), or leave it out")
        return None
    if not isinstance(likelihood, Gaussian) or likelihood.noise.numel() > 1:
        raise ValueError(
            f"{likelihood} has learned parameters that this method cannot draw: only the single noise of "
            'Gaussian(noise="learned") can be; give fixed ones'
        )
    median, spread = (0.5 * float(y.double().std(correction=0)), _NOISE_SPREAD) if given is None else given
    if not (math.isfinite(median) and median > 0 and math.isfinite(spread) and spread > 0):
        raise ValueError(f"noise_prior must be (median > 0, spread > 0), got {(median, spread)}")
    return median, spread


def _fitted_start(target: _Target, prior_draw: Tensor, part: Part) -> tuple[Tensor, float]:
    # each chain's draw is fitted to the data but held where it was: the chains begin apart, and where there is probability;
    # with the seconds of the fastest step: the first may have to set things up
    u = prior_draw.clone().requires_grad_()
    optimizer = torch.optim.Adam([u], lr=_START_LR)
    fastest = math.inf
    for _ in part.turns(_START_STEPS):
        began = time.perf_counter()
        optimizer.param_groups[0]["lr"] = _START_LR * cosine(part.done)
        loss = 0.5 * (u - prior_draw).square().sum() - target.log_likelihood(u).sum()
        (u.grad,) = torch.autograd.grad(loss, u)
        optimizer.step()
        fastest = min(fastest, time.perf_counter() - began)
    return u.detach(), fastest


def _propose(
    target: _Target, state: _State, epsilon: float, steps: int, generator: torch.Generator
) -> tuple[_State, Tensor, Tensor]:
    # the next state of every chain, which of them moved, and the log of the acceptance ratio
    momentum = torch.empty_like(state.u).normal_(generator=generator)
    before = state.log_density - 0.5 * momentum.double().square().sum(1)
    new, p = state, momentum
    change = torch.zeros_like(before)
    for _ in range(steps):
        half = p + 0.5 * epsilon * new.gradient
        # a chain that has diverged waits where it did for the others: on its way to infinity it could meet an error
        going = (change >= -_DIVERGENT).unsqueeze(1)
        new = target.at(torch.where(going, new.u + epsilon * half, new.u))
        p = torch.where(going, half + 0.5 * epsilon * new.gradient, torch.inf)
        change = new.log_density - 0.5 * p.double().square().sum(1) - before
        change = torch.where(change.isfinite(), change, -torch.inf)
    uniform = torch.rand(len(change), generator=generator, dtype=change.dtype, device=change.device)
    accept = uniform.log() < change
    row = accept.unsqueeze(1)
    state = _State(
        torch.where(row, new.u, state.u),
        torch.where(accept, new.log_density, state.log_density),
        torch.where(row, new.gradient, state.gradient),
    )
    return state, accept, change


def _first_step_size(target: _Target, state: _State, generator: torch.Generator) -> float:
    # halved or doubled until the acceptance of one step crosses one half
    epsilon, direction = 0.1, 0
    for _ in range(50):
        change = _propose(target, state, epsilon, 1, generator)[2]
        wanted = 1 if float(change.exp().clamp_max(1).mean()) > 0.5 else -1
        if direction and wanted != direction:
            break
        direction = wanted
        epsilon *= 2.0**direction
    return epsilon


class _Adapted:
    """Nesterov's dual averaging of the log step size, with Hoffman & Gelman's constants."""

    def __init__(self, first: float, target: float) -> None:
        self.target, self.centre = target, math.log(10 * first)
        self.now = self.average = first
        self.error, self.count = 0.0, 0

    def update(self, acceptance: float) -> None:
        """Take the acceptance of one proposal into account."""
        self.count += 1
        rate = 1 / (self.count + 10)
        self.error += rate * (self.target - acceptance - self.error)
        log_now = self.centre - self.error * self.count**0.5 / 0.05
        weight = self.count**-0.75
        self.average = math.exp(weight * log_now + (1 - weight) * math.log(self.average))
        self.now = math.exp(log_now)


def _warn(result: Result) -> None:
    found = []
    if result.stuck:
        found.append(f"chains {result.stuck} are stuck")
    if int(result.divergences.sum()):
        found.append(f"{int(result.divergences.sum())} proposals diverged")
    rhat = float(split_rhat(result.log_density))
    if not rhat <= 1.1:
        found.append(f"R-hat of the log density is {rhat:.2f}")
    if found:
        warnings.warn(
            f"the chains have not converged: {'; '.join(found)}. Give them a longer warm-up, more draws or longer "
            "proposals (steps=), or a higher target_acceptance",
            ConvergenceWarning,
            stacklevel=3,
        )
