"""`open_files`: paths and patterns as one table of files."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Sequence

from yuragi.large_tables.parquet_files import ParquetFiles, parquet_size
from yuragi.large_tables.sources import TableFiles, Told
from yuragi.large_tables.text_files import open_text
from yuragi.tables.delimited import CELLS, DELIMITERS
from yuragi.tables.errors import TableError
from yuragi.tables.reading import LARGEST

FileNames = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_SAMPLE = 1 << 20  # bytes
_SIGNATURES = {
    b"\x1f\x8b": "compressed with gzip, and can only be read whole: decompress it first",
    b"PK\x03\x04": "an Excel workbook, and can only be read whole: save the table as CSV or Parquet",
}


def open_files(
    sources: FileNames, *, encoding: str | None = None, delimiter: str | None = None, told: Told | None = None
) -> TableFiles:
    r"""Files of CSV or of Parquet, all of one kind and with the same columns, as one table.

    Of text, all of it is read once, so that its columns are what they would be if it were read into memory: see
    `yuragi.tables.read_table`. Of Parquet, only what the files say of themselves is read.

    Args:
        sources: a path, a pattern such as "part-*.parquet" (its files in the order of their names), or several of them.
        encoding: of text; UTF-8, CP932 or Windows-1252 by its first megabyte when left out.
        delimiter: of text; found when left out.
        told: called with the share of the reading that is done.

    Raises:
        TableError: a pattern that no file has, no such tables, other columns in another file, or no rows.
        OSError: a file cannot be read, or is not there.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part in range(3):
        ...         _ = pathlib.Path(folder, f"part-{part}.csv").write_text(f"size,code\n{part},00{part}\n,A\n")
        ...     files = open_files(f"{folder}/part-*.csv")
        ...     len(files), [len(frame) for _, frame in files.frames()], files.read()["size"].dtype
        (6, [2, 2, 2], Int64Dtype())
    """
    paths = _expanded(sources)
    starts = {path: _start(path) for path in paths}
    binary = {path for path, start in starts.items() if start == b"PAR1"}
    if binary and len(binary) < len(paths):
        other = next(path for path in paths if path not in binary)
        raise TableError(f"{paths[0]} and {other} cannot be one table: one is Parquet, the other text")
    files: TableFiles = ParquetFiles.open(paths) if binary else open_text(paths, encoding, delimiter, told)
    if not len(files):
        raise TableError(
            f"{paths[0]} has a header and no rows" + f", as the {len(paths) - 1} others" * (len(paths) > 1)
        )
    return files


def too_large(sources: FileNames) -> str | None:
    """What makes a table too large to be read into memory by `yuragi.tables.read_table`, in words; None where it is not.

    What is no regular file, as a pipe, can be read once only, and is not looked into.

    Raises:
        TableError: a pattern that no file has.
        OSError: a file is not there.
    """
    paths = _expanded(sources)
    if not all(os.path.isfile(path) or not os.path.exists(path) for path in paths):
        return None
    size = sum(os.path.getsize(path) for path in paths)
    if size > LARGEST:
        return f"it has {size:,} bytes, and up to {LARGEST:,} are read whole"
    cells = unpacked = 0
    for path in paths:
        with open(path, "rb") as file:
            start = file.read(_SAMPLE)
            if start.startswith(b"PAR1"):
                more, held = parquet_size(path)
                cells, unpacked = cells + more, unpacked + held
            elif not start.startswith(tuple(_SIGNATURES)) and size > 2 * CELLS:  # a cell has two bytes at least
                fields = max(start.split(b"\n", 1)[0].count(sign.encode()) for sign in DELIMITERS) + 1
                lines = start.count(b"\n") + sum(piece.count(b"\n") for piece in iter(lambda: file.read(_SAMPLE), b""))
                cells += fields * lines
    if unpacked > LARGEST:
        return f"it has {unpacked:,} bytes when unpacked, and up to {LARGEST:,} are read whole"
    return f"it has about {cells:,} cells, and up to {CELLS:,} are read whole" if cells > CELLS else None


def _expanded(sources: FileNames) -> tuple[str, ...]:
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    paths: list[str] = []
    for source in [os.fspath(one) for one in given]:
        if glob.has_magic(source) and not os.path.exists(source):
            found = sorted(path for path in glob.glob(source) if os.path.isfile(path))
            if not found:
                raise TableError(f"no file has a name like {source}")
            paths += found
        else:
            paths.append(source)
    if not paths:
        raise TableError("there are no files: give one at least")
    for before, path in itertools.pairwise(sorted(paths)):
        if before == path:
            raise TableError(f"{path} is given twice")
    return tuple(paths)


def _start(path: str) -> bytes:
    with open(path, "rb") as file:
        start = file.read(4)
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise TableError(f"{path} is {what}")
    if not start:
        raise TableError(f"{path} is empty: a table needs a header and rows")
    return start
