"""Posteriors against Hamiltonian Monte Carlo on the article's problem: `yu.fit(bnn, data)` with nothing else said.

    python benchmarks/sine.py --data DIR      # DIR holds hmc.npz: x_train, y_train, x, mean, std, noise
    python benchmarks/sine.py --data DIR --methods anchored mean-field --figure sine.png

W2 is the mean over |x| ≤ 4 of sqrt((m − mean)² + (s − std)²), the log ratio the mean over all x of |log(s / std)|, for
the predicted mean m and epistemic standard deviation s. The figure shows the last seed of each method: beside the
reference, and as x leaves the data by up to four times their width.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import yuragi as yu
from yuragi import methods
from yuragi.posteriors import Anchored, MeanField, Posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS: dict[str, tuple[Callable[[], Posterior], int] | None] = {
    "anchored": (Anchored, 20),
    "mean-field": (MeanField, 1),
    "collapsed": None,
}
"""The posterior of each, and how many members it has unless told otherwise; None for those of `yuragi.methods`."""
_WIDTHS = 4  # of the data, beyond them


def fitted(reference: dict[str, np.ndarray], method: str, seed: int, members: int | None) -> tuple[yu.Bayesian, float]:
    """A fitted network and its seconds."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1))
    data = (reference["x_train"].reshape(-1, 1), reference["y_train"].reshape(-1, 1))
    likelihood = yu.Gaussian(noise=float(reference["noise"]))
    kind = METHODS[method]
    start = time.perf_counter()
    if kind is None:
        bnn: yu.Bayesian = methods.METHODS[method](net, data, likelihood=likelihood, seed=seed).network
    else:
        posterior, default = kind
        count = default if members is None else members
        bnn = yu.bayesianize(net, likelihood=likelihood, posterior=posterior(), members=count, seed=seed)
        yu.fit(bnn, data)
    return bnn, time.perf_counter() - start


def at(bnn: yu.Bayesian, x: np.ndarray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mean and epistemic standard deviation at `x`, both float64 [N]."""
    prediction = yu.predict(bnn, x.reshape(-1, 1), samples=500)
    assert isinstance(prediction, yu.RegressionPrediction)
    return prediction.mean[:, 0].double().numpy(), prediction.epistemic[:, 0].double().numpy()


def distances(reference: dict[str, np.ndarray], bnn: yu.Bayesian) -> tuple[float, float]:
    """W2 and log ratio."""
    mean, std = at(bnn, reference["x"])
    near = np.abs(reference["x"]) <= 4
    w2 = np.sqrt((mean - reference["mean"]) ** 2 + (std - reference["std"]) ** 2)[near].mean()
    return float(w2), float(np.abs(np.log(std / reference["std"])).mean())


def draw(reference: dict[str, np.ndarray], networks: dict[str, yu.Bayesian], path: Path) -> None:
    """Every method beside the reference, and beyond the data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2 * len(networks)), layout="constrained")
    x, data = reference["x"], reference["x_train"]
    width = float(np.ptp(data))
    far = np.linspace(data.min() - _WIDTHS * width, data.max() + _WIDTHS * width, 361)
    for (name, bnn), (left, right) in zip(
        networks.items(), figure.subplots(len(networks), 2, squeeze=False, sharex="col"), strict=True
    ):
        _band(left, x, reference["mean"], reference["std"], "#555555", "Hamiltonian Monte Carlo")
        _band(left, x, *at(bnn, x), "#0072B2", name)
        left.plot(data, reference["y_train"], ".", color="black", ms=2)
        left.set(ylim=(-3, 3), ylabel="f(x), ± 2 epistemic std")
        left.legend(fontsize="small", loc="upper center", ncols=2)
        right.plot(far, at(bnn, far)[1], color="#0072B2", label=f"{name}: epistemic std")
        right.axvspan(data.min(), data.max(), color="#D55E00", alpha=0.12, lw=0, label="data")
        for widths in (1, 2, 4):
            for edge, side in ((data.min(), -1), (data.max(), 1)):
                right.axvline(edge + side * widths * width, color="#555555", lw=0.6, ls=":")
        right.set_ylim(bottom=0)
        right.legend(fontsize="small", loc="upper center")
    left.set_xlabel("x")
    right.set_xlabel("x; dotted: 1, 2 and 4 widths of the data away from them")
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


def _band(ax: Axes, x: np.ndarray, mean: np.ndarray, std: np.ndarray, colour: str, label: str) -> None:
    ax.fill_between(x, mean - 2 * std, mean + 2 * std, color=colour, alpha=0.25, lw=0)
    ax.plot(x, mean, color=colour, label=label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hmc.npz")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["anchored"])
    parser.add_argument("--members", type=int, help="of every posterior, in place of its own number")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path, help="where to draw one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with np.load(arguments.data / "hmc.npz") as file:
        reference = {name: file[name] for name in ("x_train", "y_train", "x", "mean", "std", "noise")}
    rows = ["| method | W2 | log std ratio | seconds | slowest |", "|---|---|---|---|---|"]
    networks = {}
    for method in arguments.methods:
        results = []
        for seed in range(arguments.seeds):
            networks[method], seconds = fitted(reference, method, seed, arguments.members)
            w2, ratio = distances(reference, networks[method])
            print(f"{method}, seed {seed}: W2 {w2:.4f}  |log std ratio| {ratio:.3f}  {seconds:.1f} s", flush=True)
            results.append((w2, ratio, seconds))
        w2, ratio, seconds = (statistics.median(column) for column in zip(*results, strict=True))
        rows.append(f"| {method} | {w2:.4f} | {ratio:.3f} | {seconds:.1f} | {max(row[2] for row in results):.1f} |")
    print(f"medians of {arguments.seeds} seeds, {arguments.threads} threads:")
    print("\n".join(rows))
    if arguments.figure is not None:
        draw(reference, networks, arguments.figure)


if __name__ == "__main__":
    main()
