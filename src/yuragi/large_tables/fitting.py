"""`fit_files`: a `TableModel` from a table that does not fit into memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from yuragi.large_tables.drawn_rows import DrawnRows, Numbers, read_drawn
from yuragi.large_tables.one_pass import LearntColumns, learn_columns
from yuragi.large_tables.opening import FileNames, open_files
from yuragi.large_tables.shuffled import Part, ShuffledRows
from yuragi.large_tables.sources import TableFiles, counting_from
from yuragi.pace import Progress
from yuragi.tables import cells
from yuragi.tables.baselines import Baselines
from yuragi.tables.cells import Floats
from yuragi.tables.errors import TableError, listed, shown
from yuragi.tables.fitting import HELD_OUT, described_fit
from yuragi.tables.model import TableModel
from yuragi.tables.schema import Schema, Task
from yuragi.tables.scores import compared
from yuragi.tabular import Posterior, Rows, Units, fit_streamed

SAMPLE = 50_000
"""Rows of the sample, of up to 40 columns; more columns have fewer."""
CHECKED = 10_000
"""The most rows that are held out to check the error bars."""
_CELLS, _FEWEST = 2_000_000, 2_000  # of the sample
_CHOSEN_BY = 20_000  # rows of the sample by which settings are chosen, at most
_OPENED, _SAMPLED, _LEARNT = 0.1, 0.15, 0.2  # shares of the job, for whoever watches it


def fit_files(
    source: FileNames | TableFiles,
    target: str,
    task: Task | None = None,
    *,
    held_out: float = HELD_OUT,
    posterior: Posterior = "auto",
    members: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    time_budget: float | None = None,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> TableModel:
    """Fit a network to a table of any number of rows, in bounded memory; the model is one as of `fit_table`.

    The files are read from beginning to end: text once for where its rows are, then for a sample of 50,000 rows, once for
    what the columns hold, and once an epoch, in blocks in a random order. The sample says what kind of column each is,
    and its percentiles; the bins of the network, the baselines and the choice of settings are by its rows. Scales, levels
    and mean targets are of all rows. See docs/large_tables.md.

    Args:
        source: paths, patterns, or what `open_files` has opened.
        target: the column to predict.
        task: "regression" or "classification"; None: as the target says.
        held_out: share of the rows to check the error bars on, 10,000 of them at most; 0 for none. Which rows these are
            depends on their numbers and the seed alone.
        posterior: as for `yuragi.tables.fit_table`.
        members: as there.
        epochs: passes over all rows; None: as there, but no more than make 20,000 steps, and one at least.
        seed: of everything random: the same files and seed give the same model.
        device: where to fit; the CPU when left out.
        time_budget: seconds for the fit, from when the columns are known; it may end within an epoch.
        progress: called with the share of the whole job that is done, as for `fit_table`. Where it stops the job before the
            fit has begun, there is no model.
        checkpoint: a folder for checkpoints of the fit, one a minute, as for `yuragi.fit`.
        resume: continue from the newest; the columns are found again before.
        encoding: of text, as for `open_files`.
        delimiter: of text, as for `open_files`.

    Raises:
        TableError: the table cannot be used as it is.
        ValueError: an argument is out of range.
        OSError: a file cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> rng = np.random.default_rng(0)
        >>> frame = pd.DataFrame({"size": rng.normal(size=60), "colour": ["red", "blue"] * 30})
        >>> frame["price"] = 100 + 5 * frame["size"] + rng.normal(size=60)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part in range(3):
        ...         frame[20 * part : 20 * part + 20].to_csv(f"{folder}/part-{part}.csv", index=False)
        ...     model = fit_files(f"{folder}/part-*.csv", "price", posterior="anchored", members=3, epochs=300)
        >>> p = model.predict(pd.DataFrame({"size": [0.0], "colour": ["red"]}))
        >>> bool(abs(p.mean - 100) < 3), model.about["scores"]["rows"]
        (True, 12)
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must be a share of the rows, from 0 to below 1, got {held_out}")
    start = time.perf_counter()
    watched = _Watched(progress)
    files: TableFiles
    if isinstance(source, TableFiles):
        files = source
    else:
        files = open_files(source, encoding=encoding, delimiter=delimiter, told=watched.between(0.0, _OPENED))
    if target not in files.names:
        raise TableError(f"the target column {shown(target)} is missing; the table has {listed(files.names)}")
    most = max(_FEWEST, min(SAMPLE, _CELLS // len(files.names)))
    drawn = DrawnRows.of(len(files), most, seed)
    checked = DrawnRows.of(len(files), min(int(held_out * len(files)), CHECKED, most // 2), seed)  # some of those
    numbers, sample = read_drawn(files, drawn, watched.between(_OPENED, _SAMPLED))
    schema = Schema.of(sample, target, task)
    known = ~cells.missing(sample[target])
    numbers, sample = numbers[known], sample[known].reset_index(drop=True)
    told = watched.between(_SAMPLED, _LEARNT)
    learnt = learn_columns(files, sample, schema, checked, task=task, seed=seed, told=told)
    schema = learnt.schema
    held = checked.holds(numbers)
    x, y = _of_rows(learnt, sample[~held], numbers[~held])
    rows = Rows.of(x, y, schema.task)
    try:
        tabular = fit_streamed(
            rows,
            _Stream(files, learnt, checked, x, y, seed, device),
            schema.task,
            loc=torch.tensor([learnt.loc], dtype=torch.float64),
            scale=torch.tensor([learnt.scale], dtype=torch.float64),
            posterior=posterior,
            members=members,
            classes=len(schema.classes) or None,
            epochs=epochs,
            time_budget=time_budget,
            progress=None if progress is None else lambda done: progress(_LEARNT + (1 - _LEARNT) * done),
            checkpoint=checkpoint,
            resume=resume,
            device=device,
            seed=seed,
        )
    except FloatingPointError as error:
        raise TableError(f"the fit failed ({error}): look for values that are far from all others") from error
    baselines = Baselines.fit(x, y, len(schema.classes), seed)
    scores = None
    if held.any():
        table = sample[held].reset_index(drop=True)
        encoded = learnt.encoder.transform(table)
        scores = compared(tabular.predict(encoded, seed=seed), baselines.predictions(encoded), schema.targets(table))
    about = {
        "data": {"sha256": files.sha256(), "rows": len(files), "columns": len(files.names), "files": len(files.paths)},
        "rows": {
            "learnt from": learnt.learnt,
            "held out": learnt.checked,
            "without a target": schema.target.missing,
            "in the sample": len(sample),
        },
        "scores": scores,
        **described_fit(tabular, posterior, time_budget, seed, time.perf_counter() - start),
    }
    return TableModel(schema, learnt.encoder, tabular, baselines, about)


class _Watched:
    """Whoever watches a job, while its files are read."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def between(self, begin: float, end: float) -> Callable[[float], None]:
        """What to tell the share of a part of the job that goes from `begin` to `end`."""

        def told(done: float) -> None:
            if self.progress is not None and self.progress(begin + (end - begin) * done):
                raise TableError("stopped while the table was still being read: nothing had been learnt yet")

        return told


class _Stream:
    """Makes the batches of all training rows, once it is known how they are to be standardised."""

    def __init__(
        self,
        files: TableFiles,
        learnt: LearntColumns,
        checked: DrawnRows,
        x: Floats,
        y: np.ndarray[Any, Any],
        seed: int,
        device: torch.device | str | None,
    ) -> None:
        self.files, self.learnt, self.checked, self.seed = files, learnt, checked, seed
        self.device = "cpu" if device is None else device
        chosen = np.random.default_rng(seed).permutation(len(y))[:_CHOSEN_BY]
        self.sample = x[chosen], y[chosen]

    def __call__(self, units: Units) -> ShuffledRows:
        def read(block: int) -> Iterator[Part]:
            for row, frame in self.files.frames([self.files.blocks[block]]):
                numbers = np.arange(row, row + len(frame))
                kept = ~cells.missing(frame[self.learnt.schema.target.name]) & ~self.checked.holds(numbers)
                if kept.any():
                    with counting_from(row):
                        x, y = _of_rows(self.learnt, frame[kept], numbers[kept])
                    yield *self._tensors(x, y, units), torch.from_numpy(numbers[kept])

        return ShuffledRows(
            read,
            len(self.files.blocks),
            self.learnt.learnt,
            sample=self._tensors(*self.sample, units),
            seed=self.seed,
            device=self.device,
        )

    def _tensors(self, x: Floats, y: np.ndarray[Any, Any], units: Units) -> tuple[torch.Tensor, torch.Tensor]:
        dtype = torch.get_default_dtype()
        inputs = torch.from_numpy((x - units.x_loc.numpy()) / units.x_scale.numpy()).to(dtype)
        if self.learnt.schema.task == "classification":
            return inputs, torch.from_numpy(y)
        return inputs, torch.from_numpy((y[:, None] - units.loc.numpy()) / units.scale.numpy()).to(dtype)


def _of_rows(learnt: LearntColumns, frame: pd.DataFrame, numbers: Numbers) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Encoded inputs and targets of training rows of these numbers."""
    table = frame.reset_index(drop=True)
    return learnt.training_inputs(table, numbers), learnt.schema.targets(table)
