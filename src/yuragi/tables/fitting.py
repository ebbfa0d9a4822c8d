"""`fit_table`: from a table to a `TableModel`, with error bars that were checked on rows held out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import platform
import time
from typing import Any

import pandas as pd
import torch

import yuragi
from yuragi.comparison.splits import random_split
from yuragi.pace import Progress
from yuragi.ranks import Fabric
from yuragi.tables.baselines import Baselines
from yuragi.tables.encoder import TableEncoder
from yuragi.tables.errors import TableError
from yuragi.tables.frames import as_frame
from yuragi.tables.model import TableModel
from yuragi.tables.schema import Schema, Task
from yuragi.tables.scores import compared
from yuragi.tabular import Posterior, TabularModel, fit_tabular

HELD_OUT = 0.2
"""Share of the rows that are held out to check the error bars, where nothing is said."""
_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn")


def fit_table(
    frame: Any,
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
    every: float = 60.0,
    resume: bool = False,
    fabric: Fabric | None = None,
    sha256: str | None = None,
) -> TableModel:
    """Fit a network to a table, and check its error bars on rows that it has not seen.

    Rows without a target are left aside. The others are split at random, for classification within each class: the network
    learns from the one part, and is scored on the other beside the baselines, which learn from the same rows as it does.

    Args:
        frame: the training table, of pandas or anything with `to_pandas()`.
        target: the column to predict; every other one is a feature, unless it is an identifier, constant or free text.
        task: "regression" or "classification"; None: as the target says (see `Schema.of`).
        held_out: share of the rows to check on, 0 for none.
        posterior: as for `yuragi.tabular.fit_tabular`.
        members: networks in the mixture; None: as `fit_tabular`.
        epochs: passes over the data; None: as `fit_tabular`.
        seed: of the split and everything random; the global random state is left alone.
        device: where to fit; the CPU when left out.
        time_budget: seconds for the fit, as for `yuragi.fit`.
        progress: called with the share of the fit that is done; a true return value stops it, and what was learnt is kept.
        checkpoint: a folder for checkpoints of the fit, as for `yuragi.fit`.
        every: seconds between two, at least.
        resume: continue from the newest, as for `yuragi.fit`: with the same table and settings.
        fabric: of several processes that train together, as for `yuragi.fit`; each calls this with the whole table.
        sha256: of the file that the table was read from, for the record; None: that of the table itself.

    Returns:
        The model; `about["scores"]` are those on the rows held out, None where there were too few to hold any out.

    Raises:
        TableError: the table cannot be used as it is.
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> frame = pd.DataFrame({"size": rng.normal(size=60), "colour": ["red", "blue"] * 30})
        >>> frame["price"] = 100 + 5 * frame["size"] + rng.normal(size=60)
        >>> model = fit_table(frame, "price", posterior="anchored", members=3, epochs=300)
        >>> p = model.predict(pd.DataFrame({"size": [0.0], "colour": ["red"]}))
        >>> bool(abs(p.mean - 100) < 3), model.about["scores"]["rows"]
        (True, 12)
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must be a share of the rows, from 0 to below 1, got {held_out}")
    start = time.perf_counter()
    frame = as_frame(frame)
    schema = Schema.of(frame, target, task)
    known = schema.with_target(frame)
    targets = schema.targets(known)
    learnt, checked = random_split(len(targets), held_out, seed, targets if schema.classes else None)
    table, y = known.iloc[learnt].reset_index(drop=True), targets[learnt]
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(table, y)
    try:
        tabular = fit_tabular(
            x,
            y,
            schema.task,
            posterior=posterior,
            members=members,
            classes=len(schema.classes) or None,
            epochs=epochs,
            seed=seed,
            device=device,
            time_budget=time_budget,
            progress=progress,
            checkpoint=checkpoint,
            every=every,
            resume=resume,
            fabric=fabric,
        )
    except FloatingPointError as error:
        raise TableError(f"the fit failed ({error}): look for values that are far from all others") from error
    baselines = Baselines.fit(x, y, len(schema.classes), seed)
    scores = None
    if len(checked):
        encoded = encoder.transform(known.iloc[checked].reset_index(drop=True))
        prediction = tabular.predict(encoded, seed=seed)
        scores = compared(prediction, baselines.predictions(encoded), targets[checked])
    about = {
        "data": {"sha256": sha256 or _sha256(frame), "rows": len(frame), "columns": frame.shape[1]},
        "rows": {"learnt from": len(learnt), "held out": len(checked), "without a target": len(frame) - len(known)},
        "scores": scores,
        **described_fit(tabular, posterior, time_budget, seed, time.perf_counter() - start),
    }
    return TableModel(schema, encoder, tabular, baselines, about)


def described_fit(
    tabular: TabularModel, posterior: Posterior, time_budget: float | None, seed: int, seconds: float
) -> dict[str, Any]:
    """What `TableModel.about` says of a fit that has just been done, without its data and its scores."""
    history = tabular.history
    assert history is not None
    return {
        "versions": {
            "yuragi": yuragi.__version__,
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "seed": seed,
        "settings": {
            "posterior": posterior if isinstance(posterior, str) else repr(posterior),
            "members": tabular.bnn.members,
            "epochs": len(history.loss),
            "time_budget": time_budget,
            "stopped": history.stopped,
            "device": str(tabular.bnn.reference_tensor.device),
        },
        "seconds": round(seconds, 2),
        "training_curve": {
            "loss": [float(f"{loss:.6g}") for loss in history.loss if math.isfinite(loss)],
            "validation": [list(pair) for pair in history.validation],
        },
    }


def _sha256(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()
