"""What the tests of several processes train, alone and together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import yuragi as yu
from yuragi.member_fits import fit_members
from yuragi.ranks import Ranks

Scenario = dict[str, Any]


def data(rows: int = 23) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 3, generator=generator)
    return x, x[:, :1].sin() + 0.1 * torch.randn(rows, 1, generator=generator)


def anchored(seed: int = 0) -> yu.Bayesian:
    """Members without noise of their own: their gradients are the same however rows are divided."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    posterior = yu.posteriors.Anchored(seed=seed)
    return yu.bayesianize(net, likelihood=yu.Gaussian(), posterior=posterior, members=3, seed=seed)


def mean_field(posterior: yu.posteriors.MeanField) -> yu.Bayesian:
    """Two members with noise."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    return yu.bayesianize(net, likelihood=yu.Gaussian(0.1), posterior=posterior, members=2, seed=0)


class Masked(nn.Module):
    """The identity, and a buffer as attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        return x


def normalised() -> yu.Bayesian:
    """The running mean of its first layer depends on the data alone."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(3), Masked(), nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
    return yu.bayesianize(net, likelihood=yu.Gaussian(0.1), posterior=yu.posteriors.Anchored(0), members=1, seed=0)


def fails_on_a_row(output: Tensor, y: Tensor) -> Tensor:
    """A penalty that is NaN for whoever has the row 5."""
    return torch.where((y == data()[1][5]).any(), torch.nan, 0.0)


# Each: network, data, arguments of fit. 23 rows in batches of 8 end with one of 7, and in batches of 11 with one of a single
# row, which one process has and the others do not.
def scenarios() -> dict[str, tuple[yu.Bayesian, Any, Scenario]]:
    """Those in which as many processes as one likes find what one alone finds, or nearly so."""
    x, y = data()
    loader = DataLoader(TensorDataset(x, y), batch_size=11, shuffle=True, generator=torch.Generator().manual_seed(5))
    weights = torch.linspace(0.5, 2, len(y))
    almost_points = yu.posteriors.MeanField(init_scale=1e-6)
    return {
        "uneven": (anchored(), (x, y), {"batch_size": 8, "epochs": 6}),
        "single row": (anchored(), (x, y), {"batch_size": 11, "epochs": 6}),
        "whole": (anchored(), (x, y), {"epochs": 12, "sample_weight": weights}),
        "loader": (anchored(), loader, {"epochs": 4}),
        "dataset": (anchored(), TensorDataset(x, y), {"batch_size": 11, "epochs": 4}),
        "gradient": (
            mean_field(almost_points),
            (x, y),
            {"batch_size": 8, "epochs": 1, "optimizer": sgd, "kl_weight": 0.5},
        ),
        "validated": (anchored(), (x, y), {"batch_size": 8, "epochs": 6, "validation": data(7)}),
        "left out": (anchored(), (x, y), {"batch_size": 8, "epochs": 4, "penalty": fails_on_a_row}),
        "mean field": (mean_field(yu.posteriors.MeanField()), (x, y), {"batch_size": 8, "epochs": 4}),
        "normalised": (normalised(), (x, y), {"batch_size": 12, "epochs": 4}),
    }


def mixtures() -> dict[str, yu.Bayesian]:
    """Those whose members are trained apart."""

    def mixture(posterior: yu.posteriors.Posterior) -> yu.Bayesian:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
        return yu.bayesianize(net, likelihood=yu.Gaussian(members=4), posterior=posterior, members=4, seed=0)

    return {"apart": mixture(yu.posteriors.MeanField()), "anchored apart": mixture(yu.posteriors.Anchored(0))}


def sgd(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.01)


def result(bnn: yu.Bayesian, history: yu.History) -> Scenario:
    found = {name: value.detach().clone() for name, value in bnn.state_dict().items()}
    return {
        "state": found,
        "loss": history.loss,
        "log_likelihood": history.log_likelihood,
        "kl": history.kl,
        "validation": history.validation,
        "seeds": history.settings.get("seeds"),
        "steps": history.steps,
        "skipped": history.skipped,
        "stopped": history.stopped,
    }


def run(fabric: Any, folder: str) -> None:
    """In each process: all of them, and what is of several processes alone."""
    torch.set_num_threads(1)
    rank = fabric.global_rank
    found: dict[str, Any] = {}
    for name, (bnn, rows, arguments) in scenarios().items():
        found[name] = result(bnn, yu.fit(bnn, rows, fabric=fabric, seed=3, **arguments))

    x, y = data()
    own = {"fabric": fabric, "epochs": 6, "batch_size": 8}
    # a start of its own in each process, and no seed
    torch.manual_seed(rank)
    bnn = anchored(rank)
    found["own start"] = result(bnn, yu.fit(bnn, (x, y), **own))

    # only the first process wants to stop
    bnn = anchored()
    stop = [lambda epoch: rank == 0 and epoch.epoch == 2]
    found["callback"] = result(bnn, yu.fit(bnn, (x, y), callbacks=stop, seed=3, **own))
    bnn = anchored()
    found["progress"] = result(bnn, yu.fit(bnn, (x, y), progress=lambda done: rank == 0 and done > 0.5, seed=3, **own))
    # clocks differ, and all follow the first one's
    bnn = anchored()
    budget = own | {"epochs": 100_000, "time_budget": 0.3}
    found["time"] = result(bnn, yu.fit(bnn, (x, y), seed=3, **budget))

    bnn = mean_field(yu.posteriors.MeanField())
    found["chosen"] = result(bnn, history := yu.fit(bnn, (x, y), kl_weight=[1.0, 0.1], seed=3, **own))
    assert history.selection is not None
    found["chosen"]["scores"] = [candidate.log_likelihood for candidate in history.selection.candidates]

    # cut off in the middle, and gone on with; each process names a folder of its own
    kept = own | {"checkpoint": f"{folder}/checkpoints-{fabric.world_size}-{rank}", "every": 0, "seed": 3}
    with contextlib.suppress(Cut):
        yu.fit(mean_field(yu.posteriors.MeanField()), (x, y), callbacks=[cut], **kept)
    bnn = mean_field(yu.posteriors.MeanField())
    found["resumed"] = result(bnn, yu.fit(bnn, (x, y), resume=True, **kept))
    bnn = mean_field(yu.posteriors.MeanField())
    found["at once"] = result(bnn, yu.fit(bnn, (x, y), **own, seed=3))

    # one too large to be sent with others, one that is not contiguous, and integers
    tensors = [torch.full((2**20,), 1.0 + rank), torch.full((2, 3), 1.0 + rank).T, torch.tensor([rank, 1])]
    Ranks.of(fabric).add_up(tensors)
    found["sums"] = {"state": dict(zip("abc", (tensor.clone() for tensor in tensors), strict=True))}

    for name, bnn in mixtures().items():
        histories = fit_members(bnn, (x, y), seed=3, fabric=fabric, epochs=6, batch_size=12)
        found[name] = result(bnn, histories[-1])

    found["refused"] = {"checkpoints": refusal(lambda: yu.fit(anchored(), (x, y), **kept))}
    found["refused"]["no seed"] = refusal(lambda: yu.fit(anchored(), (x, y), **kept | {"seed": None}))
    found["refused"]["rows"] = refusal(lambda: yu.fit(anchored(), (x[rank:], y[rank:]), **own))
    found["refused"]["member"] = refusal(lambda: fit_members(mixtures()["apart"], (x[:, :2], y), seed=3, fabric=fabric))
    torch.save(found, f"{folder}/{fabric.world_size}-{rank}.pt")


class Cut(Exception):
    """The end of a fit before its time."""


def cut(epoch: yu.Epoch) -> None:
    """Raise it."""
    if epoch.epoch == 4:
        raise Cut


def refusal(call: Callable[[], Any]) -> str:
    """The message of the error that a call ends with."""
    try:
        call()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""
