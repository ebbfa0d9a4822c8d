"""Tables of numbers: from a CSV file or a DataFrame to a fitted network, and predictions back in the table's units."""

from __future__ import annotations

import gzip
import lzma
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from yuragi import files
from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.likelihoods import Gaussian
from yuragi.metrics import interval_coverage, rmse
from yuragi.posteriors import Anchored
from yuragi.prediction import RegressionPrediction, predict
from yuragi.priors import FanIn
from yuragi.tables.errors import TableError
from yuragi.training import Epoch, History, fit

HIDDEN = (100, 100)
_LARGEST = 1e100  # whose square is a float64 still
MEMBERS = 20
_NO_CSV = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    EOFError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class Columns:
    """Which columns a model reads, and how they are standardised: z = (value − loc) / scale.

    Locations and scales come from the training table alone; a column that is constant there has scale 1.
    """

    features: tuple[str, ...]
    feature_loc: tuple[float, ...]
    feature_scale: tuple[float, ...]
    target: str
    target_loc: float
    target_scale: float

    @classmethod
    def of(cls, frame: pd.DataFrame, target: str) -> Columns:
        """Learn the columns from a training table: every column but the target is a feature.

        Raises:
            TableError: the target is missing or constant, a column is not numeric or has missing values, or no feature is
                left.
        """
        _check_column_names(frame)
        y = _target(frame, target)
        features = tuple(str(name) for name in frame.columns if name != target)
        if not features:
            raise TableError(f"the table has no column besides the target '{target}': nothing to predict from")
        if _constant(y):
            raise TableError(
                f"the target '{target}' is constant ({y[0]:g} in all {len(y)} rows): there is nothing to learn"
            )
        x = _numbers(frame, features)
        scale = np.where(_constant(x), 1.0, x.std(0))
        return cls(features, tuple(x.mean(0).tolist()), tuple(scale.tolist()), target, float(y.mean()), float(y.std()))

    def x(self, frame: pd.DataFrame) -> Tensor:
        """Standardised features, float32 [N, features].

        Raises:
            TableError: a column is missing, not numeric, or has missing values.
        """
        _check_column_names(frame)
        missing = [name for name in self.features if name not in frame.columns]
        if missing:
            raise TableError(
                f"column '{missing[0]}' is missing"
                + (f" (and {len(missing) - 1} more: {', '.join(missing[1:])})" if len(missing) > 1 else "")
                + f"; the model was fitted on {', '.join(self.features)}"
            )
        values = (_numbers(frame, self.features) - np.array(self.feature_loc)) / np.array(self.feature_scale)
        return torch.as_tensor(values, dtype=torch.float32)

    def y(self, frame: pd.DataFrame) -> Tensor:
        """The target in its own units, float64 [N, 1].

        Raises:
            TableError: the column is missing, not numeric, or has missing values.
        """
        return torch.as_tensor(_target(frame, self.target)).reshape(-1, 1)

    def standardised_y(self, frame: pd.DataFrame) -> Tensor:
        """The standardised target, float32 [N, 1]."""
        return ((self.y(frame) - self.target_loc) / self.target_scale).float()


@dataclass(frozen=True)
class TableModel:
    """A fitted network together with the columns that it reads and the sizes of its hidden layers."""

    bnn: Bayesian
    columns: Columns
    hidden: tuple[int, ...]

    def predict(self, frame: pd.DataFrame, samples: int = 100, seed: int = 0) -> RegressionPrediction:
        """Predict the target of each row, in its own units: a `RegressionPrediction` of [N, 1]."""
        prediction = predict(self.bnn, self.columns.x(frame), samples=samples, seed=seed)
        assert isinstance(prediction, RegressionPrediction)
        return prediction.rescaled(self.columns.target_loc, self.columns.target_scale)

    def predict_table(self, frame: pd.DataFrame, level: float = 0.9, samples: int = 100, seed: int = 0) -> pd.DataFrame:
        """The table with the columns <target>_mean, _std, _epistemic, _aleatoric, _lower and _upper added.

        Args:
            frame: a table with the model's features; other columns are kept.
            level: probability that the interval from `_lower` to `_upper` holds the target.
            samples: draws.
            seed: of the draws.

        Raises:
            TableError: a column is missing, cannot be used, or has the name of one that would be added.
        """
        prediction = self.predict(frame, samples, seed)
        lower, upper = prediction.interval(level)
        parts = {
            "mean": prediction.mean,
            "std": prediction.std,
            "epistemic": prediction.epistemic,
            "aleatoric": prediction.aleatoric,
            "lower": lower,
            "upper": upper,
        }
        added = {f"{self.columns.target}_{name}": part[:, 0].numpy() for name, part in parts.items()}
        taken = [name for name in added if name in frame.columns]
        if taken:
            raise TableError(f"the table has a column '{taken[0]}' already, where the prediction would go: rename it")
        return frame.assign(**added)

    def evaluate(self, frame: pd.DataFrame, samples: int = 100, seed: int = 0) -> dict[str, float]:
        """Scores on a table that has the target, in the target's units.

        Returns:
            "rows", "rmse", "log_likelihood" (mean log density, nats), "coverage_90" (fraction of targets inside the
            90 % interval) and "crps".
        """
        y = self.columns.y(frame)
        prediction = self.predict(frame, samples, seed)
        lower, upper = prediction.interval(0.9)
        return {
            "rows": float(len(frame)),
            "rmse": rmse(prediction.mean, y),
            "log_likelihood": float(prediction.log_prob(y).mean()),
            "coverage_90": interval_coverage(lower, upper, y),
            "crps": float(prediction.crps(y).mean()),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that is complete: `load_table_model` needs nothing else."""
        files.save(self.bnn, path, extra={"table": {"columns": asdict(self.columns), "hidden": list(self.hidden)}})


def fit_table(
    frame: pd.DataFrame,
    target: str,
    *,
    hidden: Sequence[int] = HIDDEN,
    members: int = MEMBERS,
    epochs: int | None = None,
    seed: int = 0,
    callbacks: Sequence[Callable[[Epoch], bool | None]] = (),
) -> tuple[TableModel, History]:
    """Fit a network with anchored members, a fan-in prior and a learned noise to a table of numbers.

    Args:
        frame: the training table; every column but the target is a feature.
        target: the column to predict.
        hidden: units of each hidden layer.
        members: networks in the mixture.
        epochs: as for `fit`.
        seed: of everything random; the global random state is left alone.
        callbacks: as for `fit`.

    Returns:
        The model and the history of its fit.

    Raises:
        TableError: the table cannot be used as it is.
    """
    columns = Columns.of(frame, target)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _network(len(columns.features), hidden)
    bnn = bayesianize(
        net, likelihood=Gaussian("learned"), prior=FanIn(), posterior=Anchored(seed), members=members, seed=seed
    )
    history = fit(bnn, (columns.x(frame), columns.standardised_y(frame)), epochs=epochs, seed=seed, callbacks=callbacks)
    return TableModel(bnn, columns, tuple(hidden)), history


def load_table_model(path: str | os.PathLike[str]) -> TableModel:
    """Read a file that `TableModel.save` wrote.

    Raises:
        FileError: the file is damaged, of another kind, or holds a network without its table.
    """
    extra: dict[str, Any] = files.read(path).extra
    if "table" not in extra:
        raise files.FileError(f"{path} holds a network without the table it was fitted on: load it with yuragi.load")
    described = extra["table"]["columns"]
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items()}
    columns, hidden = Columns(**restored), tuple(extra["table"]["hidden"])
    return TableModel(files.load(path, _network(len(columns.features), hidden)), columns, hidden)


def read_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a CSV file with a header.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a CSV file, a row is longer than the header, a name stands twice in it, or there are no rows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, index_col=False)  # else a row with one field more would shift the columns
            header = pd.read_csv(path, header=None, nrows=1, dtype=str)
    except pd.errors.ParserWarning as warning:
        raise TableError(f"{path} has rows with more fields than its header") from warning
    except (*_NO_CSV, UnicodeDecodeError) as error:
        raise TableError(f"{path} is not a CSV file with a header: {str(error).strip()}") from error
    names = header.iloc[0].dropna()
    if names.duplicated().any():  # pandas would rename the second one
        raise TableError(
            f"{path}: column '{names[names.duplicated()].iloc[0]}' appears more than once: rename one of them"
        )
    if frame.empty:
        raise TableError(f"{path} has no rows")
    return frame


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV, whole or not at all."""
    files.write_atomically(Path(path), frame.to_csv(index=False).encode())


def _constant(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # not std == 0: that of a thousand times 0.1 is 1e-17
    constant: np.ndarray[Any, Any] = np.ptp(values, 0) <= 1e-12 * np.abs(values).max(0)
    return constant


def _network(features: int, hidden: Sequence[int]) -> nn.Sequential:
    sizes = (features, *hidden)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


def _target(frame: pd.DataFrame, target: str) -> np.ndarray[Any, Any]:
    if target not in frame.columns:
        raise TableError(f"the target column '{target}' is missing; the table has {', '.join(map(str, frame.columns))}")
    column: np.ndarray[Any, Any] = _numbers(frame, (target,))[:, 0]
    return column


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray[Any, Any]:
    for name in names:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            numbers = pd.to_numeric(column, errors="coerce")
            example = column[numbers.isna()].iloc[0] if numbers.isna().any() else column.iloc[0]
            raise TableError(f"column '{name}' is not numeric (it holds {example!r}): encode it as numbers, or drop it")
        values = column.to_numpy(dtype=float)
        if (np.abs(values[np.isfinite(values)]) > _LARGEST).any():
            raise TableError(f"column '{name}' has values beyond {_LARGEST:g} in size: give it in another unit")
        bad = ~np.isfinite(values)
        if bad.any():
            raise TableError(
                f"column '{name}' has {int(bad.sum())} missing or infinite values, the first in row {int(bad.argmax()) + 1}: "
                "fill or drop them"
            )
    return np.array(frame[list(names)], dtype=float)  # a copy that torch may share


def _check_column_names(frame: pd.DataFrame) -> None:
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise TableError(f"column '{twice[0]}' appears more than once: rename one of them")
