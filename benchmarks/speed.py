"""A step of training and a draw of prediction against the deterministic network, turn by turn; and peak memory.

    python benchmarks/speed.py --threads 2 --out speed.md       # with peers, see benchmarks/peers.py

For each network: the median time of a step of Adam (torch's default, the same for all), deterministic and Bayesian, and
the time of one of 100 draws of a prediction against a forward pass without gradient. Each figure is a ratio to the
deterministic network's time in the same round; the spread is that over rounds. Memory is measured in a process of its own
for each method: the peak of three steps and a prediction beyond that after the imports, also as a ratio.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

import yuragi as yu
from networks import CASES, Case
from peers import NUM_DATA, PEERS, Call, Calls, Unsupported, step_of
from yuragi.estimators import ESTIMATORS

DRAWS = 100
DETERMINISTIC = "deterministic"
_OPEN = ExitStack()  # contexts that last as long as the process


def deterministic(case: Case) -> Calls:
    """The network as it is."""
    net, (x, y), new = case.fresh(), case.batch(), case.new_rows()
    predictor = case.fresh().eval()

    def predict() -> None:
        with torch.no_grad():
            predictor(new)

    return Calls(step_of(net.parameters(), lambda: case.loss(net(x), y)), predict, 1)


def ours(estimator: Any) -> Callable[[Case], Calls]:
    """The network made Bayesian by yuragi; its steps are those of `fit`."""

    def make(case: Case) -> Calls:
        (x, y), new = case.batch(), case.new_rows()
        bnn = yu.bayesianize(case.fresh(), likelihood=case.likelihood, estimator=estimator)
        bnn.train()
        _OPEN.enter_context(bnn.keeping_noise())  # as `fit` does
        predictor = yu.bayesianize(case.fresh(), likelihood=case.likelihood)
        step = step_of(bnn.parameters(), lambda: bnn.loss(x, y, num_data=NUM_DATA))
        return Calls(step, lambda: yu.predict(predictor, new, samples=DRAWS), DRAWS)

    return make


METHODS: dict[str, Callable[[Case], Calls]] = {
    DETERMINISTIC: deterministic,
    **{estimator: ours(estimator) for estimator in ESTIMATORS},
    **PEERS,
}


def made(name: str, case: Case) -> Calls | str:
    """A method's calls, after their first run, or why there are none."""
    try:
        calls = METHODS[name](case)
        seconds(calls.step, 3)
        seconds(calls.predict, 1)
    except Unsupported as error:
        return str(error)
    except ImportError:
        return "not installed"
    except Exception as error:  # a peer that fails is no reason to lose the others' figures
        if name not in PEERS:
            raise
        return f"fails: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
    return calls


def seconds(call: Call, repeats: int) -> float:
    """The median time of one call."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def times(methods: dict[str, Calls], rounds: int) -> tuple[float, dict[str, dict[str, list[float]]]]:
    """Milliseconds of the deterministic step, and ratios of each method in each round."""
    base = methods[DETERMINISTIC]
    repeats = 20 if seconds(base.step, 3) < 0.005 else 5
    steps: list[float] = []
    ratios: dict[str, dict[str, list[float]]] = {name: {"step": [], "draw": []} for name in methods}
    for _ in range(rounds):
        steps.append(seconds(base.step, repeats))
        forward = seconds(base.predict, repeats)
        for name, calls in methods.items():
            if calls is not base:
                ratios[name]["step"].append(seconds(calls.step, repeats) / steps[-1])
                times_drawn = 1 if calls.draws > 1 else repeats
                ratios[name]["draw"].append(seconds(calls.predict, times_drawn) / calls.draws / forward)
    return 1000 * statistics.median(steps), ratios


def megabytes(name: str, case: str, threads: int) -> float:
    """Peak memory of a method beyond that after its imports, in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--memory-of", name, case]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_memory(name: str, case: Case) -> None:
    """In that process: print it."""
    made(name, CASES["MLP 1-100-100-1, 64"])  # imports, and what the first calls load
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls = METHODS[name](case)
    seconds(calls.step, 3)
    seconds(calls.predict, 1)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS)[1:], choices=list(METHODS)[1:])
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument("--out", type=Path, help="a Markdown file")
    parser.add_argument("--memory-of", nargs=2, metavar=("METHOD", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    if arguments.memory_of:
        print_memory(arguments.memory_of[0], CASES[arguments.memory_of[1]])
        return
    heads = ["network, batch", "method", "step / deterministic", "draw / forward"] + ["peak MB"] * arguments.memory
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]

    def add(*cells: str) -> None:
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)

    for name in arguments.cases:
        case = CASES[name]
        found = {method: made(method, case) for method in (DETERMINISTIC, *arguments.methods)}
        running = {method: calls for method, calls in found.items() if isinstance(calls, Calls)}
        step, ratios = times(running, arguments.rounds)
        for method, calls in found.items():
            if isinstance(calls, str):
                cells = [calls, ""]
            elif method == DETERMINISTIC:
                cells = [f"{step:.2f} ms", ""]
            else:
                cells = [f"{statistics.median(r):.2f} ({min(r):.2f}–{max(r):.2f})" for r in ratios[method].values()]
            if arguments.memory:
                cells.append("" if isinstance(calls, str) else f"{megabytes(method, name, arguments.threads):.0f}")
            add(name, method, *cells)
    lines.append(
        f"\n{datetime.date.today()}, yuragi {yu.__version__}, torch {torch.__version__}, {arguments.threads} threads, "
        f"{arguments.rounds} rounds, {platform.machine()}"
    )
    if arguments.out is not None:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
