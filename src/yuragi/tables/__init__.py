"""Tables: files and DataFrames in, a schema, numbers for a network, and predictions in the table's units.

    frame = read_table("train.csv")
    schema = Schema.of(frame, target="price")
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(frame)

| file | what it is about |
|---|---|
| `reading`, `writing` | `read_table`, `write_table`: CSV, gzip, Parquet, Excel |
| `delimited`, `binary` | text tables, and the others |
| `numerals`, `dates` | numbers and dates written as text |
| `cells`, `columns`, `frames` | what the values of a column are, and the columns of a table |
| `schema`, `notes` | `Schema`: features, target, and what later tables are held against |
| `encoder` | `TableEncoder`: from a table to numbers, by scikit-learn |
| `model` | a fitted network together with its table |
"""

try:
    from yuragi.tables.columns import Column, LeftOut
    from yuragi.tables.encoder import TableEncoder
    from yuragi.tables.errors import TableError, TableWarning
    from yuragi.tables.model import (
        HIDDEN,
        MEMBERS,
        Columns,
        TableModel,
        fit_table,
        load_table_model,
        read_csv,
        write_csv,
    )
    from yuragi.tables.reading import read_table
    from yuragi.tables.schema import Schema
    from yuragi.tables.writing import write_table
except ModuleNotFoundError as error:
    if error.name not in ("pandas", "sklearn"):
        raise
    raise ModuleNotFoundError(f'tables need {error.name}: pip install "yuragi[tables]"', name=error.name) from error

__all__ = [
    "HIDDEN",
    "MEMBERS",
    "Column",
    "Columns",
    "LeftOut",
    "Schema",
    "TableEncoder",
    "TableError",
    "TableModel",
    "TableWarning",
    "fit_table",
    "load_table_model",
    "read_csv",
    "read_table",
    "write_csv",
    "write_table",
]
