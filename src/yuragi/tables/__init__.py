"""Tables: files and DataFrames in, a schema, numbers for a network, and predictions in the table's units.

    frame = read_table("train.csv")
    schema = Schema.of(frame, target="price")
    x = TableEncoder(schema).fit_transform(frame)

    model = fit_table(frame, target="price")  # all of that, a network, and a check of its error bars
    model.predict_table(read_table("new.xlsx"))

| file | what it is about |
|---|---|
| `reading`, `writing` | `read_table`, `write_table`: CSV, gzip, Parquet, Excel |
| `delimited`, `binary` | text tables, and the others |
| `numerals`, `dates` | numbers and dates written as text |
| `cells`, `columns`, `frames` | what the values of a column are, and the columns of a table |
| `schema`, `notes` | `Schema`: features, target, and what later tables are held against |
| `encoder` | `TableEncoder`: from a table to numbers, by scikit-learn |
| `model` | `TableModel`: a fitted network together with its table |
| `fitting`, `loading` | `fit_table`, `load_table_model` |
| `comparing` | `compare_table`: methods side by side |
| `baselines`, `scores` | what a model should beat, and whether it does |
"""

try:
    from yuragi.tables.columns import Column, LeftOut
    from yuragi.tables.comparing import compare_table
    from yuragi.tables.encoder import TableEncoder
    from yuragi.tables.errors import TableError, TableWarning
    from yuragi.tables.fitting import fit_table
    from yuragi.tables.loading import load_table_model
    from yuragi.tables.model import TableModel
    from yuragi.tables.reading import read_table
    from yuragi.tables.schema import Schema
    from yuragi.tables.writing import write_table
except ModuleNotFoundError as error:
    if error.name not in ("pandas", "sklearn"):
        raise
    raise ModuleNotFoundError(f'tables need {error.name}: pip install "yuragi[tables]"', name=error.name) from error

__all__ = [
    "Column",
    "LeftOut",
    "Schema",
    "TableEncoder",
    "TableError",
    "TableModel",
    "TableWarning",
    "compare_table",
    "fit_table",
    "load_table_model",
    "read_table",
    "write_table",
]
