"""What a network of 25 million parameters costs to make Bayesian: seconds to convert, and memory to train.

    python benchmarks/memory.py

Each measurement is a process of its own: peak resident memory beyond that after the imports, over three steps at batch 1,
with Adam. Deterministic training keeps four tensors a weight (the weight, its gradient and Adam's two moments) and
mean-field training eight, so the ratio cannot be much below 2 where the activations are small.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi.estimators import ESTIMATORS

TARGET_RATIO, TARGET_SECONDS = 2.5, 1.0


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (He et al. 2015)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 4·width, H/stride, W/stride]."""
        return F.relu(self.body(x) + self.shortcut(x))


def resnet50() -> tuple[nn.Module, Tensor]:
    """The network, 25.6 million parameters, and an image."""
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    ]
    inputs = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, stride if block == 0 else 1))
            inputs = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    # in evaluation mode, since batch normalisation cannot train on one image where the map has shrunk to a pixel
    return nn.Sequential(*layers).eval(), torch.randn(1, 3, 64, 64)


def mlp() -> tuple[nn.Module, Tensor]:
    """A network of three layers, 25.0 million parameters, and an input."""
    sizes = (1000, 4000, 4000, 1250)
    return nn.Sequential(
        *(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2]), nn.ReLU()),
        nn.Linear(sizes[2], sizes[3]),
    ), torch.randn(1, 1000)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {"ResNet-50": resnet50, "MLP": mlp}


def peak() -> float:
    """Peak resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure(network: str, how: str) -> None:
    """In a process of its own: print MB beyond the imports, and seconds to convert."""
    torch.manual_seed(0)
    before = peak()
    net, x = NETWORKS[network]()
    y = torch.zeros(1, dtype=torch.int64)
    seconds = 0.0
    if how == "deterministic":
        parameters = list(net.parameters())

        def loss() -> Tensor:
            return F.cross_entropy(net(x), y)
    else:
        start = time.perf_counter()
        bnn = yu.bayesianize(net, likelihood=yu.Categorical(), estimator=how)  # type: ignore[arg-type]
        seconds = time.perf_counter() - start
        parameters = list(bnn.parameters())

        def loss() -> Tensor:
            return bnn.loss(x, y, num_data=1000)

    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)  # as `fit` has it
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    print(peak() - before, seconds)


def measured(network: str, how: str, threads: int) -> tuple[float, float]:
    """The same, from here."""
    command = [sys.executable, __file__, "--threads", str(threads), "--measure", network, how]
    megabytes, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(megabytes), float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", nargs=2, metavar=("NETWORK", "HOW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.measure:
        measure(*arguments.measure)
        return
    print(f"{'network':10} {'training':14} {'peak MB':>8} {'ratio':>6} {'convert s':>10}")
    for network in NETWORKS:
        base, _ = measured(network, "deterministic", arguments.threads)
        print(f"{network:10} {'deterministic':14} {base:8.0f}", flush=True)
        times = []
        for estimator in ESTIMATORS:
            megabytes, seconds = measured(network, estimator, arguments.threads)
            times.append(seconds)
            print(f"{network:10} {estimator:14} {megabytes:8.0f} {megabytes / base:6.2f} {seconds:10.2f}", flush=True)
        print(
            f"{network:10} {'':14} {'':8} (at most {TARGET_RATIO}) {statistics.median(times):.2f} (under {TARGET_SECONDS})"
        )


if __name__ == "__main__":
    main()
