"""The commands, and how errors end: 0 all went well, 1 what can be mended in files, 2 how the command was given."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import yuragi
from yuragi.cli import compare, console, demo, evaluate, fit, info, predict, report, serve

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, example in (
    (fit.fit, fit.EXAMPLE),
    (predict.predict, predict.EXAMPLE),
    (evaluate.evaluate, evaluate.EXAMPLE),
    (compare.compare, compare.EXAMPLE),
    (report.report, report.EXAMPLE),
    (info.info, info.EXAMPLE),
    (serve.serve, serve.EXAMPLE),
    (demo.demo, demo.EXAMPLE),
):
    app.command(epilog=example)(command)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """An honest error bar on every prediction: for tables, from the command line."""
    if show:
        console.say(f"yuragi {yuragi.__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments, prog_name="yuragi")
    except (ValueError, OSError, MemoryError, ImportError) as error:
        reason = _why(error)
        if reason is None:
            raise  # a bug, and shows as one
        console.complain(reason)
        sys.exit(1)


def _why(error: Exception) -> str | None:
    """What a user is told of what a user can mend; None for anything else."""
    from yuragi.checkpoints import CheckpointError
    from yuragi.files import FileError
    from yuragi.tables.errors import TableError

    if isinstance(error, (CheckpointError, FileError, TableError)):
        return str(error)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror or error}{where}"
    if isinstance(error, MemoryError):
        return "there is not enough memory: take a sample of the table"
    if isinstance(error, ImportError) and "pip install" in str(error):
        return str(error)
    return None
