"""Regression on the standard UCI splits: log-likelihood, RMSE and coverage of what `yu.fit` finds without tuning.

    python benchmarks/uci.py --data DIR                      # five sets, splits 0-9
    python benchmarks/uci.py --data DIR --gap                # the gap splits of boston and concrete
    python benchmarks/uci.py --data DIR --validation         # inner validation, for choosing settings: no test row is used
    python benchmarks/uci.py --data DIR --methods all --seconds 60 --out uci.md   # every method of yuragi.methods

All methods have the same network (ReLU, 100-100), noise (Gaussian, learned) and time; "all" has the anchored members too.
What could not be run is listed under the table with the reason.

DIR holds bostonHousing.npz, concrete.npz, energy.npz, kin8nm.npz and power-plant.npz with X, y, train_idx, test_idx (of
the standard splits of Hernández-Lobato & Adams, "Probabilistic backpropagation", 2015) and gap_train_idx, gap_test_idx
(Foong et al., "'In-between' uncertainty in Bayesian neural networks", 2019). Targets are standardised with the training part
alone; the log-likelihood is that of the mixture of draws, in nats per row and original units.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import yuragi as yu
from machine import made
from yuragi import methods, metrics
from yuragi.likelihoods import HeteroscedasticStudentT
from yuragi.networks import TabularNetwork
from yuragi.prediction import NumericPrediction
from yuragi.tabular import fit_tabular
from yuragi.tabular.settings import usual_budget

FILES = {
    "boston": "bostonHousing",
    "concrete": "concrete",
    "energy": "energy",
    "kin8nm": "kin8nm",
    "power": "power-plant",
}
TARGETS = {"boston": -2.37, "concrete": -2.82, "energy": -0.52, "kin8nm": 1.30, "power": -2.68}
GAP_TARGETS = {"boston": -2.70, "concrete": -3.46}  # mean-field VI, the better of the two published ones
SECONDS = 60.0  # for each method of "all"
Fitted = tuple[Callable[[Tensor], NumericPrediction], dict[str, float]]


@dataclass(frozen=True)
class Row:
    """One split of one set."""

    method: str
    name: str
    split: int
    log_likelihood: float
    moment_matched: float
    rmse: float
    coverage: float
    smallest_std: float
    seconds: float
    note: dict[str, float]


@dataclass(frozen=True)
class Skipped:
    """A split that a method could not be run on, and why."""

    method: str
    name: str
    split: int
    reason: str


def automatic(x: Tensor, y: Tensor, seed: int, seconds: float | None) -> Fitted:
    """What yuragi recommends for a table, as its estimators and its command line fit it."""
    model = fit_tabular(x, y, "regression", time_budget=seconds, seed=seed)

    def predict(rows: Tensor) -> NumericPrediction:
        prediction = model.predict(rows)
        assert isinstance(prediction, NumericPrediction)
        return prediction

    return predict, _chosen(model.history)


def candidate(x: Tensor, y: Tensor, seed: int, seconds: float | None, index: int) -> Fitted:
    """The same with one candidate only."""
    net = TabularNetwork(x, heteroscedastic=True)
    bnn = yu.bayesianize(
        net,
        prior=net.priors()[index],
        likelihood=HeteroscedasticStudentT(),
        posterior=yu.posteriors.Anchored(),
        members=10,
        seed=seed,
    )
    # a list of one: its scale still gets the factor that held-out rows ask for
    history = yu.fit(bnn, (x, y), kl_weight=[1.0], time_budget=seconds, seed=seed, **usual_budget(len(x)))
    return _predictor(bnn), _chosen(history)


def _chosen(history: yu.History | None) -> dict[str, float]:
    assert history is not None
    selection = history.selection
    assert selection is not None
    layers = selection.chosen.prior.arguments()["layers"]
    note = {name: layer.gain for name, layer in layers.items()} | {"inflation": selection.chosen.inflation}
    return note | {"selection_seconds": selection.seconds}


def anchored(x: Tensor, y: Tensor, seed: int, seconds: float | None) -> Fitted:
    """A plain ReLU network, ten anchored members, learned Gaussian noise; nothing chosen."""
    bnn = yu.bayesianize(_plain(x), posterior=yu.posteriors.Anchored(), members=10, seed=seed)
    yu.fit(bnn, (_standardised(x)(x), y), time_budget=seconds, seed=seed)
    return _predictor(bnn, _standardised(x)), {}


def mean_field(x: Tensor, y: Tensor, seed: int, seconds: float | None) -> Fitted:
    """The same network, a mixture of five mean-field posteriors, kl_weight chosen by held-out rows."""
    bnn = yu.bayesianize(_plain(x), members=5, seed=seed)
    history = yu.fit(bnn, (_standardised(x)(x), y), kl_weight="auto", time_budget=seconds, seed=seed)
    assert history.selection is not None
    return _predictor(bnn, _standardised(x)), {"kl_weight": history.selection.chosen.kl_weight}


def automatic_posterior(x: Tensor, y: Tensor, seed: int, seconds: float | None) -> Fitted:
    """The same network, posterior and kl_weight chosen by held-out rows; the note has every candidate's score."""
    bnn = yu.bayesianize(_plain(x), posterior="auto", seed=seed)
    history = yu.fit(bnn, (_standardised(x)(x), y), kl_weight="auto", time_budget=seconds, seed=seed)
    assert history.selection is not None
    note = {
        f"{type(candidate.posterior).__name__} {candidate.kl_weight:g}": candidate.log_likelihood
        for candidate in history.selection.candidates
    }
    return _predictor(bnn, _standardised(x)), note


def of_yuragi(x: Tensor, y: Tensor, seed: int, seconds: float | None, method: str) -> Fitted:
    """A method of `yuragi.methods` on the same network and noise, with its own default settings."""
    before = _standardised(x)
    result = methods.METHODS[method](_plain(x), (before(x), y), likelihood=yu.Gaussian(), seed=seed, seconds=seconds)

    def predict(rows: Tensor) -> NumericPrediction:
        prediction = result.predict(before(rows))
        assert isinstance(prediction, NumericPrediction)
        return prediction

    return predict, {}


METHODS: dict[str, Callable[[Tensor, Tensor, int, float | None], Fitted]] = {
    "automatic": automatic,
    "anchored": anchored,
    "mean-field": mean_field,
    "automatic-posterior": automatic_posterior,
    **{f"candidate-{i}": partial(candidate, index=i) for i in range(4)},
    **{name: partial(of_yuragi, method=name) for name in methods.METHODS},
}
ALL = ["anchored", *methods.METHODS]


def _plain(x: Tensor) -> nn.Module:
    return nn.Sequential(nn.Linear(x.shape[1], 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1))


def _standardised(x: Tensor) -> Callable[[Tensor], Tensor]:
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    return lambda rows: (rows - mean) / std


def _predictor(
    bnn: yu.Bayesian, before: Callable[[Tensor], Tensor] = lambda rows: rows
) -> Callable[[Tensor], NumericPrediction]:
    def predict(rows: Tensor) -> NumericPrediction:
        prediction = yu.predict(bnn, before(rows))
        assert isinstance(prediction, NumericPrediction)
        return prediction

    return predict


def attempt(method: str, name: str, split: int, *settings: Any) -> Row | Skipped:
    """`evaluate`, or the reason why it could not be: of a night's work one failure shall not lose the rest."""
    try:
        return evaluate(method, name, split, *settings)
    except Exception as error:
        return Skipped(method, name, split, f"{type(error).__name__}: {' '.join(str(error).split())}")


def evaluate(
    method: str,
    name: str,
    split: int,
    data: Path,
    gap: bool,
    validation: bool,
    threads: int,
    seconds: float | None,
) -> Row:
    """Fit on the training part of a split and score the test part, or on four fifths of the former and score the fifth."""
    torch.set_num_threads(threads)
    with np.load(data / f"{FILES[name]}.npz") as file:
        x, y = torch.tensor(file["X"], dtype=torch.float32), torch.tensor(file["y"], dtype=torch.float64).reshape(-1, 1)
        prefix = "gap_" if gap else ""
        train, test = (torch.as_tensor(file[f"{prefix}{part}_idx"][split].astype(int)) for part in ("train", "test"))
    if validation:  # the published protocol: the last fifth of the training part, in its order
        cut = int(len(train) * 0.8)
        train, test = train[:cut], train[cut:]
    mean, std = y[train].mean(), y[train].std(correction=0)
    torch.manual_seed(split)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", yu.ConvergenceWarning)  # the budget is a fixed one
        predict, note = METHODS[method](x[train], ((y[train] - mean) / std).float(), split, seconds)
    p = predict(x[test])
    took = time.perf_counter() - start
    p = p.rescaled(mean, std)  # type: ignore[attr-defined]
    low, high = p.interval(0.9)
    moment_matched = metrics.moment_matched_log_prob(p.samples, p.draw_std.expand_as(p.samples), y[test])
    return Row(
        method,
        name,
        split,
        float(p.log_prob(y[test]).mean()),
        float(moment_matched.mean()),
        metrics.rmse(p.mean, y[test]),
        metrics.interval_coverage(low, high, y[test]),
        float(p.std.min() / std),
        took,
        note,
    )


def table(rows: list[Row], targets: dict[str, float]) -> Iterator[str]:
    """The results as a Markdown table: means over splits, with standard errors."""
    heads = ["set", "method", "splits", "log-likelihood", "target", "moment-matched", "RMSE", "90 % coverage"]
    heads += ["smallest std / std(y)", "s/split: median, most"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for name, method in dict.fromkeys((row.name, row.method) for row in rows):
        own = [row for row in rows if (row.name, row.method) == (name, method)]

        def column(field: str, own: list[Row] = own) -> list[float]:
            return [getattr(row, field) for row in own]

        def mean(field: str) -> str:
            values = column(field)
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            return f"{statistics.mean(values):.3f} ± {error:.3f}"

        seconds = column("seconds")
        yield (
            f"| {name} | {method} | {len(own)} | {mean('log_likelihood')} | {targets.get(name, float('nan')):.2f} | "
            f"{mean('moment_matched')} | {mean('rmse')} | {statistics.mean(column('coverage')):.3f} | "
            f"{min(column('smallest_std')):.4f} | {statistics.median(seconds):.0f}, {max(seconds):.0f} |"
        )


def left_out(skipped: list[Skipped]) -> Iterator[str]:
    """What could not be run, as a Markdown list: each reason once, with its splits."""
    for name, method, reason in dict.fromkeys((one.name, one.method, one.reason) for one in skipped):
        splits = [one.split for one in skipped if (one.name, one.method, one.reason) == (name, method, reason)]
        yield f"- {method} on {name}, splits {', '.join(map(str, splits))}, left out: {reason}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--methods", nargs="+", choices=["all", *METHODS], default=["automatic"])
    parser.add_argument(
        "--seconds", type=float, help=f"for each fit; default: as long as it takes, or {SECONDS:g} with all"
    )
    parser.add_argument("--splits", type=int, nargs="+", default=None, help="default: 0-9, or all gap splits")
    parser.add_argument("--gap", action="store_true")
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="splits run at once")
    parser.add_argument("--threads", type=int, default=2, help="threads of each")
    parser.add_argument("--out", type=Path, help="a Markdown file for the table; the rows go beside it as JSON lines")
    arguments = parser.parse_args(argv)
    seconds = SECONDS if arguments.seconds is None and "all" in arguments.methods else arguments.seconds
    chosen = dict.fromkeys(one for given in arguments.methods for one in (ALL if given == "all" else [given]))
    work = []
    for name in arguments.sets:
        with np.load(arguments.data / f"{FILES[name]}.npz") as file:
            if arguments.gap and "gap_train_idx" not in file:
                continue
            splits = arguments.splits or range(len(file["gap_train_idx"]) if arguments.gap else 10)
        work += [(method, name, split) for method in chosen for split in splits]
    rows: list[Row] = []
    skipped: list[Skipped] = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        settings = (arguments.data, arguments.gap, arguments.validation, arguments.threads, seconds)
        for future in [pool.submit(attempt, *job, *settings) for job in work]:
            row = future.result()
            if isinstance(row, Skipped):
                skipped.append(row)
            else:
                rows.append(row)
            print(json.dumps(asdict(row)), flush=True)
            if arguments.out:
                with arguments.out.with_suffix(".jsonl").open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    budget = "as long as it takes" if seconds is None else f"{seconds:g} seconds a fit"
    lines = ["\n".join(table(rows, GAP_TARGETS if arguments.gap else TARGETS))] if rows else []
    lines += ["\n".join(left_out(skipped))] if skipped else []
    text = "\n\n".join([*lines, f"{budget}; {made(arguments.threads, arguments.jobs)}"])
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
