"""The article's job (fit as in the article, 100 draws) on yuragi and on Bayesian-Torch, turn by turn.

    pip install --no-deps bayesian-torch==0.5.0
    python benchmarks/article.py

Bayesian-Torch runs the article's own script; so does a deterministic network, for scale. Three columns for yuragi: the
demo's fit, and the article's script with its one import line changed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from yuragi import demo
from yuragi.compat import bayesian_torch as compat

PARAMETERS = {
    "prior_mu": 0.0,
    "prior_sigma": 1.0,
    "posterior_mu_init": 0.0,
    "posterior_rho_init": -3.0,
    "type": "Flipout",
    "moped_enable": False,
}


class Net(nn.Module):
    """The article's network."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(1, 100), nn.Linear(100, 100), nn.Linear(100, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 1] to [N, 1]."""
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))  # type: ignore[no-any-return]


def script(convert: Callable[[nn.Module, Any], None] | None, kl: Callable[[nn.Module], Any], epochs: int) -> None:
    """The article's script; without `convert`, the deterministic network."""
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(*demo.data()), batch_size=64, shuffle=True)
    model = Net()
    if convert is not None:
        convert(model, PARAMETERS)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets)
            if convert is not None:
                loss = loss + 1e-4 * kl(model) / 64
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    x = torch.linspace(-4, 4, 100).reshape(-1, 1)
    with torch.no_grad():
        torch.stack([model(x) for _ in range(100)]).std(0)


def ours(epochs: int) -> None:
    """The same job as `yuragi demo --article-only` does it."""
    bnn = demo.fit_as_in_the_article(*demo.data(), epochs=epochs)
    _ = demo.predict_grid(bnn).std


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1000, help="1,000 in the article")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from bayesian_torch.models import dnn_to_bnn as peer

    jobs: dict[str, Callable[[], None]] = {
        "Bayesian-Torch 0.5.0": lambda: script(peer.dnn_to_bnn, peer.get_kl_loss, arguments.epochs),
        "yuragi (demo)": lambda: ours(arguments.epochs),
        "yuragi (one import changed)": lambda: script(compat.dnn_to_bnn, compat.get_kl_loss, arguments.epochs),
        "deterministic": lambda: script(None, lambda _: None, arguments.epochs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(arguments.rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["Bayesian-Torch 0.5.0"])
    print(f"{arguments.threads} threads, {arguments.epochs} epochs, medians of {arguments.rounds} rounds")
    for name, times in seconds.items():
        print(f"{name:30} {statistics.median(times):6.2f} s   ratio {statistics.median(times) / base:.2f}")
    print("target: yuragi at most 0.50 of Bayesian-Torch")


if __name__ == "__main__":
    main()
