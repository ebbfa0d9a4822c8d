"""`predict_files`: predictions for tables of any number of rows, read, predicted and written block by block."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yuragi.large_tables.appending import SUFFIXES, check_suffix
from yuragi.large_tables.cluster import run_on_ray
from yuragi.large_tables.opening import FileNames, open_files
from yuragi.large_tables.scoring import Task
from yuragi.large_tables.sources import TableFiles
from yuragi.tables.errors import TableError
from yuragi.tables.model import SAMPLES, TableModel
from yuragi.tables.notes import Unusual, together

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class PredictedFiles:
    """What was predicted and written.

    Args:
        rows: how many.
        added: the columns that are added.
        files: what was written.
        notes: what is unusual about the rows, as `Schema.notes` says it.
    """

    rows: int
    added: tuple[str, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...]


def predict_files(
    model: TableModel,
    source: FileNames | TableFiles,
    output: str | os.PathLike[str],
    *,
    level: float = 0.9,
    samples: int = SAMPLES,
    seed: int = 0,
    engine: Engine = "local",
    output_encoding: str = "utf-8",
    encoding: str | None = None,
    delimiter: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> PredictedFiles:
    """Predict every row of a table of any size, in bounded memory: the rows in their order, with further columns.

    The predictions are those of `TableModel.predict_table` for the whole table: the weights of a draw are the same in all
    blocks.

    Args:
        model: as `fit_files` or `fit_table` gives it, or `load_table_model`.
        source: paths, patterns, or what `open_files` has opened.
        output: a file (.csv, .csv.gz or .parquet), "-" for standard output, or a folder, which then gets a file for each
            file of the source that has rows, under its name. A path that ends in a slash is a folder, and is made. Every
            file is there whole, or not at all.
        level: probability that the interval from _lower to _upper holds the target.
        samples: draws.
        seed: of the draws.
        engine: "local": in this process. "ray": on Ray (extra `ray`), each file by a worker, which loads the model once; the
            output is a folder that all workers see, as the source is. What a worker that dies was at is done anew.
        output_encoding: of CSV.
        encoding: of text, as for `open_files`.
        delimiter: of text, as for `open_files`.
        progress: called with the share of the rows that is done.

    Raises:
        TableError: the table has not the columns of the model, or the output cannot be written in that form.
        ValueError: an argument is out of range.
        OSError: a file cannot be read or written.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> from yuragi.tables import fit_table
        >>> frame = pd.DataFrame({"size": range(60), "price": [3.5 * size for size in range(60)]})
        >>> model = fit_table(frame, "price", posterior="anchored", members=2, epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     frame.to_csv(f"{folder}/new.csv", index=False)
        ...     done = predict_files(model, f"{folder}/new.csv", f"{folder}/predicted.parquet")
        ...     done.rows, done.added[:2], len(pd.read_parquet(done.files[0]))
        (60, ('price_mean', 'price_std'), 60)
    """
    if not 0 < level < 1:
        raise ValueError(f"an interval's level must lie strictly between 0 and 1, got {level}")
    if engine not in ("local", "ray"):
        raise ValueError(f'engine must be "local" or "ray", got {engine!r}')
    files = source if isinstance(source, TableFiles) else open_files(source, encoding=encoding, delimiter=delimiter)
    name = os.fspath(output)
    task = Task(files, level, samples, seed, output_encoding)
    if not _is_folder(name):
        if engine == "ray":
            raise TableError(f"--engine ray writes a file for each file of the table: give it a folder, as {name}/")
        check_suffix(name)
        if os.path.realpath(name) in {os.path.realpath(path) for path in files.paths}:
            raise TableError(f"{name} is the table itself: give the predictions another name")
        done = [task.run(model, range(len(files.paths)), name, progress)]
        written = [name]
    else:
        written = _names(files, name)
        os.makedirs(name, exist_ok=True)
        if engine == "ray":
            done = run_on_ray(model, task, written)
        else:
            done = [task.run(model, [place], path, progress) for place, path in enumerate(written)]
    written = [path for path, one in zip(written, done, strict=True) if one.rows]
    rows, unusual = 0, list[Unusual]()
    for one in done:
        unusual = together(unusual, one.unusual, rows)
        rows += one.rows
    added = next((one.added for one in done if one.added), ())
    return PredictedFiles(rows, added, tuple(written), tuple(model.schema.sentences(unusual, files.names)))


def _is_folder(name: str) -> bool:
    return name.endswith(("/", os.sep)) or Path(name).is_dir()


def _names(files: TableFiles, folder: str) -> list[str]:
    """What each file of a table is called in the folder of the predictions."""
    names: list[str] = []
    for path in files.paths:
        base = os.path.basename(path)
        names.append(os.path.join(folder, base if base.lower().endswith(SUFFIXES) else base + files.suffix))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"two files of the table are called {os.path.basename(twice)}: predict them one by one")
    for path, name in zip(files.paths, names, strict=True):
        if os.path.realpath(path) == os.path.realpath(name):
            raise TableError(f"{folder} is the folder of the table itself: give the predictions another one")
    return names
