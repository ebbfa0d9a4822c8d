"""How the columns of a text table write their values, found block by block, and the values themselves.

What `delimited.with_numbers` finds of a column from all of its values, `Written` finds from one block after another: the
numbers of a table that is read in blocks are those of the same table read at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from yuragi.tables import numerals
from yuragi.tables.cells import Floats
from yuragi.tables.delimited import MISSING

_MISSING = pa.array(MISSING)
_RE2 = {sign: f"^(?:{pattern})$" for sign, pattern in numerals.PATTERNS.items()}
_LEADING_ZERO, _WHOLE, _LONG = r"^[+-]?0[0-9]+$", r"^[+-]?(?:0|[1-9][0-9]{0,17})$", r"^[+-]?[0-9]{19,}$"


@dataclass
class Written:
    """What the values of one column have been so far.

    Attributes:
        signs: the decimal signs with which all are numbers: ".", ",", both, or none.
        whole: whether all are integers of at most 18 digits.
        long: whether one is an integer of more.
        missing: how many are missing.
        present: how many are not.
    """

    signs: str = ".,"
    whole: bool = True
    long: bool = False
    missing: int = 0
    present: int = 0

    def see(self, column: Any) -> None:
        """Take in the texts of a block, null where missing."""
        texts = column.drop_null()
        self.missing += len(column) - len(texts)
        self.present += len(texts)
        if not len(texts) or not self.signs:
            return
        texts = _plain(texts)
        if pc.any(pc.match_substring_regex(texts, _LEADING_ZERO)).as_py() or _longest(texts) > numerals.LONGEST:
            self.signs = ""
            return
        self.signs = "".join(sign for sign in self.signs if _all_match(texts, _RE2[sign]))
        self.whole = self.whole and bool(self.signs) and _all_match(texts, _WHOLE)
        if self.signs and not self.whole and not self.long:
            self.long = bool(pc.any(pc.match_substring_regex(texts, _LONG)).as_py())

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers: some, and none that a float64 would not keep."""
        return bool(self.present and self.signs) and (self.whole or not self.long)


def as_text(column: Any, trim: bool) -> Any:
    """Texts of a block as a text table has them, null where a field says that it is missing.

    Args:
        column: the texts.
        trim: whether some may begin with spaces, which do not count.
    """
    if trim:
        column = pc.utf8_ltrim(column, characters=" ")
    return pc.if_else(pc.is_in(column, value_set=_MISSING), pa.scalar(None, pa.string()), column)


def common_sign(columns: Sequence[Written]) -> str:
    """The decimal sign of a column whose own values leave it open: that of those which do not."""
    clear = {written.signs for written in columns if written.present and len(written.signs) == 1}
    return "," if clear == {","} else "."


def values(column: Any, written: Written, common: str) -> pd.Series[Any]:
    """The values of a block: int64, Int64 where the column misses any, float64, or text."""
    if not written.numeric:
        return column.to_pandas()  # type: ignore[no-any-return]
    if written.whole:
        found, gone = _integers(column), column.is_null().to_numpy(zero_copy_only=False)
        return pd.Series(pd.arrays.IntegerArray(found, gone) if written.missing else found)
    return pd.Series(_floats(column, written.signs if len(written.signs) == 1 else common))


def _integers(column: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    plain = pc.replace_substring_regex(_plain(column), r"^\+", "")
    return np.asarray(pc.fill_null(plain.cast(pa.int64()), 0), dtype=np.int64)


def _floats(column: Any, sign: str) -> Floats:
    plain = _plain(column)
    if sign == ".":
        try:
            return np.asarray(plain.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        except pa.ArrowInvalid:  # groups of thousands, a plus: what the next lines read
            pass
    encoded = plain.dictionary_encode()
    numbers = numerals.numbers([*encoded.dictionary.to_pylist(), None], sign)
    codes = encoded.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)
    found: Floats = numbers[codes]
    return found


def _plain(texts: Any) -> Any:
    # as `numerals.plain`, text by text only where one is not ASCII
    trimmed = pc.utf8_trim_whitespace(texts)
    if pc.all(pc.string_is_ascii(trimmed)).as_py() is not False:
        return trimmed
    encoded = texts.dictionary_encode()
    plain = pa.array([numerals.plain(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return plain.take(encoded.indices)


def _all_match(texts: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern, ignore_case=True)).as_py())


def _longest(texts: Any) -> int:
    return int(pc.max(pc.utf8_length(texts)).as_py())
