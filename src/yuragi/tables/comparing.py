"""`compare_table`: the methods of `yuragi.methods` side by side on a table."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from yuragi.comparison import Comparison
from yuragi.comparison.running import GAP, Methods, Progress, chosen_methods, run_all
from yuragi.comparison.scores import Predicted
from yuragi.comparison.splits import Gap, Positions, Split, gaps_of, splits_of
from yuragi.comparison.trial import AllRefusedError, Prepared, Rules
from yuragi.likelihoods import Categorical, Gaussian
from yuragi.networks import TabularNetwork
from yuragi.prediction import NotFiniteError
from yuragi.predictions import QuantilePrediction, RegressionPrediction
from yuragi.tables.encoder import TableEncoder
from yuragi.tables.errors import TableError
from yuragi.tables.fitting import HELD_OUT
from yuragi.tables.frames import as_frame
from yuragi.tables.schema import Schema, Task
from yuragi.tabular.rows import Rows, Units, standardised
from yuragi.tabular.settings import BINS


def compare_table(
    frame: Any,
    target: str,
    methods: Methods | None = None,
    *,
    task: Task | None = None,
    budget: float | None = None,
    splits: int | Iterable[Any] = 5,
    held_out: float = HELD_OUT,
    gap: float = GAP,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Fit every method of `yuragi.methods` to the same rows of a table, and score it on the same others.

    As `yuragi.compare`, with `yuragi.networks.TabularNetwork` for all methods, for a number Gaussian noise of one learned
    size, and scores in the target's units. The kinds of the columns, and what stands for a missing value, are those of the
    whole table; all else of their encoding, and the standardisation of inputs and target, is learnt from the rows that are
    trained on. Rows without a target are left aside. The gap is along the first principal axis of the encoded columns.

    `fit_table` has another noise and settings that were measured: this tells methods apart, and not how well the table can
    be predicted.

    Args:
        frame: the table, of pandas or anything with `to_pandas()`.
        target: the column to predict.
        methods: as for `yuragi.compare`.
        task: "regression" or "classification"; None: as the target says (see `Schema.of`).
        budget: seconds a fit; as long as each takes when None.
        splits: as for `yuragi.compare`; row numbers are those of the rows that have a target.
        held_out: share of the rows to score, where `splits` is a number.
        gap: share of the training rows in the gap; 0 for no such fits.
        seed: of the first split and all that is random in it; each further one has the next.
        progress: as for `yuragi.compare`.

    Returns:
        A `Comparison`.

    Raises:
        TableError: the table cannot be used as it is, or a fit failed.
        ValueError: an argument is out of range, there is no such method, or none could be run.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> frame = pd.DataFrame({"size": rng.normal(size=60), "colour": ["red", "blue"] * 30})
        >>> frame["price"] = 100 + 5 * frame["size"] + rng.normal(size=60)
        >>> found = compare_table(frame, "price", {"last_layer": {"epochs": 20}}, splits=1, gap=0)
        >>> [row["method"] for row in found.table()], found.sizes
        (['last_layer'], ((48, 12),))
    """
    chosen = chosen_methods(methods)
    frame = as_frame(frame)
    schema = Schema.of(frame, target, task)
    rules = Rules(Categorical() if schema.classes else Gaussian(), budget=budget)
    known = schema.with_target(frame)
    targets = schema.targets(known)
    parts = _splits(schema, known, targets, splits, held_out, gap, seed)
    y = torch.tensor(targets)
    about = {"target": target, "task": schema.task, "rows": len(known), "network": "TabularNetwork", "gap": gap}
    try:
        return run_all(
            partial(_prepared, schema, known, targets),
            y if schema.classes else y.reshape(-1, 1),
            *parts,
            chosen,
            rules,
            seed=seed,
            about=about,
            progress=progress,
        )
    except AllRefusedError as error:
        raise TableError(str(error)) from error
    except (FloatingPointError, NotFiniteError) as error:
        where = "; ".join(getattr(error, "__notes__", []))
        raise TableError(f"a fit failed ({where}: {error}): look for values that are far from all others") from error


def _splits(
    schema: Schema,
    known: pd.DataFrame,
    targets: np.ndarray[Any, Any],
    splits: int | Iterable[Any],
    held_out: float,
    gap: float,
    seed: int,
) -> tuple[list[Split], list[Gap]]:
    try:
        found = splits_of(splits, len(known), held_out, seed, targets if schema.classes else None)
        return found, gaps_of(found, torch.from_numpy(TableEncoder(schema).fit_transform(known, targets)), gap)
    except ValueError as error:
        raise TableError(str(error)) from error


def _prepared(
    schema: Schema, known: pd.DataFrame, targets: np.ndarray[Any, Any], trained: Positions, seed: int
) -> Prepared:
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(known.iloc[trained].reset_index(drop=True), targets[trained])
    rows = Rows(x, targets[trained] if schema.classes else targets[trained].reshape(-1, 1), None)
    units = rows.units()
    inputs = standardised(x, units.x_loc, units.x_scale)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = TabularNetwork(inputs, len(schema.classes) or 1, bins=BINS)

    def encoded(places: Positions) -> torch.Tensor:
        table = known.iloc[places].reset_index(drop=True)
        return standardised(encoder.transform(table), units.x_loc, units.x_scale)

    return Prepared(net, (inputs, rows.targets(units)), encoded, partial(_in_units, units))


def _in_units(units: Units, prediction: Predicted) -> Predicted:
    if isinstance(prediction, (RegressionPrediction, QuantilePrediction)):
        return prediction.rescaled(units.loc, units.scale)
    return prediction
