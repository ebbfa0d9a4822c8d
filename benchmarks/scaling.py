"""How the cost grows with parameters, draws, members and rows.

    python benchmarks/scaling.py --out scaling.md           # a Markdown table, and scaling.png beside it
    python benchmarks/scaling.py --parameters 1e8           # one step at a hundred million parameters, and its memory

Each figure is the least of several times; each number of parameters has a process of its own, for its peak memory. The
model is a fixed cost and one for each more: it goes through the smallest size and the one before the largest, and its last
column says what it foretells of the largest size relative to what was measured there.
"""

from __future__ import annotations

import argparse
import datetime
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn

import yuragi as yu
from yuragi import demo

PARAMETERS = (1e4, 1e5, 1e6, 1e7, 1e8)
SIZES = {"draws": (25, 50, 100, 200, 400), "members": (1, 2, 4, 8, 16, 32), "rows": (1_000, 4_000, 16_000, 64_000)}
_OPEN = ExitStack()  # contexts that last as long as the process
Curve = list[tuple[float, float]]  # size, seconds


def least(call: Callable[[], object], repeats: int) -> float:
    """The least time of a call, seconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def step_of(bnn: yu.Bayesian, x: torch.Tensor, y: torch.Tensor) -> Callable[[], object]:
    """One step of Adam, with the noise of `fit`."""
    _OPEN.enter_context(bnn.keeping_noise())
    optimizer = torch.optim.Adam(bnn.parameters(), lr=1e-3, fused=True)
    bnn.train()

    def step() -> None:
        optimizer.zero_grad()
        bnn.loss(x, y, num_data=50_000).backward()
        optimizer.step()

    return step


def by_parameters(count: float, repeats: int) -> tuple[float, float]:
    """Seconds of a step of a square network of about so many parameters, and peak memory, GiB."""
    width = round(math.sqrt(count / 2))
    net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1))
    x = torch.randn(32, width)
    seconds = least(step_of(bnn, x, x.sin()), repeats)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_a_process(count: float, threads: int) -> tuple[float, float]:
    """As `by_parameters`, in a process of its own, whose peak memory is that of this network alone."""
    command = [sys.executable, __file__, "--one", str(count), "--threads", str(threads)]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def predictions(kind: str) -> Curve:
    """Seconds of a prediction by draws or rows."""
    bnn, curve = yu.bayesianize(demo.network(), likelihood=yu.Gaussian(0.1)), []
    for size in SIZES[kind]:
        draws, rows = (size, 1_000) if kind == "draws" else (50, size)
        x = torch.randn(rows, 1)
        curve.append((float(size), least(lambda x=x, draws=draws: yu.predict(bnn, x, samples=draws), 5)))  # type: ignore[misc]
    return curve


def members() -> Curve:
    """Seconds of a step by members, batch 64."""
    x, curve = torch.randn(64, 1), []
    for count in SIZES["members"]:
        bnn = yu.bayesianize(demo.network(), likelihood=yu.Gaussian(0.1), members=count, seed=0)
        curve.append((float(count), least(step_of(bnn, x, x.sin()), 30)))
    return curve


def model(curve: Curve) -> tuple[float, float]:
    """Fixed cost and cost of each more, through the smallest size and the one before the largest."""
    (a, s), (b, t) = curve[0], curve[-2]
    each = (t - s) / (b - a)
    return s - each * a, each


def foretold(curve: Curve) -> float:
    """What the model says of the largest size, relative to what was measured."""
    fixed, each = model(curve)
    size, cost = curve[-1]
    return (fixed + each * size) / cost


def report(curves: dict[str, Curve], memory: Sequence[tuple[float, float]], threads: int) -> str:
    """All curves as a Markdown table."""
    lines = [
        "| what grows | size: milliseconds | fixed, ms | each more, µs | foretold / measured |",
        "|---|---|---|---|---|",
    ]
    for name, curve in curves.items():
        cells = ", ".join(f"{size:,.0f}: {1e3 * seconds:.3g}" for size, seconds in curve)
        fixed, each = model(curve)
        lines.append(f"| {name} | {cells} | {1e3 * fixed:.2g} | {1e6 * each:.2g} | {foretold(curve):.2f} |")
    cells = ", ".join(f"{count:.0e}: {peak:.2f}" for count, peak in memory)
    fixed, each = model(list(memory))
    lines += ["", f"Peak memory of a step by parameters, GiB: {cells}; {each * 2**30:.0f} bytes each, "]
    lines[-1] += f"{fixed:.2f} GiB fixed, foretold / measured {foretold(list(memory)):.2f}."
    lines += ["", f"yuragi {yu.__version__}, torch {torch.__version__}, {threads} threads, {datetime.date.today()}."]
    return "\n".join(lines)


def plot(curves: dict[str, Curve], path: Path) -> None:
    """Seconds against size, both logarithmic, with a line of slope 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.5), layout="constrained")
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        sizes, seconds = zip(*curve, strict=True)
        axis.loglog(sizes, seconds, "o-", label="measured")
        axis.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], ":", color="grey", label="linear")
        axis.set(xlabel=name, ylabel="seconds")
        axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axis.set_xticks([], minor=True)
        axis.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, nargs="+", default=list(PARAMETERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="a Markdown file; the picture goes beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.one is not None:
        print(*by_parameters(arguments.one, 3))
        return
    found = [(count, *in_a_process(count, arguments.threads)) for count in arguments.parameters]
    curves: dict[str, Curve] = {"parameters (a step)": [(count, seconds) for count, seconds, _ in found]}
    if len(found) < 3:
        print(f"{found[-1][0]:.0e} parameters: {found[-1][1]:.2f} s a step, {found[-1][2]:.1f} GiB at the peak")
        return
    curves |= {"members (a step)": members(), "draws": predictions("draws"), "rows": predictions("rows")}
    text = report(curves, [(count, peak) for count, _, peak in found], arguments.threads)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
        plot(curves, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
