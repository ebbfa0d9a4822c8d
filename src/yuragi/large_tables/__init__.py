"""Tables larger than memory: files in blocks, fitted and predicted in bounded memory, on one machine or on a cluster.

    model = fit_files("part-*.parquet", target="price")  # a TableModel, as fit_table gives one
    predict_files(model, "new-*.parquet", "predicted/")

| file | what it is about |
|---|---|
| `opening`, `sources` | `open_files`: paths and patterns as one table, in blocks |
| `text_files`, `text_columns`, `parquet_files` | blocks of CSV, what its columns hold, and blocks of Parquet |
| `drawn_rows` | rows drawn by their numbers |
| `moments`, `levels`, `one_pass` | scales, levels and mean targets in one pass |
| `shuffled` | minibatches in a random order, through a buffer |
| `fitting` | `fit_files` |
| `appending`, `scoring`, `predicting` | `predict_files`: tables predicted and written block by block |
| `cluster` | the same on Ray |
"""

from yuragi.large_tables.fitting import fit_files
from yuragi.large_tables.opening import open_files
from yuragi.large_tables.predicting import predict_files
from yuragi.large_tables.shuffled import ShuffledRows
from yuragi.large_tables.sources import TableFiles

__all__ = ["ShuffledRows", "TableFiles", "fit_files", "open_files", "predict_files"]
