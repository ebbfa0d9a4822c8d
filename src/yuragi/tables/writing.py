"""`write_table`: a DataFrame as CSV, gzip of it, Parquet or Excel, whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from yuragi.files import write_atomically
from yuragi.tables import binary
from yuragi.tables.errors import TableError, shown

_EXCEL_ROWS, _EXCEL_COLUMNS, _EXCEL_TEXT = 1_048_576, 16_384, 32_767


def write_table(frame: pd.DataFrame, target: str | os.PathLike[str] | BinaryIO, *, encoding: str = "utf-8") -> None:
    """Write a table in the form that its suffix says: .csv, .csv.gz, .parquet or .xlsx. Its index is left out.

    A file is written whole or not at all. CSV has commas, decimal points and no byte order mark; a number is written with as
    many digits as it takes to read the same number again.

    Args:
        frame: the table.
        target: a path, "-" for standard output, or a binary stream: the last two get CSV.
        encoding: of CSV; "utf-8-sig" adds the byte order mark by which Excel knows UTF-8.

    Raises:
        TableError: the suffix is another, or the table cannot be written in that form.
        OSError: the file cannot be written there.

    Example:
        >>> write_table(pd.DataFrame({"code": ["007"], "n": pd.array([None], dtype="Int64"), "x": [0.1]}), "-")
        code,n,x
        007,,0.1
    """
    if isinstance(target, (str, os.PathLike)) and os.fspath(target) != "-":
        path = Path(target)
        suffix = next((suffix for suffix in _WRITERS if path.name.lower().endswith(suffix)), None)
        if suffix is None:
            raise TableError(f"{path}: a table is written as {', '.join(_WRITERS)}: give the file such a suffix")
        write_atomically(path, _WRITERS[suffix](frame, str(path), encoding))
        return
    if isinstance(target, (str, os.PathLike)):
        sys.stdout.write(_csv(frame, "standard output", encoding).decode(encoding))
        sys.stdout.flush()
        return
    target.write(_csv(frame, "the table", encoding))


def _csv(frame: pd.DataFrame, name: str, encoding: str) -> bytes:
    try:
        return frame.to_csv(index=False, lineterminator="\n").encode(encoding)
    except UnicodeEncodeError as error:
        raise TableError(
            f"{name}: {shown(error.object[error.start : error.start + 1])} cannot be written in {encoding}: use utf-8"
        ) from error
    except LookupError as error:
        raise TableError(f"{name}: there is no encoding {shown(encoding)}") from error


def _csv_gz(frame: pd.DataFrame, name: str, encoding: str) -> bytes:
    return gzip.compress(_csv(frame, name, encoding), mtime=0)  # without the time: the same table gives the same file


def _parquet(frame: pd.DataFrame, name: str, encoding: str) -> bytes:
    arrow = binary.module("pyarrow", name, "Parquet")
    data = io.BytesIO()
    try:
        frame.to_parquet(data, engine="pyarrow", index=False)
    except (arrow.ArrowException, ValueError, TypeError, OverflowError) as error:  # a column of several kinds of values
        raise TableError(
            f"{name}: Parquet cannot hold the table ({shown(str(error), 200)}): write it as CSV"
        ) from error
    return data.getvalue()


def _excel(frame: pd.DataFrame, name: str, encoding: str) -> bytes:
    binary.module("openpyxl", name, "Excel")
    rows, columns = frame.shape
    if rows >= _EXCEL_ROWS or columns > _EXCEL_COLUMNS:
        raise TableError(f"{name}: Excel cannot hold {rows:,} rows of {columns:,} columns: write it as CSV")
    for label, column in frame.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            raise TableError(f"{name}: Excel has no time zones, as column {shown(str(label))} has: write it as CSV")
        if any(isinstance(value, str) and len(value) > _EXCEL_TEXT for value in column):
            raise TableError(
                f"{name}: column {shown(str(label))} has a text of more than {_EXCEL_TEXT:,} characters, which Excel "
                "cannot hold: write it as CSV"
            )
    from openpyxl.utils.exceptions import IllegalCharacterError

    data = io.BytesIO()
    try:
        frame.to_excel(data, index=False, engine="openpyxl")
    except (IllegalCharacterError, ValueError, TypeError) as error:
        raise TableError(f"{name}: Excel cannot hold the table ({shown(str(error), 200)}): write it as CSV") from error
    return data.getvalue()


_WRITERS: dict[str, Callable[[Any, str, str], bytes]] = {
    ".csv": _csv,
    ".csv.gz": _csv_gz,
    ".parquet": _parquet,
    ".xlsx": _excel,
}
