"""`yuragi fit`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yuragi.cli import console, options, scores, tables
from yuragi.cli.devices import launched
from yuragi.cli.interrupt import Interrupt
from yuragi.cli.progress import Report, bar

if TYPE_CHECKING:
    from yuragi.tables import TableModel

EXAMPLE = "Example: yuragi fit train.csv --target price -o price.yuragi"
_MOST_LEFT_OUT = 10  # of which the reasons are printed


def fit(
    table: options.Tables,
    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model's file.", show_default=False)],
    task: Annotated[
        options.TaskName | None, typer.Option(help="As the target says when left out.", show_default=False)
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(parser=options.seconds, metavar="DURATION", help="For the fit: 60s, 5m, 1h.", show_default=False),
    ] = None,
    held_out: Annotated[
        float, typer.Option(callback=options.share, help="Share of the rows to check the error bars on; 0 for none.")
    ] = 0.2,
    posterior: Annotated[options.PosteriorName, typer.Option(help="How the weights are described.")] = (
        options.PosteriorName.auto
    ),
    members: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Networks in the mixture.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.", show_default=False)] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A folder for checkpoints, one a minute; the last two are kept.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint, with the same table and options.")
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="Processes on each machine, each with a device of its own.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start the command on each, as by torchrun.")] = 1,
    as_json: options.Json = False,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    sheet: options.Sheet = None,
    stream: options.Stream = None,
) -> None:
    """Learn to predict a column of a table, and check the error bars on rows held out.

    What is larger than 256 MiB or 20 million cells is read in blocks, in bounded memory: see docs/large_tables.md.

    The first Ctrl-C stops the fit and keeps what it has learnt; the second aborts, and no file is written.
    """
    if resume and checkpoint is None:
        raise typer.BadParameter("--resume needs --checkpoint, the folder to continue from")
    place = options.device(device)
    options.a_file(output, "--output")
    from yuragi.checkpoints import CheckpointWarning

    blocks = tables.in_blocks(table, stream)
    if devices * nodes > 1 and "-" in map(str, table):
        raise typer.BadParameter("several processes cannot all read standard input: give a file")
    if devices * nodes > 1 and blocks is not None:
        raise typer.BadParameter(f"the table is read in blocks ({blocks}), by one process alone: give --in-memory")
    fabric = launched(devices, nodes, place)
    first = fabric is None or fabric.global_rank == 0
    fitted: Callable[..., TableModel]
    if blocks is None:
        given = tables.read_together(table, encoding, delimiter, sheet)
        notes = given.notes
        from yuragi.tables import fit_table

        fitted = partial(fit_table, given.frame, sha256=given.sha256, fabric=fabric)
    else:
        files, notes = tables.opened(table, encoding, delimiter, sheet, as_json)
        from yuragi.large_tables import fit_files

        fitted = partial(fit_files, files)
        notes.append(f"the table is read in blocks: {blocks}")
    from yuragi.training import ConvergenceWarning

    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, CheckpointWarning):
            console.note(str(message))
        else:
            shown(message, category, *rest, **more)

    start = time.perf_counter()
    with Interrupt() as interrupt, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the history says so, too
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = show  # until the block ends
        with bar(f"fitting {target}", quiet=as_json or not first) as report:
            model = fitted(
                target=target,
                task=None if task is None else task.value,
                held_out=held_out,
                posterior=posterior.value,
                members=members,
                epochs=epochs,
                seed=seed,
                device=place,
                time_budget=time_budget,
                checkpoint=checkpoint,
                resume=resume,
                progress=lambda done: _reported(report, interrupt, done),
            )
        if not first:
            return
        model.save(output)
    history = model.tabular.history
    # without --epochs or --time-budget the fit had the budget that was measured: more of it is not what it needs
    if not (as_json or interrupt.asked or history is None or history.converged) and (
        epochs is not None or history.stopped == "time"
    ):
        more = "a longer --time-budget" if history.stopped == "time" else "more --epochs"
        console.note(f"the fit stopped while it was still improving: give it {more}")
    _tell(model, notes, output, interrupt.asked, time.perf_counter() - start, as_json)


def _reported(report: Report, interrupt: Interrupt, done: float) -> bool:
    report(done, "stopping" if interrupt.asked else "")
    return interrupt.asked


def _tell(model: TableModel, notes: list[str], output: Path, interrupted: bool, seconds: float, as_json: bool) -> None:
    schema, found = model.schema, model.about["scores"]
    says = [] if found is None else scores.verdict(found)
    if as_json:
        left_out = {one.name: one.reason for one in schema.left_out}
        about = {name: value for name, value in model.about.items() if name != "training_curve"}
        console.say_json(
            {
                "output": str(output),
                "target": schema.target.name,
                "task": schema.task,
                "classes": list(schema.classes),
                "features": [column.name for column in schema.columns],
                "left_out": left_out,
                "interrupted": interrupted,
                "verdict": says,
                "notes": notes,
                **about,
            }
        )
        return
    tables.say_notes(notes, as_json)
    for one in schema.left_out[:_MOST_LEFT_OUT]:
        console.note(f"column {one.name!r} is left out ({one.reason})")
    if len(schema.left_out) > _MOST_LEFT_OUT:
        console.note(f"{len(schema.left_out) - _MOST_LEFT_OUT} more columns are left out: yuragi info {output}")
    if schema.target.missing:
        console.note(f"{schema.target.missing:,} rows without a target are left aside")
    what = f"a classification into {len(schema.classes)} classes" if schema.classes else "a regression"
    console.say(f"{schema.target.name}: {what}, from {len(schema.columns)} columns of {schema.rows:,} rows")
    if found is None:
        console.say("No rows were held out: nothing is known of how good the error bars are; see yuragi evaluate.")
    else:
        scores.print_scores(found, f"on {found['rows']:,} rows that were held out")
    for sentence in says:
        console.say(sentence)
    if interrupted:
        console.say("Interrupted: the model is the best so far, and would have become better.")
    console.say(f"wrote {output} after {seconds:.1f} s")
