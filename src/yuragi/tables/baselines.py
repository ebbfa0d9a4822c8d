"""`Baselines`: what a model of a table should beat, or nobody needs it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, cross_val_predict

from yuragi.described import Described
from yuragi.prediction import ClassificationPrediction, NumericPrediction, RegressionPrediction
from yuragi.tables.cells import Floats

_ROWS = 20_000  # that a baseline is fitted to, at most
_FOLDS = 5
_STEPS = 300
_LEAST = 1e-9  # of a standard deviation, relative to the target's size


@dataclass(frozen=True)
class Baselines:
    """Two predictions that take no network: one without any features, and one linear in the encoded features.

    Of a number: the Gaussian of the training targets, and ridge regression with a Gaussian of the residuals of five-fold
    cross-validation. Of classes: their frequencies, and logistic regression.

    Args:
        constant: the mean of the targets, [1], or the log frequency of each class, [C].
        weights, intercept: of the linear one, [1, D] and [1], or [C, D] and [C].
        scales: standard deviation of the constant and of the linear one; () for classes.

    Example:
        >>> x = np.arange(10.0)[:, None]
        >>> found = Baselines.fit(x, 3 * x[:, 0], classes=0)
        >>> {name: round(p.std.item(), 1) for name, p in found.predictions(x[:1]).items()}
        {'linear': 0.1, 'constant': 8.6}
    """

    constant: list[float]
    weights: list[list[float]]
    intercept: list[float]
    scales: list[float]

    @classmethod
    def fit(cls, x: Floats, y: np.ndarray[Any, Any], classes: int, seed: int = 0) -> Self:
        """Fit both: to encoded features [N, D] and numbers [N], or labels [N] where there are `classes`."""
        if len(x) > _ROWS:
            rows = np.random.default_rng(seed).choice(len(x), _ROWS, replace=False)
            x, y = x[rows], y[rows]
        if classes:
            return cls._of_classes(x, y, classes)
        ridge = Ridge()
        size = max(1.0, float(np.abs(y).max()))
        residuals = y - y.mean()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LinAlgWarning)  # of columns that say nearly the same
            if len(y) > 1:
                folds = KFold(min(_FOLDS, len(y)), shuffle=True, random_state=0)
                residuals = y - cross_val_predict(ridge, x, y, cv=folds)
            ridge.fit(x, y)
        scales = [max(float(np.sqrt(np.mean(part**2))), _LEAST * size) for part in (y - y.mean(), residuals)]
        return cls([float(y.mean())], [ridge.coef_.tolist()], [float(ridge.intercept_)], scales)

    @classmethod
    def _of_classes(cls, x: Floats, y: np.ndarray[Any, Any], classes: int) -> Self:
        counts = np.bincount(y, minlength=classes)
        constant = np.log(np.maximum(counts, 0.5) / len(y))  # a class may be missing from a sample of the rows
        weights, intercept = np.zeros((classes, x.shape[1])), constant.copy()
        present = np.flatnonzero(counts)
        if len(present) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline may stop early
                model = LogisticRegression(max_iter=_STEPS).fit(x, y)
            if len(present) == 2:  # scikit-learn gives one logit
                weights[present[1]], intercept[present] = model.coef_[0], (0.0, model.intercept_[0])
            else:
                weights[present], intercept[present] = model.coef_, model.intercept_
        return cls(constant.tolist(), weights.tolist(), intercept.tolist(), [])

    def predictions(self, x: Floats) -> dict[str, NumericPrediction | ClassificationPrediction]:
        """What each says of encoded rows [N, D], under "linear" and "constant": numbers [N, 1], or classes."""
        linear = torch.from_numpy(x @ np.array(self.weights).T + np.array(self.intercept)).unsqueeze(0)
        constant = torch.tensor(self.constant, dtype=torch.float64).expand(linear.shape)
        if not self.scales:
            return {"linear": ClassificationPrediction(linear), "constant": ClassificationPrediction(constant)}
        spreads = torch.tensor(self.scales, dtype=torch.float64)
        return {
            "linear": RegressionPrediction(linear, noise=spreads[1]),
            "constant": RegressionPrediction(constant, noise=spreads[0]),
        }

    def described(self) -> dict[str, Any]:
        """Everything about it, for JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, described: Described, features: int, classes: int) -> Self:
        """The baselines that `described` described, of so many encoded features and classes.

        Raises:
            FileError: it describes no such baselines.
        """
        outputs = classes or 1
        rows = described.listed("weights")
        named: Mapping[str, Any] = {str(place): row for place, row in enumerate(rows)}
        each = Described(described.path, named, "baselines.weights")
        found = cls(
            described.numbers("constant"),
            [each.numbers(name) for name in each],
            described.numbers("intercept"),
            described.numbers("scales", positive=True),
        )
        sizes = {len(found.constant), len(found.intercept), len(rows)} | {len(row) for row in found.weights}
        if sizes - {outputs, features} or len(rows) != outputs or len(found.scales) != (0 if classes else 2):
            raise described.error("weights", rows, f"not of {outputs} outputs and {features} encoded features")
        if any(len(row) != features for row in found.weights):
            raise described.error("weights", rows, f"not of {features} encoded features")
        return found
