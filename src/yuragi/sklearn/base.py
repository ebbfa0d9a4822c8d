"""What both estimators do: fitting, the posterior as the next prior, and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from yuragi import files
from yuragi.continual import why_not_a_prior
from yuragi.estimators import Estimator
from yuragi.prediction import ClassificationPrediction, NumericPrediction
from yuragi.tabular import MakeModule, Posterior, TabularModel, Task, fit_tabular, load_tabular, update_tabular

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
_NOT_IN_FILES = ("module", "posterior", "random_state")  # as they are


def can_update(estimator: TabularEstimator) -> bool:
    """Whether there is a `partial_fit`: an `AttributeError` says why not."""
    posterior = estimator.posterior
    if hasattr(estimator, "model_"):
        reason = why_not_a_prior(estimator.model_.bnn)
    elif posterior in ("auto", "anchored") or getattr(posterior, "is_points", False):
        reason = "anchored members are points, which have no density that could be a prior"
    elif posterior == "meanfield" and estimator.members != 1:
        reason = "a mixture of members, each fitted to all data, is not one posterior"
    else:
        reason = None
    if reason is not None:
        raise AttributeError(
            f"partial_fit makes the posterior the prior of the next batch, and here {reason}: use "
            'posterior="meanfield" with members=1, or posterior=yuragi.posteriors.FullCovariance()'
        )
    return True


class TabularEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators do."""

    _task: Task
    _fitted: tuple[str, ...] = ("seed_", "n_features_in_", "feature_names_in_")  # and model_

    model_: TabularModel
    seed_: int

    posterior: Posterior
    members: int | None
    estimator: Estimator
    module: MakeModule | None
    epochs: int | None
    samples: int
    random_state: Any

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that is complete, atomically and without pickle; `load` reads it.

        A `module` is not in it, and has to be given to `load` again; a `random_state` that is not a number is left out.

        Args:
            path: the file, by custom `*.yuragi`.

        Raises:
            sklearn.exceptions.NotFittedError: it is not fitted.
            TypeError: class labels other than numbers, truth values and strings.
            OSError: the file cannot be written there.
        """
        check_is_fitted(self)
        params = {
            name: _plain(value) for name, value in self.get_params(deep=False).items() if name not in _NOT_IN_FILES
        }
        params["posterior"] = self.posterior if isinstance(self.posterior, str) else None
        params["random_state"] = int(self.random_state) if isinstance(self.random_state, (int, np.integer)) else None
        fitted = {name: _plain(getattr(self, name)) for name in self._fitted if hasattr(self, name)}
        self.model_.save(path, {"sklearn": {"kind": type(self).__name__, "params": params, "fitted": fitted}})

    @classmethod
    def load(cls, path: str | os.PathLike[str], module: MakeModule | None = None) -> Self:
        """Read an estimator that `save` wrote; its predictions are the same to the last bit.

        Args:
            path: the file.
            module: what the estimator was made with, where that was not None.

        Raises:
            yuragi.FileError: the file is damaged, of another kind, or does not fit the network.
            ValueError: `module` is needed, or is not.
            OSError: the file cannot be read, or there is none.
        """
        held = files.read(path).extra.get("sklearn")
        if not isinstance(held, dict) or held.get("kind") != cls.__name__:
            found = f"a {held['kind']}" if isinstance(held, dict) and "kind" in held else "no scikit-learn estimator"
            raise files.FileError(f"{path} holds {found}, where a {cls.__name__} was to be")
        params, fitted = held.get("params"), held.get("fitted")
        settings = set(cls._get_param_names()) - {"module"}
        needed = set(cls._fitted) - {"feature_names_in_"}
        if (
            not isinstance(params, dict)
            or not isinstance(fitted, dict)
            or not settings.issuperset(params)
            or not needed.issubset(fitted)
        ):
            raise files.FileError(f"{path} holds a {cls.__name__} that this yuragi does not know: upgrade yuragi")
        model = load_tabular(path, module)
        if params.get("posterior") is None:
            params["posterior"] = type(model.bnn.posterior)(**model.bnn.posterior.arguments())
        loaded = cls(**params, module=module)
        loaded.model_ = model
        for name in cls._fitted:
            if name in fitted:
                setattr(loaded, name, _restored(path, name, fitted[name]))
        return loaded

    def _predict(self, X: Any, samples: int | None = None) -> NumericPrediction | ClassificationPrediction:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self.model_.predict(X, self.samples if samples is None else samples, self.seed_)

    def _sampled(self, X: Any, n: int) -> NumericPrediction | ClassificationPrediction:
        check_is_fitted(self)
        bnn = self.model_.bnn
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if bnn.posterior.is_points and n > bnn.members:
            raise ValueError(f"n={n} draws of {bnn.members} members, each of which is one draw: fit with members={n}")
        return self._predict(X, n)

    def _fit(self, X: Array, y: Array, sample_weight: Any, **settings: Any) -> None:
        seed = self._fresh_seed()
        self.model_ = fit_tabular(
            X,
            y,
            self._task,
            posterior=self.posterior,
            members=self.members,
            estimator=self.estimator,
            module=self.module,
            sample_weight=_checked_weight(sample_weight, X),
            epochs=self.epochs,
            seed=seed,
            **settings,
        )
        self.seed_ = seed

    def _update(self, X: Array, y: Array, sample_weight: Any) -> None:
        weight = _checked_weight(sample_weight, X)
        self.model_ = update_tabular(
            self.model_, X, y, sample_weight=weight, epochs=self.epochs, seed=self._fresh_seed()
        )

    def _fresh_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def uncertainty_frame(columns: dict[str, Array], X: Any) -> pd.DataFrame:
    """A DataFrame of these columns; its index is that of X where X is a pandas frame.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "predict_uncertainty returns a DataFrame, and needs pandas: pip install 'yuragi[sklearn]'"
        ) from error
    return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)


def _checked_weight(sample_weight: Any, X: Array) -> Array | None:
    if sample_weight is None:
        return None
    weight: Array = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("sample_weight is zero for all rows: there is nothing to learn from")
    return weight


def _plain(value: Any) -> Any:
    """The same as what JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    values = value.tolist()
    strange = [one for one in values if not isinstance(one, (int, float, str))]
    if strange:
        raise TypeError(f"a file can hold class labels that are numbers, truth values or strings, not {strange[0]!r}")
    return {"values": values, "kind": value.dtype.str if value.dtype.kind in "biuf" else value.dtype.kind}


def _restored(path: str | os.PathLike[str], name: str, value: Any) -> Any:
    """What `_plain` was given."""
    if isinstance(value, int):
        return value
    try:
        kind = value["kind"]
        if len(kind) > 3:  # a longer one would be text of any length, and of any size in memory
            raise ValueError(f"there is no array of kind {kind}")
        return np.array(value["values"], dtype=kind)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise files.FileError(f"{path} holds a {name} that cannot be read: {error}") from error
