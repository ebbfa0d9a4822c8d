"""Text tables (CSV) in blocks of whole lines, each of which can be read by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from yuragi.large_tables.sources import Block, TableFiles, Told, check_same
from yuragi.large_tables.text_columns import Written, as_text, common_sign, values
from yuragi.tables import delimited
from yuragi.tables.errors import TableError, shown
from yuragi.tables.reading import distinct

BLOCK = 1 << 22
"""Bytes of a block, where lines are not longer."""
_LONGEST = 1 << 26  # bytes of a row
_START = 1 << 20  # bytes by which encoding and delimiter are found
_WIDE = ("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")


@dataclass(frozen=True)
class TextFiles(TableFiles):
    """Text tables of the same columns, whose rows are read as those of one table.

    Args:
        headers: the first line of each file, as bytes.
        encoding, delimiter: of all of them.
        fields: how many fields a line has; columns without a name and without values at its end are left out.
        columns: how each writes its values.
    """

    headers: tuple[bytes, ...]
    encoding: str
    delimiter: str
    fields: int
    columns: tuple[Written, ...]

    suffix = ".csv"

    def tables(self, block: Block) -> Iterator[Any]:
        """The lines of a block as a table of texts."""
        path = self.paths[block.file]
        with open(path, "rb") as file:
            file.seek(block.place[0])
            data = file.read(block.place[1] - block.place[0])
        texts = _texts(data, self.headers[block.file], path, self.encoding, self.delimiter, self.fields)
        yield texts.select(range(len(self.names))).rename_columns(list(self.names))

    def frame(self, table: Any) -> pd.DataFrame:
        """Texts as what their columns are: integers, numbers, or text."""
        common = common_sign(self.columns)
        made = [
            values(column.combine_chunks(), written, common)
            for column, written in zip(table.columns, self.columns, strict=True)
        ]
        return pd.concat(made, axis=1).set_axis(list(self.names), axis=1)

    def arrow_schema(self) -> Any:
        """Integers, numbers and text."""
        kinds = {(True, True): pa.int64(), (True, False): pa.float64()}
        return pa.schema(
            [
                (name, kinds.get((one.numeric, one.whole), pa.large_string()))
                for name, one in zip(self.names, self.columns, strict=True)
            ]
        )


def open_text(
    paths: tuple[str, ...], encoding: str | None, delimiter: str | None, told: Told | None = None
) -> TextFiles:
    """Read text tables once: where their rows are, and what their columns hold.

    Raises:
        TableError: one is no text table that can be read in blocks, or has other columns than the first.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise TableError(f"{paths[0]}: a delimiter is one character, got {shown(delimiter)}")
    with open(paths[0], "rb") as file:
        start = file.read(_START)
    start = start[: _line_end(start) or None] if len(start) == _START else start
    text, encoding = delimited.decoded(start, paths[0], encoding)
    if encoding.lower().startswith(_WIDE):
        raise TableError(f"{paths[0]} is {encoding}, which is not read in blocks: save it as UTF-8")
    delimiter = delimiter or delimited.find_delimiter(text)
    sizes = []
    for path in paths:
        with open(path, "rb") as file:
            sizes.append(file.seek(0, 2))
    headers: list[bytes] = []
    names: list[str] = []
    columns: list[Written] = []
    blocks: list[Block] = []
    row = 0
    for place, path in enumerate(paths):
        with open(path, "rb") as file:
            header, begin = _header(file, path)
            found = delimited.header(header.decode(encoding), path, delimiter)
            if place:
                check_same(paths, path, names, found)
            else:
                names, columns = found, [Written() for _ in found]
                delimited.check_header(names, path, delimiter)
            headers.append(header)
            line = 2
            for start_at, data in _pieces(file, path, begin):
                texts = _texts(data, header, path, encoding, delimiter, len(names), line)
                for column, written in zip(texts.columns, columns, strict=True):
                    written.see(column.combine_chunks())
                if len(texts):
                    blocks.append(Block(place, row, len(texts), (start_at, start_at + len(data))))
                row += len(texts)
                line += data.count(b"\n")
                if told is not None:
                    told((sum(sizes[:place]) + start_at + len(data)) / sum(sizes))
    fields = len(names)
    while names and not names[-1] and len(names) > 1 and not columns[-1].present:  # lines that end with a delimiter
        names, columns = names[:-1], columns[:-1]
    return TextFiles(
        paths,
        tuple(distinct(names, paths[0])),
        tuple(blocks),
        tuple(headers),
        encoding,
        delimiter,
        fields,
        tuple(columns),
    )


def _header(file: BinaryIO, path: str) -> tuple[bytes, int]:
    """The first line that is not empty, and where the next one begins."""
    begin = 0
    while True:
        file.seek(begin)
        data = file.read(_START)
        if not data.strip():
            if len(data) < _START:
                raise TableError(f"{path} is empty: a table needs a header and rows")
            raise TableError(f"{path} begins with {_START:,} bytes of nothing: remove them")
        end = _first_line(data)
        if not end and len(data) == _START:
            data += file.read(delimited.HEADER)
            end = _first_line(data)
        end = end or len(data)
        if data[:end].strip():
            return data[:end].removeprefix(b"\xef\xbb\xbf"), begin + end
        begin += end


def _pieces(file: BinaryIO, path: str, begin: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, `BLOCK` bytes of them or a little less, each with where it begins."""
    at = begin
    while True:
        file.seek(at)
        data = file.read(BLOCK)
        if not data:
            return
        more = data if len(data) == BLOCK else b""
        while not (end := _line_end(data) if more else len(data)):
            if len(data) >= _LONGEST:
                raise TableError(
                    f'{path} has a row of more than {_LONGEST:,} bytes from byte {at:,} on, or a quote (") that is never '
                    "closed: correct it"
                )
            more = file.read(BLOCK)
            data += more
        yield at, data[:end]
        at += end


def _line_end(data: bytes) -> int:
    """Where the last line ends that is whole: the last line break that is not between quotes; 0 where there is none."""
    quotes, end = data.count(b'"'), len(data)
    while (found := data.rfind(b"\n", 0, end)) >= 0:
        quotes -= data.count(b'"', found, end)
        if quotes % 2 == 0:
            return found + 1
        end = found
    return 0


def _first_line(data: bytes) -> int:
    end = 0
    while (found := data.find(b"\n", end)) >= 0:
        end = found + 1
        if data.count(b'"', 0, end) % 2 == 0:
            return end
    return 0


def _texts(data: bytes, header: bytes, path: str, encoding: str, delimiter: str, fields: int, line: int = 0) -> Any:
    """Lines as a table of pyarrow of as many columns of text; `line` is the number of the first, where it is known."""
    where = f"{path} from line {line:,} on" if line else path
    if b"\0" in data:
        raise TableError(f"{where} is no text: it holds NUL bytes")
    if not encoding.startswith("utf-8"):
        data = _decoded(data, where, encoding).encode()
    sign = delimiter.encode()
    spaced = data.startswith(b" ") or b"\n " in data or sign + b" " in data
    # what the two readers take in different ways: spaces beside a quote, and quotes that are never closed
    quotes = data.count(b'"')
    apart = quotes % 2 or (quotes and (spaced or b'\n" ' in data or sign + b'" ' in data or data.startswith(b'" ')))
    if not apart:
        try:
            found = pyarrow.csv.read_csv(
                pa.py_buffer(data),
                pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=[str(one) for one in range(fields)]
                ),
                pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=quotes > 0),
                pyarrow.csv.ConvertOptions(
                    column_types={str(one): pa.string() for one in range(fields)}, strings_can_be_null=False
                ),
            )
        except (
            pa.ArrowInvalid
        ):  # lines that are shorter, which are as if they were filled; or what pandas explains better
            pass
        else:
            return _table([as_text(column.combine_chunks(), spaced) for column in found.columns])
    text = _decoded(data, where, "utf-8")
    try:
        frame = delimited.parsed(_decoded(header, path, encoding).rstrip("\r\n") + "\n" + text, path, delimiter)
    except TableError as error:
        raise TableError(f"{error} (lines are counted from line {max(line, 2) - 1:,} on)") from error
    rows = frame.iloc[1:]
    return _table([pa.array(rows.iloc[:, place], pa.string(), from_pandas=True) for place in range(fields)])


def _table(columns: Sequence[Any]) -> Any:
    return pa.table(list(columns), names=[str(place) for place in range(len(columns))])


def _decoded(data: bytes, where: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableError(
            f"{where} is not text in {encoding}, which its beginning is: give its encoding, or save it as UTF-8"
        ) from error
