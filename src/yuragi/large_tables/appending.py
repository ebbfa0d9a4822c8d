"""Tables written block by block: CSV, gzip of it, and Parquet; a file is there whole, or not at all."""

from __future__ import annotations

import codecs
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from yuragi.files import replacing
from yuragi.tables.errors import TableError, shown

SUFFIXES = (".csv", ".csv.gz", ".parquet")
Append = Callable[[pd.DataFrame], None]


@contextmanager
def appending(target: str | os.PathLike[str], schema: Any, encoding: str = "utf-8") -> Iterator[Append]:
    """Write a table block by block, in the form that the suffix says; what it gives is called with each block.

    Args:
        target: a path, or "-" for standard output, which gets CSV.
        schema: of pyarrow: names and types of the columns.
        encoding: of CSV; "utf-8-sig" adds the byte order mark by which Excel knows UTF-8.

    Raises:
        TableError: the suffix is another, or the blocks cannot be written in that form.
        OSError: the file cannot be written there.
    """
    name = os.fspath(target)
    suffix = check_suffix(name)
    if name == "-":
        yield _csv(sys.stdout.buffer, name, encoding)
        sys.stdout.buffer.flush()
        return
    with replacing(Path(target)) as file:
        if suffix == ".parquet":
            with pa.parquet.ParquetWriter(file, schema) as writer:
                yield lambda frame: writer.write_table(_arrow(frame, schema, name))
        elif suffix == ".csv.gz":
            # without the time: the same table gives the same file
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                yield _csv(packed, name, encoding)  # type: ignore[arg-type]
        else:
            yield _csv(file, name, encoding)


def check_suffix(name: str) -> str:
    """How a file is written, by its suffix; CSV for "-".

    Raises:
        TableError: it cannot be written block by block.
    """
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    if suffix is None and name != "-":
        raise TableError(f"{name}: a table is written block by block as {', '.join(SUFFIXES)}: give it such a suffix")
    return suffix or ".csv"


def _csv(file: BinaryIO, name: str, encoding: str) -> Append:
    try:
        encoder = codecs.getincrementalencoder(encoding)()  # which writes a byte order mark once
    except LookupError as error:
        raise TableError(f"{name}: there is no encoding {shown(encoding)}") from error
    header = True

    def append(frame: pd.DataFrame) -> None:
        nonlocal header
        text = frame.to_csv(index=False, lineterminator="\n", header=header)
        header = False
        try:
            file.write(encoder.encode(text))
        except UnicodeEncodeError as error:
            sign = shown(error.object[error.start : error.start + 1])
            raise TableError(f"{name}: {sign} cannot be written in {encoding}: use utf-8") from error

    return append


def _arrow(frame: pd.DataFrame, schema: Any, name: str) -> Any:
    try:
        return pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:  # a column of several kinds of values
        raise TableError(f"{name}: Parquet cannot hold the table ({shown(str(error), 200)}): write CSV") from error
