"""`TableFiles`: CSV or Parquet files as one table that is read block by block, in any order, in bounded memory."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import pandas as pd
import pyarrow as pa

from yuragi.tables.errors import TableError, listed, shown

Told = Callable[[float], None]
"""Called with the share of a pass that is done."""


@dataclass(frozen=True)
class Block:
    """Rows that are read together: some lines of a text table, or a row group of Parquet.

    Args:
        file: which of the files it is in.
        first: its first row, counted from 0 over all files.
        rows: how many it has.
        place: bytes from and to which it is in the file, or the number of the row group.
    """

    file: int
    first: int
    rows: int
    place: tuple[int, int]


@dataclass(frozen=True)
class TableFiles(ABC):
    """Files of the same columns as one table, in the order of the files.

    Args:
        paths: the files.
        names: of the columns.
        blocks: all rows, in their order.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    blocks: tuple[Block, ...]

    suffix: ClassVar[str]
    """Of such files."""

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(block.rows for block in self.blocks)

    @abstractmethod
    def tables(self, block: Block) -> Iterator[Any]:
        """The rows of a block as tables of pyarrow, a bounded number of rows each, for `frame`.

        Raises:
            TableError: the file is damaged, or another than when it was opened.
        """

    @abstractmethod
    def frame(self, table: Any) -> pd.DataFrame:
        """Rows of `tables` with the types that the columns of the whole table have."""

    @abstractmethod
    def arrow_schema(self) -> Any:
        """Names and types of the columns as pyarrow writes them."""

    def frames(self, blocks: Sequence[Block] | None = None) -> Iterator[tuple[int, pd.DataFrame]]:
        """All rows, or those of some blocks, as DataFrames of a bounded number of rows, each with its first row's number."""
        for block in self.blocks if blocks is None else blocks:
            row = block.first
            for table in self.tables(block):
                yield row, self.frame(table)
                row += len(table)
            if row != block.first + block.rows:
                raise TableError(f"{self.paths[block.file]} has changed while it was being read: start again")

    def of_file(self, place: int) -> Self:
        """The rows of one of the files, counted as in all of them."""
        return replace(self, blocks=tuple(block for block in self.blocks if block.file == place))

    def read(self) -> pd.DataFrame:
        """All of it, in memory."""
        return pd.concat([frame for _, frame in self.frames()], ignore_index=True)

    def sha256(self) -> str:
        """SHA-256 of the bytes of all files, one after another."""
        found = hashlib.sha256()
        for path in self.paths:
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    found.update(piece)
        return found.hexdigest()


def check_same(paths: Sequence[str], path: str, expected: Sequence[str], found: Sequence[str]) -> None:
    """Refuse a file whose columns are not those of the first one."""
    if list(expected) != list(found):
        lost, more = [one for one in expected if one not in found], [one for one in found if one not in expected]
        what = "the same columns in another order"
        if lost or more:
            what = " and ".join([f"not {listed(lost)}"] * bool(lost) + [f"also {listed(more)}"] * bool(more))
        raise TableError(f"{path} is no part of the table of {paths[0]}: it has {what}")


@contextmanager
def counting_from(row: int) -> Iterator[None]:
    """Say of the rows that an error names from which one of the whole table they are counted, where it is not the first."""
    try:
        yield
    except TableError as error:
        if not row or " row " not in str(error):
            raise
        raise TableError(f"{error} (rows are counted from row {row + 1:,} of the table)") from error


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Say of what pyarrow finds wrong with a file which one it is; that it cannot be read at all is another matter."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise TableError(f"{path} is a damaged Parquet file: {shown(str(error), 200)}") from error
