"""`yuragi demo --all`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from yuragi import demo as experiment
from yuragi import demo_methods
from yuragi.cli import console
from yuragi.cli.pictures import picture_bytes
from yuragi.cli.progress import bar
from yuragi.demo_methods import Outcome
from yuragi.files import write_atomically
from yuragi.predictions import NumericPrediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

_COLUMNS = 4  # of pictures
_EXACT = "#D55E00"


def show(x: Tensor, y: Tensor, seconds: float | None, seed: int, out: Path, kind: str, as_json: bool) -> None:
    """Run every method, write the picture, and print the table or the JSON document."""
    with bar("every method", quiet=as_json) as done:
        outcomes = demo_methods.run_every_method(
            x, y, seconds=demo_methods.SECONDS if seconds is None else seconds, seed=seed, progress=done
        )
    write_atomically(out, _picture(outcomes, kind))
    if as_json:
        console.say_json({"output": str(out), "methods": [_described(outcome) for outcome in outcomes]})
        return
    _print(outcomes)
    console.say(f"wrote {out}")


def _described(outcome: Outcome) -> dict[str, Any]:
    described: dict[str, Any] = {"method": outcome.method}
    if outcome.prediction is None:
        return described | {"left_out": outcome.said}
    return described | {
        "seconds": outcome.seconds,
        "regions": [asdict(region) for region in experiment.regions(outcome.prediction)],
        "distance": demo_methods.distance(outcome.prediction),
        "said": outcome.said,
        "warned": list(outcome.warned),
    }


def _print(outcomes: Sequence[Outcome]) -> None:
    table = Table("method", "s", "std, data", "gap", "edges", "RMSE, data", "distance")
    table.columns[0].no_wrap = True
    table.add_row("exact", "", *_numbers(demo_methods.exact()), end_section=True)
    for outcome in outcomes:
        if outcome.prediction is None:
            table.add_row(outcome.method, "", "left out")
        else:
            table.add_row(outcome.method, f"{outcome.seconds:.1f}", *_numbers(outcome.prediction))
    console.results.print(table)
    console.say(
        f"std: of a new y, whose noise of {experiment.NOISE:g} is known, at the data (1 ≤ |x| ≤ 4), in the gap between them "
        "and beyond their ends. distance: of f from the exact posterior of this network, where |x| ≤ 4."
    )
    for outcome in outcomes:
        if outcome.prediction is None:
            console.note(f"{outcome.method} was left out: {outcome.said}")
        for warned in outcome.warned:
            console.note(f"{outcome.method}: {warned}")


def _numbers(prediction: NumericPrediction) -> list[str]:
    regions, away = experiment.regions(prediction), demo_methods.distance(prediction)
    stds = [f"{region.std:.3f}" for region in regions]
    return [*stds, f"{regions[0].rmse:.3f}", "–" if away is None else f"{away:.3f}"]


def _picture(outcomes: Sequence[Outcome], kind: str) -> bytes:
    from matplotlib.figure import Figure

    rows = -(-len(outcomes) // _COLUMNS)
    figure = Figure(figsize=(3.4 * _COLUMNS, 2.7 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for ax, outcome in zip(axes.flat, outcomes, strict=False):
        _draw(ax, outcome)
    for ax in axes.flat[len(outcomes) :]:
        ax.set_axis_off()
    handles = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), fontsize="small")
    return picture_bytes(figure, kind, dpi=75)


def _draw(ax: Axes, outcome: Outcome) -> None:
    from yuragi import plotting

    grid = experiment.grid()
    at = grid[:, 0].numpy()
    if outcome.prediction is None:
        ax.set_title(f"{outcome.method}: left out", fontsize="medium")
        return
    away = demo_methods.distance(outcome.prediction)
    ax.set_title(outcome.method if away is None else f"{outcome.method}: {away:.3f} away", fontsize="medium")
    plotting.points(*experiment.data(), ax)
    plotting.band(outcome.prediction, grid, ax)
    mean, std = (part.numpy() for part in demo_methods.reference())
    for sign, label in ((1, "exact posterior of f, ± 2 std"), (-1, None)):
        ax.plot(at, mean + sign * 2 * std, color=_EXACT, lw=1, ls="--", label=label)
    ax.set_ylim(-3, 3)
    ax.label_outer()
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()
