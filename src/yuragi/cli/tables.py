"""Reading and writing tables for the commands, with what is to be said about them."""

from __future__ import annotations

import hashlib
import io
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from yuragi.cli import console
from yuragi.cli.progress import bar

if TYPE_CHECKING:
    import pandas as pd

    from yuragi.large_tables import TableFiles
    from yuragi.tables import TableModel


@dataclass(frozen=True)
class Given:
    """A table, the SHA-256 of the bytes that it was read from, and what reading it had to change."""

    frame: pd.DataFrame
    sha256: str
    notes: list[str]


class _Named(io.BytesIO):
    """Bytes in memory that messages call by a name."""

    name = ""


def read(path: Path, encoding: str | None, delimiter: str | None, sheet: str | None) -> Given:
    """Read a table, "-" from standard input.

    Raises:
        TableError: it is no table that can be used.
        OSError: it cannot be read.
    """
    from yuragi.tables import TableWarning, read_table
    from yuragi.tables.reading import LARGEST

    if str(path) == "-":
        stream = _Named(sys.stdin.buffer.read(LARGEST + 1))
        stream.name = "standard input"
    else:
        with open(path, "rb") as file:
            stream = _Named(file.read(LARGEST + 1))
        stream.name = str(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TableWarning)
        frame = read_table(stream, encoding=encoding, delimiter=delimiter, sheet=sheet)
    return Given(frame, hashlib.sha256(stream.getvalue()).hexdigest(), [str(one.message) for one in caught])


def in_blocks(paths: list[Path], stream: bool | None) -> str | None:
    """Why a table is to be read in blocks, in words; None where it is to be read whole.

    Raises:
        TableError: a pattern that no file has.
        OSError: a file is not there.
    """
    if "-" in map(str, paths):
        if stream or len(paths) > 1:
            raise typer.BadParameter("standard input is one table, and is read whole: give files to read in blocks")
        return None
    if stream is not None:
        return "as --stream says" if stream else None
    from yuragi.large_tables.opening import too_large

    return too_large(paths)


def read_together(paths: list[Path], encoding: str | None, delimiter: str | None, sheet: str | None) -> Given:
    """`read` a table, or several files as one table.

    Raises:
        TableError: as for `read`, or the files are no parts of one table.
        OSError: one cannot be read.
    """
    import glob

    if len(paths) == 1 and (paths[0].exists() or not glob.has_magic(str(paths[0]))):
        return read(paths[0], encoding, delimiter, sheet)
    files, notes = opened(paths, encoding, delimiter, sheet, quiet=True)
    return Given(files.read(), files.sha256(), notes)


def opened(
    paths: list[Path], encoding: str | None, delimiter: str | None, sheet: str | None, quiet: bool = False
) -> tuple[TableFiles, list[str]]:
    """Files as one table that is read in blocks, and what is to be said of its columns.

    Raises:
        TableError: they are no parts of one table.
        OSError: one cannot be read.
    """
    if sheet is not None:
        raise typer.BadParameter("--sheet is of one workbook: save its sheets as CSV files to use them as one table")
    from yuragi.large_tables import open_files
    from yuragi.tables import TableWarning

    with warnings.catch_warnings(record=True) as caught, bar("reading", quiet) as report:
        warnings.simplefilter("always", TableWarning)
        files = open_files(paths, encoding=encoding, delimiter=delimiter, told=report)
    return files, [str(one.message) for one in caught]


def read_for(
    model: TableModel, paths: list[Path], encoding: str | None, delimiter: str | None, sheet: str | None
) -> Given:
    """`read_together` a table that a model is for; the notes are also of what is unusual in it.

    Raises:
        TableError: as for `read`, or the table has not the columns of the model.
        OSError: it cannot be read.
    """
    given = read_together(paths, encoding, delimiter, sheet)
    return replace(given, notes=[*given.notes, *model.schema.notes(given.frame)])


def write(frame: pd.DataFrame, path: Path, encoding: str) -> None:
    """Write a table, "-" to standard output as CSV.

    Raises:
        TableError: it cannot be written in the form that the suffix says, or the suffix is another.
        OSError: it cannot be written there.
    """
    from yuragi.tables import write_table

    if str(path) == "-":
        write_table(frame, sys.stdout.buffer, encoding=encoding)
        sys.stdout.buffer.flush()
    else:
        write_table(frame, path, encoding=encoding)


def say_notes(notes: list[str], as_json: bool) -> None:
    """Print notes to standard error, but for machines, who have them in their document."""
    if not as_json:
        for one in notes:
            console.note(one)
