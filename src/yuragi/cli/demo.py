"""`yuragi demo`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from yuragi import demo as experiment
from yuragi.cli import console, demo_methods, options
from yuragi.cli.pictures import picture_bytes, picture_kind
from yuragi.cli.progress import bar
from yuragi.files import write_atomically

EXAMPLE = "Example: yuragi demo --out sine.png"


class EstimatorName(StrEnum):
    """The choices of `--estimator`."""

    flipout = "flipout"
    local = "local"
    shared = "shared"


def demo(
    estimator: Annotated[EstimatorName, typer.Option(help="Of the fit as in the article.")] = EstimatorName.flipout,
    seed: options.Seed = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Of the fit as in the article.")] = experiment.EPOCHS,
    draws: options.Samples = 100,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("yuragi-demo.png"),
    article_only: Annotated[bool, typer.Option("--article-only", help="Leave out the recommended fit.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every method of yuragi.methods in place of these fits.")
    ] = False,
    time_budget: Annotated[
        float | None,
        typer.Option(
            parser=options.seconds, metavar="DURATION", help="For --all together: 60s, 5m.", show_default="100s"
        ),
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Reproduce the article: sin(x) with a gap in the data; and show the recommended fit beside it, or every method."""
    options.a_file(out, "--out")
    kind = picture_kind(out)
    place = options.device(device)
    if every and (article_only, estimator, epochs, draws) != (False, EstimatorName.flipout, experiment.EPOCHS, 100):
        raise typer.BadParameter(
            "--all runs each method with settings of its own: leave out --article-only, --estimator, --epochs and --draws"
        )
    if time_budget is not None and not every:
        raise typer.BadParameter("--time-budget goes with --all")
    if not as_json:
        console.say(f"Python {platform.python_version()}, PyTorch {torch.__version__}, device {place}")
    x, y = (part.to(place) for part in experiment.data())
    if every:
        demo_methods.show(x, y, time_budget, seed, out, kind, as_json)
        return
    with bar("as in the article", quiet=as_json) as done:
        article = experiment.fit_as_in_the_article(
            x, y, estimator=estimator.value, epochs=epochs, seed=seed, progress=lambda e: done(e.epoch / e.epochs)
        )
    fits = {"as in the article": experiment.predict_grid(article, draws, seed)}
    if not article_only:
        with bar("recommended", quiet=as_json) as done:
            recommended = experiment.fit_as_recommended(x, y, seed=seed, progress=lambda e: done(e.epoch / e.epochs))
        fits["recommended"] = experiment.predict_grid(recommended, draws, seed)
    regions = {name: experiment.regions(prediction) for name, prediction in fits.items()}
    write_atomically(out, _picture(fits, kind))
    if as_json:
        console.say_json(
            {
                "output": str(out),
                "fits": {name: [asdict(region) for region in found] for name, found in regions.items()},
            }
        )
        return
    _print_regions(regions)
    console.say(f"wrote {out}")


def _print_regions(regions: Mapping[str, list[experiment.Region]]) -> None:
    table = Table("fit", "where", "std", "epistemic", "RMSE")
    for name, found in regions.items():
        for region in found:
            table.add_row(name, region.name, f"{region.std:.3f}", f"{region.epistemic:.3f}", f"{region.rmse:.3f}")
    console.results.print(table)
    for name, (data, gap, _) in regions.items():
        times = gap.epistemic / data.epistemic
        console.say(f"{name}: in the gap the epistemic std is {times:.1f} times that in the data")


def _picture(fits: dict[str, Any], kind: str) -> bytes:
    from matplotlib.figure import Figure

    from yuragi import plotting

    x, y = experiment.data()
    grid = experiment.grid()
    figure = Figure(figsize=(10, 4 * len(fits)), layout="constrained")
    for (left, right), (name, prediction) in zip(
        figure.subplots(len(fits), 2, squeeze=False), fits.items(), strict=True
    ):
        plotting.points(x, y, left)
        left.plot(grid[:, 0], grid.sin()[:, 0], color="black", lw=1, ls=":", label="sin(x)")
        plotting.band(prediction, grid, left).set_title(f"{name}: prediction")
        left.set_ylim(-3, 3)
        plotting.spread(prediction, grid, right).set_title(f"{name}: standard deviation")
        right.axvspan(-1, 1, color="grey", alpha=0.1, lw=0)
    return picture_bytes(figure, kind)
