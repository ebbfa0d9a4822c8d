"""The recommended fit against Hamiltonian Monte Carlo on the article's problem: `yu.fit(bnn, data)` with nothing else said.

    python benchmarks/sine.py --data DIR      # DIR holds hmc.npz: x_train, y_train, x, mean, std, noise

W2 is the mean over |x| ≤ 4 of sqrt((m − mean)² + (s − std)²), the log ratio the mean over all x of |log(s / std)|, for
the predicted mean m and epistemic standard deviation s.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import yuragi as yu


def run(reference: dict[str, np.ndarray], seed: int, members: int) -> tuple[float, float, float]:
    """W2, log ratio and seconds of one seed."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1))
    bnn = yu.bayesianize(
        net,
        likelihood=yu.Gaussian(noise=float(reference["noise"])),
        prior=yu.priors.FanIn(),
        posterior=yu.posteriors.Anchored(),
        members=members,
        seed=seed,
    )
    start = time.perf_counter()
    yu.fit(bnn, (reference["x_train"].reshape(-1, 1), reference["y_train"].reshape(-1, 1)))
    seconds = time.perf_counter() - start
    prediction = yu.predict(bnn, reference["x"].reshape(-1, 1))
    assert isinstance(prediction, yu.RegressionPrediction)
    mean, std = prediction.mean[:, 0].double().numpy(), prediction.epistemic[:, 0].double().numpy()
    near = np.abs(reference["x"]) <= 4
    w2 = np.sqrt((mean - reference["mean"]) ** 2 + (std - reference["std"]) ** 2)[near].mean()
    return float(w2), float(np.abs(np.log(std / reference["std"])).mean()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hmc.npz")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with np.load(arguments.data / "hmc.npz") as file:
        reference = {name: file[name] for name in ("x_train", "y_train", "x", "mean", "std", "noise")}
    results = []
    for seed in range(arguments.seeds):
        w2, ratio, seconds = run(reference, seed, arguments.members)
        print(f"seed {seed}: W2 {w2:.4f}  |log std ratio| {ratio:.3f}  {seconds:.1f} s", flush=True)
        results.append((w2, ratio, seconds))
    medians = [statistics.median(column) for column in zip(*results, strict=True)]
    print(
        f"median of {arguments.seeds}: W2 {medians[0]:.4f} (target 0.03), |log std ratio| {medians[1]:.3f}, "
        f"{medians[2]:.1f} s; slowest {max(row[2] for row in results):.1f} s (target 15 s), {arguments.threads} threads"
    )


if __name__ == "__main__":
    main()
