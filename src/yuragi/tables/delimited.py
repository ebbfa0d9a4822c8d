"""Text tables: which encoding, which delimiter, which decimal sign; parsed by pandas."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from yuragi.tables import numerals
from yuragi.tables.errors import TableError, shown

COLUMNS = 10_000
"""The most columns of a table."""

CELLS = 20_000_000
"""The most cells of a table: rows times columns."""

HEADER = 10_000_000
"""Characters in which the first line has to end."""

DELIMITERS = ("\t", ";", "|", ",")

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it starts with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SHIFT_JIS = re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]|[\xa1-\xdf]+")
_SAMPLE = 1 << 16  # of the text, in which the delimiter is looked for, and of the bytes for the encoding
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "#N/A", "#NA", "NaT")
"""Fields that say that a value is missing."""

_TOO_LONG = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
_DIGITS = re.compile(r"[+-]?[0-9]+")
_UNCLOSED = re.compile(r"EOF inside string starting at row (\d+)")


def parse(
    data: bytes, name: str, encoding: str | None = None, delimiter: str | None = None, most: int = COLUMNS
) -> pd.DataFrame:
    """A text table: columns of plain numbers become numbers, all others stay text as it was written.

    Args:
        data: the bytes.
        name: of the file, for messages.
        encoding: of the text; found when left out.
        delimiter: between fields; found when left out.
        most: columns.

    Returns:
        The header's names (possibly repeated) and the rows under it.

    Raises:
        TableError: it is no text table, or a row is longer than the header.
    """
    text = decode(data, name, encoding)
    if "\0" in text:
        raise TableError(f"{name} is no table of text: it holds NUL bytes")
    if not text or text.isspace():
        raise TableError(f"{name} is empty: a table needs a header and rows")
    if delimiter is not None and len(delimiter) != 1:
        raise TableError(f"{name}: a delimiter is one character, got {shown(delimiter)}")
    delimiter = delimiter or find_delimiter(text)
    names = header(text, name, delimiter, most)
    lines = max(text.count("\n"), text.count("\r")) + 1
    if lines * len(names) > CELLS:
        raise TableError(
            f"{name} has {lines:,} lines of {len(names):,} columns, at most {CELLS:,} cells can be used: take a sample"
        )
    frame = parsed(text, name, delimiter).iloc[1:].reset_index(drop=True)
    while names and not names[-1] and frame.shape[1] > 1 and frame.iloc[:, -1].isna().all():
        names, frame = names[:-1], frame.iloc[:, :-1]  # lines that end with a delimiter
    check_header(names, name, delimiter)
    return with_numbers(frame).set_axis(names, axis=1)


def header(text: str, name: str, delimiter: str, most: int = COLUMNS) -> list[str]:
    """The names in the first line of a text table.

    Raises:
        TableError: it is too long to be a header, or has more than `most` columns.
    """
    start = text[:HEADER]
    if len(start) == HEADER and "\n" not in start and "\r" not in start:
        raise TableError(f"{name} has a first line of more than {HEADER:,} characters, which is no header")
    _check_columns(_fields(start, delimiter), name, most)  # before pandas makes a column of each, of a kilobyte or more
    found = _parsed(start, name, delimiter, first_row=True).iloc[0].tolist()
    _check_columns(len(found), name, most)
    return [value.strip() for value in found]


def check_header(names: list[str], name: str, delimiter: str) -> None:
    """Refuse a header of nothing but numbers: it is the first row of a table without one."""
    if all(numerals.notation([numerals.plain(value)]) for value in names if value):
        raise TableError(f"{name} has no header: its first line holds numbers only ({shown(delimiter.join(names))})")


def parsed(text: str, name: str, delimiter: str) -> pd.DataFrame:
    """The lines of a text table, the header too if it is among them, as text; NaN where a field is missing.

    Raises:
        TableError: a line is longer than the first, or a quote is never closed.
    """
    return _parsed(text, name, delimiter, first_row=False)


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    """Text from bytes: by its byte order mark; else UTF-8 if it is that; else CP932 (Shift-JIS) or Windows-1252.

    Text that is no UTF-8 is taken as Japanese where most of its characters beyond ASCII are two bytes of which the first is
    0x81–0x9F (kana, common kanji, punctuation), or runs of half-width kana. The accented letters of Western text are at
    0xC0–0xFF, and would be rare kanji.

    Example:
        >>> decode("気温".encode("cp932"), "t.csv"), decode("décès".encode("cp1252"), "t.csv")
        ('気温', 'décès')
    """
    return decoded(data, name, encoding)[0]


def decoded(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Text from bytes, as `decode` does, and the encoding that it was in."""
    if encoding is None:
        encoding = next((one for mark, one in _BOMS.items() if data.startswith(mark)), None)
        if encoding is None and b"\0" in data:
            raise TableError(f"{name} is no text, or UTF-16 without a mark (give its encoding): it holds NUL bytes")
    tried = [encoding] if encoding else ["utf-8", *(("cp932", "cp1252") if _japanese(data) else ("cp1252", "cp932"))]
    for one in tried:
        try:
            return data.decode(one), one
        except UnicodeDecodeError as error:
            if one.startswith("utf-8") and _mostly_utf8(data):  # what follows would be read as something else, silently
                line = data.count(b"\n", 0, error.start) + 1
                raise TableError(
                    f"{name} is UTF-8 with a damaged character in line {line}: correct it, or give its encoding"
                ) from error
        except LookupError as error:
            raise TableError(f"{name}: there is no encoding {shown(one)}") from error
    raise TableError(f"{name} is no text in {' or '.join(tried)}: save it as UTF-8, or give its encoding")


def find_delimiter(text: str) -> str:
    r"""The delimiter of a table: the one that splits most rows as often as the header, into the most fields.

    Example:
        >>> find_delimiter("a;b\n1,5;2,5\n"), find_delimiter("a,b\n1,2\n"), find_delimiter("a\n1\n")
        (';', ',', ',')
    """
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:  # without the line that is cut
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    found, best = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        rows = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
        fields = rows[0] if rows else 1
        score = (float(np.mean(np.array(rows) == fields)) if rows else 0.0, fields)
        if fields > 1 and score > best:
            found, best = delimiter, score
    return found


def with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of text that are all plain numbers as numbers: integers stay integers, also beside missing values.

    Numbers with units, codes such as "007", and integers of more than 18 digits stay text. Whether "1.234" has a decimal
    point or a thousands separator is decided by the column's other values; where these leave it open, by other columns that
    do not.
    """
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    written = [[numerals.plain(text) for text in pd.unique(column.dropna())] for column in columns]
    found = [numerals.decimals(texts) for texts in written]
    clear = {signs for signs, _ in found if len(signs) == 1}
    default = "," if clear == {","} else "."
    made = [
        _numbers(column, signs if len(signs) == 1 else default) if signs and not unit else column
        for column, (signs, unit) in zip(columns, found, strict=True)
    ]
    return pd.concat(made, axis=1) if made else frame


def _numbers(column: pd.Series[Any], notation: str) -> pd.Series[Any]:
    codes, distinct = pd.factorize(column)
    texts = [numerals.plain(text) for text in distinct]
    gone = codes < 0
    if numerals.integers(texts):
        whole = np.array([*map(int, texts), 0], dtype=np.int64)[codes]  # the last is where one is missing
        return pd.Series(pd.arrays.IntegerArray(whole, gone) if gone.any() else whole, index=column.index)
    if any(_DIGITS.fullmatch(text) and len(text) > 18 for text in texts):
        return column  # a float64 would not keep them all
    return pd.Series(np.array([*numerals.numbers(texts, notation), np.nan])[codes], index=column.index)


def _check_columns(columns: int, name: str, most: int) -> None:
    if columns > most:
        raise TableError(f"{name} has {columns:,} columns, at most {most:,} can be used: leave some out")


def _fields(text: str, delimiter: str) -> int:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return sum(map(len, islice(rows, 1)))
    except csv.Error:  # a field that is longer than it reads; pandas reads it
        return 0


def _mostly_utf8(data: bytes) -> bool:
    found = Counter(data[: 16 * _SAMPLE].decode("utf-8", errors="replace"))
    bad = found["\ufffd"]
    return 9 * bad < sum(count for sign, count in found.items() if not sign.isascii()) - bad


def _japanese(data: bytes) -> bool:
    found = _SHIFT_JIS.findall(data[: 16 * _SAMPLE])
    likely = sum(len(one) > 1 and (one[0] < 0xA0 or 0xA0 < one[0] < 0xE0) for one in found)
    return bool(found) and 2 * likely >= len(found)


def _parsed(text: str, name: str, delimiter: str, first_row: bool) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.BytesIO(text.encode()),  # a StringIO would take four bytes for each character
            sep=delimiter,
            header=None,
            nrows=1 if first_row else None,
            dtype=str,
            keep_default_na=False,
            na_values=None if first_row else list(MISSING),
            na_filter=not first_row,
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError as error:
        raise TableError(f"{name} is empty: a table needs a header and rows") from error
    except pd.errors.ParserError as error:
        raise TableError(f"{name} is no table of text: {_explained(str(error), delimiter)}") from error


def _explained(message: str, delimiter: str) -> str:
    if long := _TOO_LONG.search(message):
        expected, line, seen = long.groups()
        return (
            f"line {line} has {seen} fields and the header {expected}: correct the line, put quotes around fields that "
            f"hold {shown(delimiter)}, or remove what stands above the header"
        )
    if unclosed := _UNCLOSED.search(message):
        return f'a quote (") that opens in line {int(unclosed[1]) + 1} is never closed: close or remove it'
    return message.removeprefix("Error tokenizing data. C error: ").strip()
