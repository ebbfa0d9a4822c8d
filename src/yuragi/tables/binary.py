"""Tables in binary files: Parquet by pyarrow, Excel workbooks by openpyxl."""

from __future__ import annotations

import importlib
import io
import warnings
import zipfile
import zlib
from types import ModuleType
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import pandas as pd

from yuragi.tables.delimited import CELLS, COLUMNS
from yuragi.tables.errors import TableError, TableWarning, shown

# what openpyxl and zipfile raise where a workbook lacks a part, or a part is no XML, or its XML is another than expected
_DAMAGED_WORKBOOK = (
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,  # a method of compression
    RuntimeError,  # encryption
    OSError,  # no part that is a workbook
)


def parquet(data: bytes, name: str, largest: int) -> pd.DataFrame:
    """A Parquet file; integers stay integers beside missing values.

    Raises:
        TableError: it is damaged, or larger than `largest` bytes or the limits on rows and columns.
    """
    arrow = module("pyarrow", name, "Parquet")
    module("pyarrow.parquet", name, "Parquet")
    try:
        about = arrow.parquet.ParquetFile(io.BytesIO(data))
        check_size(name, about.metadata.num_rows, len(about.schema_arrow.names))
        groups = [about.metadata.row_group(place) for place in range(about.metadata.num_row_groups)]
        _check_bytes(name, sum(group.total_byte_size for group in groups), largest)
        flat, texts = flat_columns(about.schema_arrow, name)
        # text as a dictionary, as it is in the file: a few bytes may say that a long text stands in every row
        table = arrow.parquet.ParquetFile(io.BytesIO(data), read_dictionary=texts).read(flat, use_threads=False)
        return parquet_frame(table, name, largest)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of a column's name
        raise TableError(f"{name} is a damaged Parquet file: {shown(str(error), 200)}") from error


def flat_columns(schema: Any, name: str) -> tuple[list[str], list[str]]:
    """The columns of a Parquet file that are read, and which of them are text; a `TableWarning` says which are not.

    Lists and records are left out, whose size no limit on rows and columns bounds, and the index of a DataFrame.
    """
    arrow = module("pyarrow", name, "Parquet")
    nested = [field.name for field in schema if arrow.types.is_nested(field.type)]
    if nested:
        warnings.warn(
            f"{name}: columns of lists or records are left out: {shown(nested, 200)}", TableWarning, stacklevel=4
        )
    flat = [field for field in schema if field.name not in nested and not field.name.startswith("__index_level_")]
    return [field.name for field in flat], [field.name for field in flat if _is_text(arrow, field.type)]


def parquet_frame(table: Any, name: str, largest: int) -> pd.DataFrame:
    """A table of pyarrow, its texts read as dictionaries, as a DataFrame; integers stay integers beside missing values.

    Raises:
        TableError: its texts are larger than `largest` bytes.
        ArrowException: of pyarrow; it is damaged.
    """
    arrow = module("pyarrow", name, "Parquet")
    table = table.replace_schema_metadata(None)  # pandas' may be damaged, and is not needed
    table.validate(full=True)  # lengths, offsets and UTF-8, before anything relies on them
    table = _with_whole_texts(arrow, table, name, largest)
    frame = table.to_pandas(types_mapper=_whole_numbers(arrow).get, use_threads=False)
    return _with_plain_integers(frame.set_axis([str(column) for column in frame.columns], axis=1))


def workbook(data: bytes, name: str, largest: int, sheet: str | None = None) -> pd.DataFrame:
    """A sheet of an Excel workbook (.xlsx): the first one when not named; formulas count as the values last computed.

    Raises:
        TableError: it is damaged, has no such sheet, or is larger than `largest` bytes or the limits on rows and columns.
    """
    openpyxl = module("openpyxl", name, "Excel")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
            if "xl/workbook.xml" not in archive.namelist():
                raise TableError(f"{name} is a zip archive and no Excel workbook: unpack it")
        _check_bytes(name, size, largest)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="openpyxl")  # of styles, which have nothing to do with values
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            rows = _rows(_sheet(book, name, sheet), name)
    except TableError:
        raise
    except _DAMAGED_WORKBOOK as error:
        raise TableError(f"{name} is a damaged Excel workbook: {shown(str(error), 200)}") from error
    if not rows:
        raise TableError(f"{name} is empty: a table needs a header and rows")
    header, *rest = rows
    while header and header[-1] is None:
        header = header[:-1]
    for place, row in enumerate(rest):
        if len(row) > len(header) and any(value is not None for value in row[len(header) :]):
            raise TableError(f"{name}: row {place + 1} under the header has more cells than the header has names")
    check_size(name, len(rest), len(header))
    # a text is in the file once, however many cells have it
    _check_bytes(name, sum(len(value) for row in rest for value in row if isinstance(value, str)), largest)
    columns = [[row[place] if place < len(row) else None for row in rest] for place in range(len(header))]
    names = ["" if value is None else str(value).strip() for value in header]
    frame = pd.concat([_typed(column) for column in columns], axis=1) if columns else pd.DataFrame()
    return frame.set_axis(names, axis=1)


def module(module: str, name: str, what: str) -> ModuleType:
    """A module that an extra brings, or a `TableError` that says which."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise TableError(f'{name} is {what}, which needs {error.name}: pip install "yuragi[tables]"') from error


def check_size(name: str, rows: int, columns: int) -> None:
    """Refuse a table of more than `COLUMNS` columns or `CELLS` cells."""
    if columns > COLUMNS:
        raise TableError(f"{name} has {columns:,} columns, at most {COLUMNS:,} can be used: leave some out")
    if rows * columns > CELLS:
        raise TableError(
            f"{name} has {rows:,} rows of {columns:,} columns, at most {CELLS:,} cells can be used: take a sample"
        )


def _check_bytes(name: str, size: int, largest: int) -> None:
    if size > largest:
        raise TableError(f"{name} holds {size:,} bytes when unpacked, at most {largest:,} can be read: take a sample")


def _is_text(arrow: ModuleType, kind: Any) -> bool:
    types = arrow.types
    return any(
        check(kind) for check in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    )


def _with_whole_texts(arrow: ModuleType, table: Any, name: str, largest: int) -> Any:
    total = 0
    for place, field in enumerate(table.schema):
        if arrow.types.is_dictionary(field.type) and _is_text(arrow, field.type.value_type):
            column = table.column(place)
            for chunk in column.chunks:
                lengths = module("pyarrow.compute", name, "Parquet").binary_length(chunk.dictionary)
                lengths = np.asarray(lengths.fill_null(0), dtype=np.int64)
                counts = np.bincount(np.asarray(chunk.indices.drop_null(), dtype=np.int64), minlength=len(lengths))
                total += int(counts @ lengths)
            _check_bytes(name, total, largest)
            whole = (
                arrow.large_string()
                if field.type.value_type in (arrow.string(), arrow.large_string())
                else arrow.large_binary()
            )
            table = table.set_column(place, field.name, column.cast(whole))
    return table


def _sheet(book: Any, name: str, sheet: str | None) -> Any:
    sheets = {one.title: one for one in book.worksheets}
    if not sheets:
        raise TableError(f"{name} has no sheet with cells")
    if sheet is None:
        sheet = next(iter(sheets))
        if len(sheets) > 1:
            warnings.warn(
                f"{name}: the first of {len(sheets)} sheets is read, {shown(sheet)}", TableWarning, stacklevel=4
            )
    if sheet not in sheets:
        raise TableError(f"{name} has no sheet {shown(sheet)}; it has {', '.join(map(shown, sheets))}")
    return sheets[sheet]


def _rows(sheet: Any, name: str) -> list[tuple[Any, ...]]:
    # without empty rows; and counted, since a few bytes of XML may ask for a million empty rows or sixteen thousand columns
    sheet.reset_dimensions()
    rows, cells = [], 0
    for seen, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells += len(row)
        if cells > CELLS:
            check_size(name, seen, -(-cells // seen))
        if any(value is not None for value in row):
            rows.append(row)
    return rows


def _typed(values: list[Any]) -> pd.Series[Any]:
    kind = pd.api.types.infer_dtype([value for value in values if value is not None], skipna=True)
    gone = np.array([value is None for value in values], dtype=bool)
    if kind == "integer" and all(value is None or abs(value) < 2**63 for value in values):
        whole = np.array([0 if value is None else value for value in values], dtype=np.int64)
        return pd.Series(pd.arrays.IntegerArray(whole, gone) if gone.any() else whole)
    if kind in ("floating", "mixed-integer-float"):
        return pd.Series(values, dtype=np.float64)
    if kind == "boolean" and not gone.any():
        return pd.Series(values, dtype=bool)
    if kind in ("datetime", "datetime64"):
        return pd.Series(values, dtype="datetime64[us]")
    return pd.Series(values, dtype=str if kind == "string" else object)


def _whole_numbers(arrow: ModuleType) -> dict[Any, Any]:
    names = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    return {getattr(arrow, name.lower())(): pd.api.types.pandas_dtype(name) for name in names}


def _with_plain_integers(frame: pd.DataFrame) -> pd.DataFrame:
    whole = {
        name: frame[name].dtype.numpy_dtype  # type: ignore[union-attr]
        for name in frame.columns
        if pd.api.types.is_integer_dtype(frame[name].dtype)
        and not frame[name].isna().any()
        and isinstance(frame[name].dtype, pd.api.extensions.ExtensionDtype)
    }
    return frame.astype(whole)
