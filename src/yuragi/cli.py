"""The command line: `yuragi demo | fit | predict | evaluate | info`. It parses, calls the library and prints."""

from __future__ import annotations

import io
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table
except ModuleNotFoundError as missing:
    sys.exit(f'the command line needs {missing.name}: pip install "yuragi[cli]"')

import yuragi
from yuragi import demo as experiment
from yuragi.files import FileError, read, write_atomically
from yuragi.tables import HIDDEN, MEMBERS, TableError, fit_table, load_table_model, read_csv, write_csv
from yuragi.training import ConvergenceWarning, Epoch

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console()

# what a user can cause and mend; anything else is a bug and shows as one
_USER_ERRORS = (TableError, FileError, OSError)


class EstimatorName(StrEnum):
    """The choices of `--estimator`."""

    flipout = "flipout"
    local = "local"
    shared = "shared"


Samples = Annotated[int, typer.Option(min=1, help="Draws from the posterior.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")]


@app.command()
def demo(
    estimator: Annotated[EstimatorName, typer.Option(help="Of the fit as in the article.")] = EstimatorName.flipout,
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Of the fit as in the article.")] = experiment.EPOCHS,
    draws: Samples = 100,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("yuragi-demo.png"),
    article_only: Annotated[bool, typer.Option("--article-only", help="Leave out the recommended fit.")] = False,
) -> None:
    """Reproduce the article: sin(x) with a gap in the data; and show the recommended fit beside it."""
    _check_folder(out)
    kind = _picture_kind(out)
    device = experiment.device()
    console.print(f"Python {platform.python_version()}, PyTorch {torch.__version__}, device {device}")
    x, y = (part.to(device) for part in experiment.data())
    with _progress("as in the article", epochs) as report:
        article = experiment.fit_as_in_the_article(
            x, y, estimator=estimator.value, epochs=epochs, seed=seed, progress=report
        )
    fits = {"as in the article": experiment.predict_grid(article, draws, seed)}
    if not article_only:
        with _progress("recommended", None) as report:
            recommended = experiment.fit_as_recommended(x, y, seed=seed, progress=report)
        fits["recommended"] = experiment.predict_grid(recommended, draws, seed)
    table = Table("fit", "where", "std", "epistemic", "RMSE")
    for name, prediction in fits.items():
        for region in experiment.regions(prediction):
            table.add_row(name, region.name, f"{region.std:.3f}", f"{region.epistemic:.3f}", f"{region.rmse:.3f}")
    console.print(table)
    for name, prediction in fits.items():
        data, gap, _ = experiment.regions(prediction)
        console.print(
            f"{name}: in the gap the epistemic std is {gap.epistemic / data.epistemic:.1f} times that in the data"
        )
    write_atomically(out, _picture(fits, kind))
    console.print(f"wrote {out}", soft_wrap=True)


@app.command()
def fit(
    table: Annotated[Path, typer.Argument(help="CSV file with a header; all columns numeric.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model's file.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data; chosen when left out.")] = None,
    members: Annotated[int, typer.Option(min=1, help="Networks in the mixture.")] = MEMBERS,
    hidden: Annotated[
        list[int], typer.Option(min=1, max=10_000, help="Units of a hidden layer; repeat for more.")
    ] = list(HIDDEN),  # noqa: B006
    seed: Seed = 0,
) -> None:
    """Fit a network to a table of numbers and write it to a file."""
    _check_folder(output)
    frame = read_csv(table)
    with warnings.catch_warnings(), _progress(f"fit {target}", epochs) as report:
        warnings.simplefilter("ignore", ConvergenceWarning)
        model, history = fit_table(
            frame, target, hidden=hidden, members=members, epochs=epochs, seed=seed, callbacks=[report]
        )
    if not history.converged:
        _complain("the fit stopped while it was still improving: give it more --epochs")
    model.save(output)
    console.print(
        f"fitted {len(frame)} rows, {len(model.columns.features)} features, in {history.seconds:.1f} s; wrote {output}",
        soft_wrap=True,
    )


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A file that `yuragi fit` wrote.")],
    table: Annotated[Path, typer.Argument(help="CSV file with the model's columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV file: the input's columns and the predictions.")],
    level: Annotated[float, typer.Option(help="Probability of the interval, between 0 and 1.")] = 0.9,
    samples: Samples = 100,
    seed: Seed = 0,
) -> None:
    """Predict each row of a table: mean, standard deviations and an interval."""
    if not 0 < level < 1:
        raise typer.BadParameter(f"--level must lie strictly between 0 and 1, got {level}")
    _check_folder(output)
    frame = load_table_model(model).predict_table(read_csv(table), level, samples, seed)
    write_csv(frame, output)
    console.print(f"predicted {len(frame)} rows; wrote {output}", soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A file that `yuragi fit` wrote.")],
    table: Annotated[Path, typer.Argument(help="CSV file with the model's columns and the target.")],
    samples: Samples = 100,
    seed: Seed = 0,
) -> None:
    """Score a model on a table that has the target: in the target's units."""
    scores = load_table_model(model).evaluate(read_csv(table), samples, seed)
    printed = Table("score", "value")
    printed.add_row("rows", f"{scores['rows']:.0f}")
    printed.add_row("RMSE", f"{scores['rmse']:.4g}")
    printed.add_row("mean log-likelihood", f"{scores['log_likelihood']:.4f}")
    printed.add_row("90 % coverage", f"{scores['coverage_90']:.1%}")
    printed.add_row("CRPS", f"{scores['crps']:.4g}")
    console.print(printed)


@app.command()
def info(model: Annotated[Path, typer.Argument(help="A file that yuragi wrote.")]) -> None:
    """Say what a file holds."""
    contents = read(model)
    printed = Table("what", "value")
    provenance = contents.settings.get("provenance", {})
    for name, value in contents.settings.items():
        if value is provenance:
            continue
        described = value["kind"] if isinstance(value, dict) else value
        printed.add_row(name, ", ".join(map(str, described)) if isinstance(described, list) else str(described))
    for name, value in provenance.items():
        if name not in contents.settings and not isinstance(value, (dict, list)):
            printed.add_row(f"fit: {name}", str(value))
    if "table" in contents.extra:
        columns = contents.extra["table"]["columns"]
        printed.add_row("target", columns["target"])
        printed.add_row("features", ", ".join(columns["features"]))
    console.print(printed)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """An honest error bar on every prediction of a PyTorch network."""
    if show:
        console.print(f"yuragi {yuragi.__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on standard error and exit code 2."""
    try:
        app(args=arguments)
    except _USER_ERRORS as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        _complain(reason)
        sys.exit(2)


def _complain(reason: str) -> None:
    Console(stderr=True).print(f"yuragi: {reason}", soft_wrap=True, markup=False, highlight=False)


def _check_folder(path: Path) -> None:
    # before the work, not after it
    if not path.resolve().parent.is_dir():
        raise NotADirectoryError(20, "no such folder", str(path.resolve().parent))
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder, not a file", str(path))


@contextmanager
def _progress(title: str, epochs: int | None) -> Iterator[Callable[[Epoch], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[parts]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=epochs, parts="")

        def report(epoch: Epoch) -> None:
            parts = f"epoch {epoch.epoch}/{epoch.epochs}  log-likelihood {epoch.log_likelihood:.4g}  KL {epoch.kl:.4g}"
            bar.update(task, completed=epoch.epoch, total=epoch.epochs, parts=parts)

        yield report


def _picture_kind(out: Path) -> str:
    from matplotlib.backend_bases import FigureCanvasBase

    kind = out.suffix.removeprefix(".").lower() or "png"
    known = FigureCanvasBase.get_supported_filetypes()
    if kind not in known:
        raise typer.BadParameter(f"--out {out}: a picture can be {', '.join(sorted(known))}")
    return kind


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
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=130)
    return data.getvalue()


if __name__ == "__main__":
    main()
