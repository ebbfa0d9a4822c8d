"""Stochastic gradient Langevin dynamics: gradient descent with as much noise as makes its path draws of the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.likelihoods import Likelihood
from yuragi.methods.gradient_chains import ChainDraws, Schedule, decreasing, run_chains
from yuragi.pace import Job, Part, Progress
from yuragi.priors import Prior


@dataclass(frozen=True, eq=False)
class Result(ChainDraws):
    """The draws of C chains and what tells whether they have converged: the attributes are those of `ChainDraws`."""

    def __str__(self) -> str:
        """What was run, and whether the chains agree."""
        return f"stochastic gradient Langevin dynamics: {self.summary()}"


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    chains: int = 8,
    draws: int = 25,
    steps: int = 4000,
    lr: float = 0.2,
    schedule: Schedule = decreasing,
    warmup: int | None = None,
    batch_size: int | None = None,
    sample_weight: Any = None,
) -> Result:
    """Draw from the posterior p(w∣x, y) ∝ p(w) Π p(y_i∣f_w(x_i)) by a discretised Langevin diffusion, all chains at once.

        u ← u − ε ∇U(u) + √(2ε) ξ,    U = −(N/B) Σ_batch log p(y_i∣x_i, w) − log p(w),    ξ ~ N(0, I)

    in whitened weights u = w / (prior standard deviation). The draws are exact as ε goes to zero; nothing is rejected, so a
    larger step makes them wider than the posterior. It moves as a random walk: along directions that the data leave open the
    draws of one chain stay near where it began unless there are very many steps, and what is then left is the spread between
    the chains' modes, as in a deep ensemble. `hmc` costs more a draw and is exact. Welling & Teh, "Bayesian learning via
    stochastic gradient Langevin dynamics", 2011.

    Args:
        net: any `nn.Module`; left as it is. What is frozen in it stays so, and dropout is off. Normalisation layers have the
            running statistics of the warm-up.
        data: (x, y) tensors or arrays, a Dataset of such pairs, or a DataLoader.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None. What it learns is maximised over.
        prior: p(w); `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        chains: C, at least 2, so that they can be compared.
        draws: T, draws kept from each chain, at least 4.
        steps: of each chain.
        lr: the largest step size, in units of what the curvature at the start allows: below 2, beyond
            which a chain is not stable; the variance in the steepest direction is too large by the share lr/2.
        schedule: multiplier of the step size as a function of the fraction of steps done: `gradient_chains.decreasing`, or
            `gradient_chains.cyclical(cycles)` to visit several modes. Draws are kept where it is at most half its largest.
        warmup: epochs of Adam towards a mode, from which each chain starts; as for `fit` when None.
        batch_size: rows a step, as for `fit` when None.
        sample_weight: [N], for data in memory; 2 counts a row twice.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, or the prior or
            likelihood has a learned part that all chains cannot share.
        FloatingPointError: a chain went to infinity.

    Warns:
        ConvergenceWarning: R-hat of the outputs is above 1.1 on average.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> found = run(nn.Linear(1, 1), (x, 2 * x), likelihood=yu.Gaussian(0.5), steps=800, warmup=100, lr=0.8)
        >>> found.predict(x).epistemic.shape, found.network.members
        (torch.Size([20, 1]), 200)
    """
    if not (math.isfinite(lr) and 0 < lr < 2):
        raise ValueError(f"lr must lie strictly between 0 and 2, beyond which a chain is not stable, got {lr}")
    found = run_chains(
        net,
        data,
        _Langevin(lr),
        likelihood=likelihood,
        prior=prior,
        seed=seed,
        part=Part(Job(seconds, progress)),
        chains=chains,
        draws=draws,
        steps=steps,
        schedule=schedule,
        warmup=warmup,
        batch_size=batch_size,
        sample_weight=sample_weight,
        provenance={"method": "sgld", "lr": lr},
    )
    return Result(found.network, found.chains, found.step_size, found.rhat, found.effective)


@dataclass(frozen=True)
class _Langevin:
    lr: float

    def step_size(self, curvature: float, batches: float) -> float:
        # with a step ε the variance along an eigenvector of the curvature is 1/(curvature·(1 − ε·curvature/2)), and the noise
        # of a minibatch's gradient adds (N/B − 1)·ε·curvature/2 of it
        return self.lr / (curvature * batches)

    def move(self, u: Tensor, gradient: Tensor, step: float, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(u).normal_(generator=generator)
        return u - step * gradient + math.sqrt(2 * step) * noise
