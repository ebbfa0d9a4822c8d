"""Parquet files, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from yuragi.large_tables.sources import ARROW_ERRORS, Block, TableFiles, arrow_error, check_same
from yuragi.tables import binary
from yuragi.tables.delimited import COLUMNS
from yuragi.tables.errors import TableError, listed
from yuragi.tables.reading import LARGEST

_CELLS, _ROWS = 1 << 20, 1 << 16  # of the rows that are read at once, at most


@dataclass(frozen=True)
class ParquetFiles(TableFiles):
    """Parquet files of the same columns.

    Args:
        texts: the columns of text.
        schema: names and types of the columns.
    """

    texts: tuple[str, ...]
    schema: Any

    @classmethod
    def open(cls, paths: tuple[str, ...]) -> Self:
        """Read what the files say of themselves.

        Raises:
            TableError: one is damaged, or has columns of other names or types than the first.
        """
        blocks: list[Block] = []
        schema, texts, row = None, (), 0
        for place, path in enumerate(paths):
            try:
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
                elif not schema.equals(kept := pa.schema([one for one in found if one.name in schema.names])):
                    check_same(paths, path, schema.names, kept.names)
                    other = [one.name for one, its in zip(schema, kept, strict=True) if one.type != its.type]
                    raise TableError(
                        f"{path} is no part of the table of {paths[0]}: {listed(other)} "
                        f"{'is' if len(other) == 1 else 'are'} of another type"
                    )
                for group in range(file.metadata.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if rows:
                        blocks.append(Block(place, row, rows, (group, group + 1)))
                    row += rows
            except ARROW_ERRORS as error:
                if isinstance(error, FileNotFoundError):
                    raise
                raise arrow_error(path, error) from error
        assert schema is not None
        return cls(paths, tuple(schema.names), tuple(blocks), texts, schema)

    def tables(self, block: Block) -> Iterator[Any]:
        """The rows of a row group, some at a time."""
        path = self.paths[block.file]
        rows = max(1, min(_ROWS, _CELLS // len(self.names)))
        try:
            # text as a dictionary, as it is in the file: a few bytes may say that a long text stands in every row
            file = pa.parquet.ParquetFile(path, read_dictionary=list(self.texts), buffer_size=1 << 20)
            groups = list(range(*block.place))
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(self.names), use_threads=False):
                yield pa.Table.from_batches([batch])
        except ARROW_ERRORS as error:
            raise arrow_error(path, error) from error

    def frame(self, table: Any) -> pd.DataFrame:
        """As `read_table` gives it."""
        try:
            return binary.parquet_frame(table, self.paths[0], LARGEST)
        except ARROW_ERRORS as error:
            raise arrow_error(self.paths[0], error) from error

    def arrow_schema(self) -> Any:
        """As in the first file."""
        return self.schema


def parquet_size(path: str) -> tuple[int, int]:
    """Cells and unpacked bytes of a file, as it says itself; none where it is damaged, which reading it tells."""
    try:
        about = pa.parquet.ParquetFile(path).metadata
        groups = [about.row_group(place) for place in range(about.num_row_groups)]
        return about.num_rows * about.num_columns, sum(group.total_byte_size for group in groups)
    except ARROW_ERRORS:
        return 0, 0
