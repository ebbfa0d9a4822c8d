"""`TableModel`: a fitted network together with its table, in one file; predictions in the table's units."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from yuragi.prediction import ClassificationPrediction, NotFiniteError, NumericPrediction
from yuragi.tables.baselines import Baselines
from yuragi.tables.cells import Floats
from yuragi.tables.encoder import TableEncoder
from yuragi.tables.errors import TableError, shown
from yuragi.tables.schema import Schema
from yuragi.tables.scores import compared
from yuragi.tabular import TabularModel

SAMPLES = 100
"""Draws of a prediction where nothing is said; anchored members have one each."""
_TOGETHER = 1 << 14  # rows predicted at once: memory is bounded by them


@dataclass(frozen=True)
class TableModel:
    """A network fitted to a table, and all that it needs to read other tables.

    Attributes:
        schema: what the training table was.
        encoder: from the columns of a table to numbers.
        tabular: the fitted network.
        baselines: what it should beat.
        about: what was done, as JSON can hold it: versions, seed, hash of the data, rows, seconds, settings, the training
            curve, and the scores on the rows that were held out (None where there were none).
    """

    schema: Schema
    encoder: TableEncoder
    tabular: TabularModel
    baselines: Baselines
    about: Mapping[str, Any]

    def predict(
        self, frame: Any, samples: int = SAMPLES, seed: int | None = 0
    ) -> NumericPrediction | ClassificationPrediction:
        """Predict the target of each row.

        Args:
            frame: a table with the columns of the training table; others are passed over.
            samples: draws, as for `yuragi.predict`.
            seed: of the draws.

        Returns:
            For regression a `NumericPrediction` of [N, 1] in the target's units, for classification a
            `ClassificationPrediction` whose `probs` [N, C] are in the order of `schema.classes`; float64.

        Raises:
            TableError: columns are missing, or hold another kind of value than in the training table; or the network returns
                what is no number for them.
        """
        return self._predicted(self.encoder.transform(frame), samples, seed)

    def predict_table(
        self, frame: pd.DataFrame, level: float | Sequence[float] = 0.9, samples: int = SAMPLES, seed: int | None = 0
    ) -> pd.DataFrame:
        """The table with its predictions as further columns, each named after the target.

        For regression <target>_mean, _std, _epistemic, _aleatoric, _lower and _upper. For classification <target>_label, the
        most probable class; _probability_<class> of each; _entropy, and _mutual_information, the part of it that is due to
        the weights being unknown, in nats.

        Args:
            frame: as for `predict`; all its columns are kept as they are.
            level: probability that the interval from _lower to _upper holds the target; of no meaning for classes. Of several
                levels each has its own interval: _lower_0.5 and _upper_0.5, _lower_0.9 and _upper_0.9.
            samples: draws.
            seed: of the draws.

        Raises:
            TableError: as for `predict`, or the table has a column of the name of one that would be added.
        """
        encoded = self.encoder.transform(frame)
        parts = [self._columns(rows, level, samples, seed) for rows in _rows_together(encoded)]
        added = {
            f"{self.schema.target.name}_{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]
        }
        for name in added:
            if name in frame.columns:
                raise TableError(
                    f"the table has a column {shown(name)} already, where the prediction would go: rename it"
                )
        return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)

    def evaluate(self, frame: pd.DataFrame, samples: int = SAMPLES, seed: int | None = 0) -> dict[str, Any]:
        """Score the predictions on a table that has the target, beside those of the baselines; see `scores.compared`.

        Rows without a target are left aside.

        Raises:
            TableError: as for `predict`, or no row has a target, or one is of another kind than in the training table.
        """
        rows = self.schema.with_target(frame)
        if not len(rows):
            raise TableError(f"the target {shown(self.schema.target.name)} has no values: there is nothing to score")
        y, encoded = self.schema.targets(rows), self.encoder.transform(rows)
        return compared(self._predicted(encoded, samples, seed), self.baselines.predictions(encoded), y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that is complete, atomically and without pickle: `load_table_model` needs nothing else.

        Raises:
            OSError: the file cannot be written there.
        """
        held = {
            "schema": self.schema.described(),
            "encoder": self.encoder.described(),
            "baselines": self.baselines.described(),
            "about": dict(self.about),
        }
        self.tabular.save(path, {"table": held})

    def _predicted(
        self, encoded: Floats, samples: int, seed: int | None
    ) -> NumericPrediction | ClassificationPrediction:
        try:
            return self.tabular.predict(encoded, samples, seed)
        except NotFiniteError as error:
            raise TableError(
                "the predictions are no finite numbers: the model does not go with these rows, or its file was changed"
            ) from error

    def _columns(
        self, encoded: Floats, level: float | Sequence[float], samples: int, seed: int | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        prediction = self._predicted(encoded, samples, seed)
        if isinstance(prediction, ClassificationPrediction):
            found: dict[str, np.ndarray[Any, Any]] = {
                "label": np.array(self.schema.classes, dtype=object)[prediction.label.numpy()]
            }
            found |= {
                f"probability_{name}": prediction.probs[:, c].numpy() for c, name in enumerate(self.schema.classes)
            }
            return found | {
                "entropy": prediction.entropy.numpy(),
                "mutual_information": prediction.mutual_information.numpy(),
            }
        columns = {
            "mean": prediction.mean,
            "std": prediction.std,
            "epistemic": prediction.epistemic,
            "aleatoric": prediction.aleatoric,
        }
        levels = {"": level} if isinstance(level, (int, float)) else {f"_{one}": one for one in level}
        for suffix, one in levels.items():
            columns[f"lower{suffix}"], columns[f"upper{suffix}"] = prediction.interval(one)
        return {name: column[:, 0].numpy() for name, column in columns.items()}


def _rows_together(encoded: Floats) -> list[Floats]:
    return [encoded[start : start + _TOGETHER] for start in range(0, len(encoded), _TOGETHER)]
