"""Parquet files, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from yuragi.large_tables.sources import Block, TableFiles, check_same, reading
from yuragi.tables import binary
from yuragi.tables.delimited import COLUMNS
from yuragi.tables.errors import TableError, listed
from yuragi.tables.reading import LARGEST

_CELLS, _ROWS = 1 << 20, 1 << 14  # of the rows that are read at once, at most


@dataclass(frozen=True)
class ParquetFiles(TableFiles):
    """Parquet files of the same columns.

    Args:
        texts: the columns of text.
        schema: names and types of the columns.
    """

    texts: tuple[str, ...]
    schema: Any

    suffix = ".parquet"

    @classmethod
    def open(cls, paths: tuple[str, ...]) -> Self:
        """Read what the files say of themselves.

        Raises:
            TableError: one is damaged, or has columns of other names or types than the first.
        """
        blocks: list[Block] = []
        schema: Any = None
        texts: tuple[str, ...] = ()
        row = 0
        for place, path in enumerate(paths):
            with reading(path):
                file = pa.parquet.ParquetFile(path)
                found = file.schema_arrow.remove_metadata()
                if schema is None:
                    flat, text_columns = binary.flat_columns(found, path)
                    texts = tuple(text_columns)
                    if not flat or len(flat) > COLUMNS:
                        raise TableError(f"{path} has {len(flat):,} columns, 1 to {COLUMNS:,} can be used")
                    if len(set(flat)) < len(flat):
                        raise TableError(f"{path} has columns of the same name: rename them")
                    schema = pa.schema([found.field(name) for name in flat])
                else:
                    _check_same(schema, pa.schema([one for one in found if one.name in schema.names]), paths, path)
                for group in range(file.metadata.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if rows:
                        blocks.append(Block(place, row, rows, (group, group + 1)))
                    row += rows
        assert schema is not None
        return cls(paths, tuple(schema.names), tuple(blocks), texts, schema)

    def tables(self, block: Block) -> Iterator[Any]:
        """The rows of a row group, some at a time."""
        path = self.paths[block.file]
        rows = max(1, min(_ROWS, _CELLS // len(self.names)))
        with reading(path):
            # text as a dictionary, as it is in the file: a few bytes may say that a long text stands in every row
            file = pa.parquet.ParquetFile(path, read_dictionary=list(self.texts), buffer_size=1 << 20)
            groups = list(range(*block.place))
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(self.names), use_threads=False):
                yield pa.Table.from_batches([batch])

    def frame(self, table: Any) -> pd.DataFrame:
        """As `read_table` gives it."""
        with reading(self.paths[0]):
            return binary.parquet_frame(table, self.paths[0], LARGEST)

    def arrow_schema(self) -> Any:
        """As in the first file; levels are written as text."""
        plain = [one.with_type(one.type.value_type) if pa.types.is_dictionary(one.type) else one for one in self.schema]
        return pa.schema(plain)


def parquet_size(path: str) -> tuple[int, int]:
    """Cells and unpacked bytes of a file, as it says itself.

    Raises:
        TableError: it is damaged.
    """
    with reading(path):
        about = pa.parquet.ParquetFile(path).metadata
        groups = [about.row_group(place) for place in range(about.num_row_groups)]
        return about.num_rows * about.num_columns, sum(group.total_byte_size for group in groups)


def _check_same(schema: Any, found: Any, paths: tuple[str, ...], path: str) -> None:
    check_same(paths, path, schema.names, found.names)
    other = [one.name for one, its in zip(schema, found, strict=True) if one.type != its.type]
    if other:
        raise TableError(
            f"{path} is no part of the table of {paths[0]}: {listed(other)} {'is' if len(other) == 1 else 'are'} of "
            "another type"
        )
