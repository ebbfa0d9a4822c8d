"""A step of training and a draw of prediction against the deterministic network, turn by turn.

    pip install --no-deps bayesian-torch==0.5.0     # for the peers; left out where it is missing
    python benchmarks/speed.py --threads 2

For each network: the median time of a step of Adam (torch's default, the same for all), deterministic and Bayesian, and
the time of one of 100 draws of a prediction against a forward pass without gradient. Each figure is a ratio to the
deterministic network's time in the same round; the spread is that over rounds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi import demo
from yuragi.estimators import ESTIMATORS

DRAWS = 100
Call = Callable[[], object]


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.around: nn.Module = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.around(x))


class Recurrent(nn.Module):
    """An LSTM whose last state is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, time, 32] to [B, 10]."""
        states, _ = self.lstm(x)
        logits: Tensor = self.head(states[:, -1])
        return logits


def wide() -> nn.Module:
    """A perceptron of two million weights."""
    sizes = (512, 1024, 1024)
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(1024, 10))


def resnet20() -> nn.Module:
    """He et al.'s residual network for images of 32 × 32."""
    blocks = [
        Block(inputs if first else outputs, outputs, 2 if first and inputs != outputs else 1)
        for inputs, outputs in ((16, 16), (16, 32), (32, 64))
        for first in (True, False, False)
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Case:
    """A network, its batch, and the rows of a prediction."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int

    def fresh(self) -> nn.Module:
        """The network, the same each time."""
        torch.manual_seed(0)
        return self.make()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step."""
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(1))
        return x, x.sin() if self.shape[1] == 1 else torch.arange(len(x)) % 10

    def new_rows(self) -> Tensor:
        """Inputs of a prediction."""
        return torch.randn((self.rows, *self.shape[1:]), generator=torch.Generator().manual_seed(2))

    @property
    def likelihood(self) -> yu.likelihoods.Likelihood:
        """That of the targets."""
        return yu.Gaussian(0.1) if self.shape[1] == 1 else yu.Categorical()


CASES = {
    "MLP 1-100-100-1, 64": Case(demo.network, (64, 1), 1000),
    "MLP 512-1024-1024-10, 256": Case(wide, (256, 512), 1000),
    "ResNet-20, 32": Case(resnet20, (32, 3, 32, 32), 64),
    "LSTM(32→64), 32×50": Case(Recurrent, (32, 50, 32), 64),
}


def step_of(parameters: Any, loss: Callable[[], Tensor]) -> Call:
    """One step of Adam."""
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def deterministic(case: Case) -> dict[str, Call]:
    """The network as it is."""
    net, (x, y), new = case.fresh(), case.batch(), case.new_rows()
    loss = F.mse_loss if y.is_floating_point() else F.cross_entropy
    predictor = case.fresh().eval()

    def predict() -> None:
        with torch.no_grad():
            predictor(new)

    return {"step": step_of(net.parameters(), lambda: loss(net(x), y)), "draw": predict}


def ours(case: Case, estimator: Any) -> dict[str, Call]:
    """The network made Bayesian by yuragi."""
    (x, y), new = case.batch(), case.new_rows()
    bnn = yu.bayesianize(case.fresh(), likelihood=case.likelihood, estimator=estimator)
    bnn.train()
    predictor = yu.bayesianize(case.fresh(), likelihood=case.likelihood)
    return {
        "step": step_of(bnn.parameters(), lambda: bnn.loss(x, y, num_data=50_000)),
        "draw": lambda: yu.predict(predictor, new, samples=DRAWS),
    }


def bayesian_torch(case: Case, kind: str) -> dict[str, Call]:
    """The network made Bayesian by Bayesian-Torch."""
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss

    parameters = {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0}
    net, predictor = case.fresh(), case.fresh().eval()
    for one in (net, predictor):
        dnn_to_bnn(one, parameters | {"type": kind, "moped_enable": False})
    (x, y), new = case.batch(), case.new_rows()
    loss = F.mse_loss if y.is_floating_point() else F.cross_entropy

    def predict() -> None:
        with torch.no_grad():
            for _ in range(DRAWS):
                predictor(new)

    return {
        "step": step_of(net.parameters(), lambda: loss(net(x), y) + get_kl_loss(net) / 50_000),
        "draw": predict,
    }


def methods() -> dict[str, Callable[[Case], dict[str, Call]]]:
    """What is measured: yuragi's estimators, and the peers that are installed."""
    found: dict[str, Callable[[Case], dict[str, Call]]] = {
        estimator: lambda case, estimator=estimator: ours(case, estimator)  # type: ignore[misc]
        for estimator in ESTIMATORS
    }
    try:
        import bayesian_torch as _  # noqa: F401
    except ModuleNotFoundError:
        return found
    for kind in ("Reparameterization", "Flipout"):
        found[f"Bayesian-Torch {kind}"] = lambda case, kind=kind: bayesian_torch(case, kind)  # type: ignore[misc]
    return found


def seconds(call: Call, repeats: int) -> float:
    """The median time of one call."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measured(case: Case, rounds: int) -> tuple[float, dict[str, dict[str, list[float]]]]:
    """Milliseconds of the deterministic step, and ratios of each method in each round."""
    base = deterministic(case)
    methods_calls = {name: make(case) for name, make in methods().items()}
    for calls in [base, *methods_calls.values()]:  # what the first calls alone do
        seconds(calls["step"], 3)
        seconds(calls["draw"], 1)
    repeats = 20 if seconds(base["step"], 3) < 0.005 else 5
    steps: list[float] = []
    ratios: dict[str, dict[str, list[float]]] = {name: {"step": [], "draw": []} for name in methods_calls}
    for _ in range(rounds):
        steps.append(seconds(base["step"], repeats))
        forward = seconds(base["draw"], repeats)
        for name, calls in methods_calls.items():
            ratios[name]["step"].append(seconds(calls["step"], repeats) / steps[-1])
            ratios[name]["draw"].append(seconds(calls["draw"], 1) / DRAWS / forward)
    return 1000 * statistics.median(steps), ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--out", type=Path, help="a Markdown file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    lines = [
        "| network, batch | deterministic step | method | step / deterministic | draw / forward |",
        "|---|---|---|---|---|",
    ]
    for name in arguments.cases:
        step, ratios = measured(CASES[name], arguments.rounds)
        for method, found in ratios.items():
            columns = [f"{statistics.median(r):.2f} ({min(r):.2f}–{max(r):.2f})" for r in found.values()]
            lines.append(f"| {name} | {step:.2f} ms | {method} | {' | '.join(columns)} |")
            print(lines[-1], flush=True)
    lines.append(f"\nyuragi {yu.__version__}, torch {torch.__version__}, {arguments.threads} threads")
    if arguments.out is not None:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
