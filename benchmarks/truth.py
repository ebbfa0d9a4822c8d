"""Approximate posteriors against Hamiltonian Monte Carlo on small problems: how far is each from the exact one?

    python benchmarks/truth.py                               # all problems and methods
    python benchmarks/truth.py --problems plane --methods anchored

Two problems beside the article's (`benchmarks/sine.py`), both with a prior, a likelihood and a network that are known:

- plane: two inputs, 80 data on a ring of radius 1 to 2, none within it and none beyond;
- fan: one input, and noise whose known standard deviation grows from 0.05 to 0.5 along it.

For each, the chains' R-hat and effective sample size, then for each method, against the chains' mean m and standard
deviation s of f(x) at a grid of inputs: W2, the mean of √(Δm² + Δs²) where the data lie and between them, and the mean of
|log std ratio| over the whole grid. The two halves of the chains are compared in the same way: no method can be told
to be closer than that.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.likelihoods import Likelihood
from yuragi.methods import collapsed, hmc


class KnownNoise(Likelihood):
    """y ~ N(f(x), s²) where s is known for each datum: targets are [N, 2], the value and its s."""

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats: [R, N, 1] and [N, 2] give [R, N]."""
        result: Tensor = torch.distributions.Normal(output.squeeze(2), y[:, 1], validate_args=False).log_prob(y[:, 0])
        return result

    def distribution(self, output: Tensor, member: Tensor) -> torch.distributions.Normal:
        """N(output, 1): at new inputs the noise is not this likelihood's to know, and only f(x) is compared here."""
        return torch.distributions.Normal(output, torch.ones_like(output))


@dataclass(frozen=True)
class Problem:
    """Data, the noise of each datum [N, 1], a network, and where to compare; `near` is where W2 is taken."""

    x: Tensor
    y: Tensor
    noise: Tensor
    network: Callable[[], nn.Module]
    grid: Tensor
    near: Tensor
    steps: int


def plane() -> Problem:
    generator = torch.Generator().manual_seed(0)
    radius = 1 + torch.rand(80, 1, generator=generator)
    angle = 2 * torch.pi * torch.rand(80, 1, generator=generator)
    x = radius * torch.cat([angle.cos(), angle.sin()], 1)
    y = x[:, :1].sin() * x[:, 1:] + 0.1 * torch.randn(80, 1, generator=generator)
    axis = torch.linspace(-3, 3, 13)
    grid = torch.cartesian_prod(axis, axis)
    return Problem(x, y, torch.full_like(y, 0.1), lambda: mlp(2, 30), grid, grid.norm(dim=1) <= 2, steps=200)


def fan() -> Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.linspace(-3, -1, 50), torch.linspace(1, 3, 50)]).reshape(-1, 1)
    noise = 0.05 * 10 ** ((x + 3) / 6)
    y = (1.5 * x).sin() + noise * torch.randn(100, 1, generator=generator)
    grid = torch.linspace(-5, 5, 101).reshape(-1, 1)
    return Problem(x, y, noise, lambda: mlp(1, 50), grid, grid[:, 0].abs() <= 3, steps=300)


def mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


PROBLEMS: dict[str, Callable[[], Problem]] = {"plane": plane, "fan": fan}
METHODS: dict[str, tuple[Callable[[], yu.posteriors.Posterior], int] | None] = {
    "anchored": (yu.posteriors.Anchored, 20),
    "mean-field": (yu.posteriors.MeanField, 1),
    "collapsed": None,
}
"""The posterior of each and its members; None for `methods.collapsed`."""


def fitted(problem: Problem, method: str, seed: int) -> Tensor:
    """Draws of f at the grid, [S, G], of a posterior fitted with the library's defaults."""
    torch.manual_seed(seed)
    net, data, likelihood = problem.network(), (problem.x, problem.y), yu.Gaussian(noise=1.0)
    # a datum of noise s counts like 1/s² data of noise 1
    weight = problem.noise[:, 0] ** -2
    kind = METHODS[method]
    if kind is None:
        found = collapsed.run(net, data, likelihood=likelihood, sample_weight=weight, seed=seed)
        return found.predict(problem.grid).samples.squeeze(2)
    make, members = kind
    bnn = yu.bayesianize(net, likelihood=likelihood, posterior=make(), members=members, seed=seed)
    with warnings.catch_warnings():
        # the objective is in units of noise 1, of which there are very many
        warnings.simplefilter("ignore", yu.ConvergenceWarning)
        yu.fit(bnn, data, sample_weight=weight, seed=seed)
    return yu.predict(bnn, problem.grid, samples=200).samples.squeeze(2)


def distances(draws: Tensor, exact: Tensor, near: Tensor) -> tuple[float, float]:
    """W2 and |log std ratio| of draws [S, G] against others [S', G]."""
    (mean, std), (true_mean, true_std) = ((d.double().mean(0), d.double().std(0, correction=0)) for d in (draws, exact))
    w2 = torch.hypot(mean - true_mean, std - true_std)[near].mean()
    return float(w2), float((std / true_std).log().abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--draws", type=int, default=150, help="proposals kept of each chain")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = ["| problem | method | W2 | log std ratio | seconds |", "|---|---|---|---|---|"]
    for name in arguments.problems:
        problem = PROBLEMS[name]()
        torch.manual_seed(0)
        start = time.perf_counter()
        found = hmc.run(
            problem.network(),
            (problem.x, torch.cat([problem.y, problem.noise], 1)),
            likelihood=KnownNoise(),
            chains=arguments.chains,
            warmup=arguments.warmup,
            draws=arguments.draws,
            steps=problem.steps,
        )
        seconds = time.perf_counter() - start
        print(f"{name}:\n{found.summary(problem.grid)}", flush=True)
        exact = found.predict(problem.grid).samples.squeeze(2)
        half = torch.arange(len(exact)) % arguments.chains < arguments.chains // 2
        w2, ratio = distances(exact[half], exact[~half], problem.near)
        rows.append(f"| {name} | half the chains against the other | {w2:.4f} | {ratio:.3f} | {seconds:.0f} |")
        for method in arguments.methods:
            for seed in range(arguments.seeds):
                start = time.perf_counter()
                w2, ratio = distances(fitted(problem, method, seed), exact, problem.near)
                seconds = time.perf_counter() - start
                rows.append(f"| {name} | {method}, seed {seed} | {w2:.4f} | {ratio:.3f} | {seconds:.1f} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
