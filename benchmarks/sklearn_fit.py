"""How long a default fit of scikit-learn's estimators takes, and how good it is, on made-up tables of ten columns.

    python benchmarks/sklearn_fit.py                         # 1,000 and 20,000 rows, three seeds each

A regression with five informative columns and a noise that depends on one of them (after Friedman, "Multivariate adaptive
regression splines", 1991), and a classification whose three classes overlap. Scored on 2,000 further rows: R² and the share
of them inside the 90 % intervals, or accuracy and mean log-likelihood in nats beside those of the true probabilities.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from yuragi.sklearn import BayesianClassifier, BayesianRegressor

TARGETS = {1_000: 15.0, 20_000: 120.0}
COLUMNS, TEST_ROWS = 10, 2_000
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """Seconds of one fit, and its two scores."""

    seconds: float
    scores: tuple[float, float]


def regression(rows: int, seed: int) -> tuple[Array, Array]:
    """Inputs [N, 10] and targets [N]."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(rows, COLUMNS))
    clean = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, clean + (0.5 + x[:, 3]) * rng.normal(size=rows)


def classification(rows: int, seed: int) -> tuple[Array, Array, Array]:
    """Inputs [N, 10], labels [N], and the probabilities [N, 3] that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    logits = 2 * np.stack([np.sin(2 * x[:, 0]) + x[:, 1], x[:, 2] * x[:, 3], np.abs(x[:, 4]) - x[:, 1]], 1)
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    label = (probs.cumsum(1) < rng.uniform(size=(rows, 1))).sum(1)
    return x, np.array(["low", "middle", "high"])[label], probs


def fit_regressor(rows: int, seed: int, **settings: Any) -> Measured:
    """R², and the share of the targets inside the 90 % intervals."""
    x, y = regression(rows, seed)
    model, seconds = _timed(BayesianRegressor(random_state=seed, **settings), x, y)
    fresh, target = regression(TEST_ROWS, 1_000 + seed)
    lower, upper = model.predict_interval(fresh, 0.9)
    return Measured(seconds, (model.score(fresh, target), float(((lower <= target) & (target <= upper)).mean())))


def fit_classifier(rows: int, seed: int, **settings: Any) -> Measured:
    """Accuracy, and what the log-likelihood is below that of the true probabilities, nats a row."""
    x, y, _ = classification(rows, seed)
    model, seconds = _timed(BayesianClassifier(random_state=seed, **settings), x, y)
    fresh, label, true = classification(TEST_ROWS, 1_000 + seed)
    row, names = np.arange(TEST_ROWS), ["low", "middle", "high"]
    best = np.log(true[row, [names.index(one) for one in label]]).mean()
    found = np.log(model.predict_proba(fresh)[row, np.searchsorted(model.classes_, label)]).mean()
    return Measured(seconds, (model.score(fresh, label), float(best - found)))


def table(rows: list[int], seeds: int, **settings: Any) -> str:
    """All fits as a Markdown table."""
    lines = [
        f"Default fits of {COLUMNS} columns, {torch.get_num_threads()} threads, torch {torch.__version__}, {seeds} seeds:",
        "",
        "| estimator | rows | seconds: median, most | target | scores (medians) |",
        "|---|---|---|---|---|",
    ]
    kinds = {
        "BayesianRegressor": (fit_regressor, "R² {:.3f}, 90 % intervals hold {:.3f}"),
        "BayesianClassifier": (fit_classifier, "accuracy {:.3f}, log-likelihood {:.3f} below the truth's"),
    }
    for count in rows:
        for name, (fit, scores) in kinds.items():
            measured = [fit(count, seed, **settings) for seed in range(seeds)]
            seconds = [one.seconds for one in measured]
            target = f"{TARGETS[count]:.0f}" if count in TARGETS else ""
            medians = [statistics.median(values) for values in zip(*(one.scores for one in measured), strict=True)]
            lines.append(
                f"| {name} | {count:,} | {statistics.median(seconds):.1f}, {max(seconds):.1f} | {target} | "
                f"{scores.format(*medians)} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("\n" + table(arguments.rows, arguments.seeds))


def _timed(model: Any, x: Array, y: Array) -> tuple[Any, float]:
    start = time.perf_counter()
    model.fit(x, y)
    return model, time.perf_counter() - start


if __name__ == "__main__":
    main()
