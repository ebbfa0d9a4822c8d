"""Files of a table predicted block by block, into one file: what a process does alone, and a worker of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from yuragi.large_tables.appending import appending
from yuragi.large_tables.sources import Block, TableFiles, Told, counting_from
from yuragi.tables.model import TableModel
from yuragi.tables.notes import Unusual, together


@dataclass(frozen=True)
class Done:
    """What was predicted: how many rows, the columns that were added, and what is unusual about the rows."""

    rows: int
    added: tuple[str, ...]
    unusual: list[Unusual]


@dataclass(frozen=True)
class Task:
    """How files are predicted, wherever that is."""

    files: TableFiles
    level: float
    samples: int
    seed: int
    output_encoding: str

    def run(self, model: TableModel, places: Sequence[int], output: str, told: Told | None = None) -> Done:
        """Predict some of the files, one after another, into one file."""
        rows, unusual, added = 0, list[Unusual](), tuple[str, ...]()
        blocks = [block for block in self.files.blocks if block.file in places]
        predicted = self._predicted(model, blocks)
        first = next(predicted, None)
        if first is None:
            return Done(0, (), [])
        schema = _schema(self.files, first[2])
        with appending(output, schema, self.output_encoding) as append:
            while first is not None:
                row, frame, table = first
                append(table)
                unusual = together(unusual, model.schema.unusual(frame), rows)
                rows += len(table)
                added = tuple(str(name) for name in table.columns[frame.shape[1] :])
                if told is not None:
                    told(min(1.0, (row + len(table)) / len(self.files)))
                first = next(predicted, None)
        return Done(rows, added, unusual)

    def _predicted(
        self, model: TableModel, blocks: Sequence[Block]
    ) -> Iterator[tuple[int, pd.DataFrame, pd.DataFrame]]:
        for row, frame in self.files.frames(blocks):
            with counting_from(row):
                yield row, frame, model.predict_table(frame, self.level, self.samples, self.seed)


def _schema(files: TableFiles, table: pd.DataFrame) -> Any:
    """Names and types of a table with its predictions: those of the file's columns, numbers, and text for a label."""
    schema = files.arrow_schema()
    for name in table.columns[len(files.names) :]:
        number = pd.api.types.is_numeric_dtype(table[name].dtype)
        schema = schema.append(pa.field(str(name), pa.float64() if number else pa.large_string()))
    return schema
