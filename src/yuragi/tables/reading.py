"""`read_table`: any real table as a DataFrame, whatever its kind of file, and within bounds."""

from __future__ import annotations

import gzip
import io
import os
import sys
import warnings
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import pandas as pd

from yuragi.tables import binary, delimited
from yuragi.tables.errors import TableError, TableWarning, shown

LARGEST = 1 << 28
"""The most bytes of a table that are read, after decompression."""

_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_OTHERS = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old or encrypted Excel workbook: save it as .xlsx without a password",
    b"BZh": "compressed with bzip2: decompress it first",
    b"\xfd7zXZ\x00": "compressed with xz: decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: decompress it first",
    b"%PDF": "a PDF document: save the table as CSV",
}


def read_table(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
) -> pd.DataFrame:
    r"""Read a table: text with delimiters (CSV), gzip of it, Parquet, or Excel (.xlsx); its content says which.

    Text may be UTF-8, UTF-16 or UTF-32 with a byte order mark, CP932 (Shift-JIS) or Windows-1252, with commas, semicolons,
    tabs or bars, and with decimal points or commas. Plain numbers become numbers; integers stay integers, and everything
    else stays text as it was written. Empty fields and NA, N/A, NaN, null, None, NaT, #N/A are missing. Of columns with the
    same name the second becomes "name.1" and so on, with a `TableWarning`; a column without a name becomes "Unnamed: 0" by
    its position. Fields that a row lacks at its end are missing.

    Args:
        source: a path, "-" for standard input, or a binary stream.
        encoding: of text; found when left out.
        delimiter: of text; found when left out.
        sheet: of a workbook; the first when left out, with a `TableWarning` if there are more.

    Returns:
        At least one row, with column names that are distinct.

    Raises:
        TableError: it is no such table, is damaged, has no rows, a row is longer than the header, or it is larger than
            `LARGEST` bytes, `delimited.COLUMNS` columns or `delimited.CELLS` cells.
        OSError: it cannot be read, or is not there.

    Example:
        >>> read_table(io.BytesIO("気温;雨\n12,5;いいえ\n9,25;はい\n".encode("cp932")))
              気温    雨
        0  12.50  いいえ
        1   9.25   はい
    """
    data, name = _bytes(source)
    if data.startswith(_GZIP):
        data = _unpacked(data, name)
        if data.startswith(_GZIP):
            raise TableError(f"{name} is compressed twice: decompress it once")
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise TableError(f"{name} is {what}")
    if data.startswith(_PARQUET):
        frame = binary.parquet(data, name, LARGEST)
    elif data.startswith(_ZIP):
        frame = binary.workbook(data, name, LARGEST, sheet)
    else:
        frame = delimited.parse(data, name, encoding, delimiter)
    if not frame.shape[1]:
        raise TableError(f"{name} has no columns")
    if not len(frame):
        raise TableError(f"{name} has a header and no rows")
    return frame.set_axis(distinct([str(column) for column in frame.columns], name), axis=1)


def distinct_names(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names for all columns, each once; and of those that are the name of an earlier column too, the old name by the new.

    Example:
        >>> distinct_names(["a", "", "a"])
        (['a', 'Unnamed: 1', 'a.1'], {'a.1': 'a'})
    """
    named = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    taken, found = set(named), []
    seen: set[str] = set()
    renamed: dict[str, str] = {}
    for name in named:
        new, number = name, 0
        while new in seen or (new != name and new in taken):
            number += 1
            new = f"{name}.{number}"
        seen.add(new)
        found.append(new)
        if new != name:
            renamed[new] = name
    return found, renamed


def _bytes(source: str | os.PathLike[str] | BinaryIO) -> tuple[bytes, str]:
    if isinstance(source, (str, os.PathLike)) and os.fspath(source) != "-":
        with open(source, "rb") as file:
            data, name = file.read(LARGEST + 1), os.fspath(source)
    else:
        stream = sys.stdin.buffer if isinstance(source, (str, os.PathLike)) else source
        data = stream.read(LARGEST + 1)
        name = "standard input" if stream is sys.stdin.buffer else str(getattr(stream, "name", "the table"))
        if not isinstance(data, bytes):
            raise TypeError("read_table takes a path or a binary stream: open the file with mode 'rb'")
    if len(data) > LARGEST:
        raise TableError(f"{name} is larger than {LARGEST:,} bytes: take a sample")
    if not data:
        raise TableError(f"{name} is empty: a table needs a header and rows")
    return data, name


def _unpacked(data: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{name} is a damaged gzip file: {error}") from error
    if len(unpacked) > LARGEST:
        raise TableError(f"{name} is larger than {LARGEST:,} bytes when decompressed: take a sample")
    return unpacked


def distinct(names: list[str], source: str) -> list[str]:
    """Names of columns, each once and none empty, with a `TableWarning` where some were the same."""
    found, renamed = distinct_names(names)
    if renamed:
        listed = ", ".join(f"{shown(old)} became {shown(new)}" for new, old in list(renamed.items())[:10])
        warnings.warn(f"{source}: columns have the same name: {listed}", TableWarning, stacklevel=3)
    return found
