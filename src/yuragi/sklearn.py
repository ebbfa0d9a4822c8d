"""`BayesianRegressor` and `BayesianClassifier`: error bars for every row behind scikit-learn's interface."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yuragi import files
from yuragi.continual import why_not_a_prior
from yuragi.estimators import Estimator
from yuragi.prediction import ClassificationPrediction, NumericPrediction
from yuragi.tabular import (
    MakeModule,
    Noise,
    Posterior,
    TabularModel,
    Task,
    fit_tabular,
    load_tabular,
    update_tabular,
)

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "yuragi.sklearn needs scikit-learn 1.6 or newer: pip install 'yuragi[sklearn]', or pip install -U scikit-learn"
    ) from error

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
_SETTINGS = ("members", "noise", "estimator", "epochs", "samples")  # that a file can hold as they are


def _can_update(estimator: _Tabular) -> bool:
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


class _Tabular(BaseEstimator):  # type: ignore[misc]
    """What both estimators do."""

    _task: Task
    model_: TabularModel
    n_features_in_: int

    posterior: Posterior
    members: int | None
    estimator: Estimator
    module: MakeModule | None
    epochs: int | None
    samples: int
    random_state: Any

    def _predict(self, X: Any) -> NumericPrediction | ClassificationPrediction:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self.model_.predict(X, samples=self.samples, seed=self.seed_)

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
        params = {name: value for name, value in self.get_params(deep=False).items() if name in _SETTINGS}
        params["posterior"] = self.posterior if isinstance(self.posterior, str) else None
        params["random_state"] = self.random_state if isinstance(self.random_state, (int, np.integer)) else None
        fitted = {"n_features_in_": self.n_features_in_, "seed_": self.seed_, **self._described()}
        if hasattr(self, "feature_names_in_"):
            fitted["feature_names_in_"] = self.feature_names_in_.tolist()
        held = {"kind": type(self).__name__, "params": params, "fitted": fitted}
        self.model_.save(path, {"sklearn": _plain(held)})

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
        if held is None or held["kind"] != cls.__name__:
            found = "no scikit-learn estimator" if held is None else f"a {held['kind']}"
            raise files.FileError(f"{path} holds {found}, where a {cls.__name__} was to be")
        model = load_tabular(path, module)
        params, fitted = dict(held["params"]), dict(held["fitted"])
        if params["posterior"] is None:
            params["posterior"] = type(model.bnn.posterior)(**model.bnn.posterior.arguments())
        loaded = cls(**params, module=module)
        loaded.model_ = model
        if "feature_names_in_" in fitted:
            loaded.feature_names_in_ = np.array(fitted.pop("feature_names_in_"), dtype=object)
        loaded._restore(fitted)
        for name, value in fitted.items():
            setattr(loaded, name, value)
        return loaded

    def _described(self) -> dict[str, Any]:
        """What was fitted besides the model, as what JSON can hold."""
        return {}

    def _restore(self, fitted: dict[str, Any]) -> None:
        """Take what `_described` gave out of it, where it is no attribute as it is."""

    def _check_weight(self, sample_weight: Any, X: Array) -> Array | None:
        if sample_weight is None:
            return None
        weight: Array = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight is zero for all rows: there is nothing to learn from")
        return weight

    def _fit(self, X: Array, y: Array, sample_weight: Any, **settings: Any) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.model_ = fit_tabular(
            X,
            y,
            self._task,
            posterior=self.posterior,
            members=self.members,
            estimator=self.estimator,
            module=self.module,
            sample_weight=self._check_weight(sample_weight, X),
            epochs=self.epochs,
            seed=seed,
            **settings,
        )
        self.seed_ = seed

    def _update(self, X: Array, y: Array, sample_weight: Any) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        weight = self._check_weight(sample_weight, X)
        self.model_ = update_tabular(self.model_, X, y, sample_weight=weight, epochs=self.epochs, seed=seed)


class BayesianRegressor(RegressorMixin, _Tabular):  # type: ignore[misc]
    """Regression with an error bar for every row: one or several outputs, trained and standardised by itself.

    The defaults are what docs/quality.md found best; `yuragi.tabular.fit_tabular` says what each setting does. All results
    are float64, in the units of y, and describe the mixture of draws itself. For y of shape [N] they are of the shapes
    given; for y [N, outputs] they have an axis of outputs besides, after that of the rows.

    Args:
        posterior: "auto" (anchored members, prior chosen by held-out rows), "anchored" (nothing chosen), "meanfield", or a
            posterior of `yuragi.posteriors`.
        members: networks in the mixture; None: 10 for anchored members, 5 for "meanfield", 1 for another posterior.
        noise: "auto" (Student-t with a scale that depends on x), "learned" (one Gaussian), "heteroscedastic" (Gaussian with
            a scale that depends on x), or a number: its standard deviation, in the units of y.
        estimator: "local", "flipout" or "shared", as for `yuragi.bayesianize`.
        module: makes a network of your own from the numbers of its inputs and outputs: `lambda d_in, d_out: MyNet(...)`. Its
            inputs come standardised; where the noise depends on x it gives twice as many outputs.
        epochs: passes over the data; None: as `yuragi.fit`.
        samples: draws of a prediction; anchored members have one each.
        random_state: a number makes fits repeatable, and leaves the global random states alone; None takes NumPy's.

    Attributes:
        model_: the fitted `yuragi.tabular.TabularModel`.
        seed_: of the draws of predictions, which are the same every time.
        n_features_in_, feature_names_in_: as for any scikit-learn estimator.
        single_output_: whether y was of shape [N].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(-1, 1, size=(100, 1))
        >>> y = 3 * X[:, 0] + 0.2 * rng.normal(size=100)
        >>> model = BayesianRegressor("anchored", members=3, noise="learned", random_state=0).fit(X, y)
        >>> mean, std = model.predict([[0.5]], return_std=True)
        >>> bool(abs(mean[0] - 1.5) < 0.2), bool(0.15 < std[0] < 0.35)
        (True, True)
    """

    _task = "regression"

    def __init__(
        self,
        posterior: Posterior = "auto",
        *,
        members: int | None = None,
        noise: Noise = "auto",
        estimator: Estimator = "local",
        module: MakeModule | None = None,
        epochs: int | None = None,
        samples: int = 100,
        random_state: Any = None,
    ) -> None:
        self.posterior = posterior
        self.members = members
        self.noise = noise
        self.estimator = estimator
        self.module = module
        self.epochs = epochs
        self.samples = samples
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to data, from the beginning.

        Args:
            X: inputs, [N, D]: an array, or a pandas or polars frame.
            y: targets, [N] or [N, outputs].
            sample_weight: [N]; 2 counts a row twice, 0 leaves it out.

        Returns:
            self.

        Raises:
            ValueError: data or settings that cannot be used; the message says why.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        self._fit(X, y, sample_weight, noise=self.noise)
        self.single_output_ = y.ndim == 1
        return self

    @available_if(_can_update)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from a further batch, with the posterior of the data so far as the prior; the first time, `fit`.

        For posteriors that can be a prior: one member of `MeanField` or `FullCovariance`. The standardisation, and a learned
        noise, stay those of the first batch: let it be typical.

        Args:
            X: inputs, [N, D].
            y: targets, [N] or [N, outputs].
            sample_weight: [N]; 2 counts a row twice.

        Returns:
            self.

        Raises:
            AttributeError: the posterior cannot be a prior; the message of its cause says why.
            ValueError: data that do not go with those before.
        """
        if not hasattr(self, "model_"):
            return self.fit(X, y, sample_weight)
        X, y = validate_data(self, X, y, reset=False, dtype=np.float64, multi_output=True, y_numeric=True)
        self._update(X, y, sample_weight)
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Array | tuple[Array, Array]:
        """The mean, and on demand how certain it is.

        Args:
            X: inputs, [N, D].
            return_std: whether to return the standard deviation of y too: std² = epistemic² + aleatoric².
            return_cov: whether to return the joint covariance of the rows' y too, [N, N] (several outputs: [N, N, outputs]).
                It is that of the draws, which use the same weights for all rows, with the variance of the noise, which is
                independent from row to row, added on the diagonal. S draws give the former a rank below S.

        Returns:
            mean [N], or (mean, std), or (mean, cov).

        Raises:
            ValueError: both are asked for.
        """
        if return_std and return_cov:
            raise ValueError("ask for return_std or for return_cov: the diagonal of the covariance is std²")
        prediction = self.predict_distribution(X)
        mean = self._shaped(prediction.mean)
        if return_std:
            return mean, self._shaped(prediction.std)
        if return_cov:
            centred = prediction.samples - prediction.samples.mean(0)
            cov = torch.einsum("sno,smo->nmo", centred, centred) / len(centred)
            cov.diagonal().add_(prediction.aleatoric.square().T)
            return mean, self._shaped(cov)
        return mean

    def predict_interval(self, X: Any, level: float = 0.9) -> tuple[Array, Array]:
        """Lower and upper end of the central interval that holds y with probability `level`, each [N]."""
        lower, upper = self.predict_distribution(X).interval(level)
        return self._shaped(lower), self._shaped(upper)

    def predict_quantiles(self, X: Any, levels: Sequence[float]) -> Array:
        """The values that y stays below with these probabilities, [N, levels] (several outputs: [N, outputs, levels])."""
        prediction = self.predict_distribution(X)
        return np.stack([self._shaped(prediction.quantile(float(level))) for level in levels], -1)

    def predict_uncertainty(self, X: Any) -> pd.DataFrame:
        """A DataFrame of mean, std, epistemic and aleatoric: what is not known, and what is noise.

        With several outputs the columns are mean_0, mean_1, … The index is that of X where X is a pandas frame.
        """
        prediction = self.predict_distribution(X)
        names = ("mean", "std", "epistemic", "aleatoric")
        parts = {name: getattr(prediction, name).numpy() for name in names}
        if self.single_output_:
            return _frame({name: part[:, 0] for name, part in parts.items()}, X)
        return _frame({f"{name}_{o}": part[:, o] for name, part in parts.items() for o in range(part.shape[1])}, X)

    def sample_functions(self, X: Any, n: int = 10) -> Array:
        """Draws of the noiseless function, [n, N]: the same weights for all rows, so that each is one smooth function.

        Raises:
            ValueError: `n` is not positive, or larger than the number of anchored members, which have one draw each.
        """
        return self._shaped(_draws(self, X, n).samples)

    def predict_distribution(self, X: Any) -> NumericPrediction:
        """The `yuragi.Prediction` itself, [N, outputs] in the units of y: `log_prob`, `crps`, its draws, and all else."""
        prediction = self._predict(X)
        assert isinstance(prediction, NumericPrediction)
        return prediction

    def _shaped(self, values: Tensor) -> Array:
        shaped: Array = (values.squeeze(-1) if self.single_output_ else values).numpy()
        return shaped

    def _described(self) -> dict[str, Any]:
        return {"single_output_": self.single_output_}

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn should know of it."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class BayesianClassifier(ClassifierMixin, _Tabular):  # type: ignore[misc]
    """Classification with probabilities that know what they do not know; labels may be numbers or strings.

    Args:
        posterior: "auto" (anchored members, prior chosen by held-out rows), "anchored" (nothing chosen), "meanfield", or a
            posterior of `yuragi.posteriors`.
        members: networks in the mixture; None: 10 for anchored members, 5 for "meanfield", 1 for another posterior.
        estimator: "local", "flipout" or "shared", as for `yuragi.bayesianize`.
        module: makes a network of your own from the numbers of its inputs and classes: `lambda d_in, d_out: MyNet(...)`. Its
            inputs come standardised; it returns one logit a class.
        epochs: passes over the data; None: as `yuragi.fit`.
        samples: draws of a prediction; anchored members have one each.
        random_state: a number makes fits repeatable, and leaves the global random states alone; None takes NumPy's.

    Attributes:
        model_: the fitted `yuragi.tabular.TabularModel`.
        classes_: the labels, sorted.
        seed_: of the draws of predictions, which are the same every time.
        n_features_in_, feature_names_in_: as for any scikit-learn estimator.

    Example:
        >>> X = np.array([[-2.0], [-1.5], [-1.0], [1.0], [1.5], [2.0]])
        >>> model = BayesianClassifier(epochs=200, random_state=0).fit(X, ["no", "no", "no", "yes", "yes", "yes"])
        >>> model.predict([[-1.7], [1.7]])
        array(['no', 'yes'], dtype='<U3')
    """

    _task = "classification"

    def __init__(
        self,
        posterior: Posterior = "auto",
        *,
        members: int | None = None,
        estimator: Estimator = "local",
        module: MakeModule | None = None,
        epochs: int | None = None,
        samples: int = 100,
        random_state: Any = None,
    ) -> None:
        self.posterior = posterior
        self.members = members
        self.estimator = estimator
        self.module = module
        self.epochs = epochs
        self.samples = samples
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to data, from the beginning.

        Args:
            X: inputs, [N, D]: an array, or a pandas or polars frame.
            y: labels, [N].
            sample_weight: [N]; 2 counts a row twice, 0 leaves it out.

        Returns:
            self.

        Raises:
            ValueError: data or settings that cannot be used, as labels of one class; the message says why.
        """
        return self._fit_to(X, y, sample_weight, None)

    @available_if(_can_update)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from a further batch, with the posterior of the data so far as the prior; the first time, `fit`.

        For posteriors that can be a prior: one member of `MeanField` or `FullCovariance`. The standardisation stays that of
        the first batch: let it be typical.

        Args:
            X: inputs, [N, D].
            y: labels, [N].
            classes: all labels that will ever come, in the first call; None: those of its batch.
            sample_weight: [N]; 2 counts a row twice.

        Returns:
            self.

        Raises:
            AttributeError: the posterior cannot be a prior; the message of its cause says why.
            ValueError: labels that were not among the classes of the first call, or data that do not go with those before.
        """
        if not hasattr(self, "model_"):
            return self._fit_to(X, y, sample_weight, classes)
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} is not what the first call had: {self.classes_.tolist()}")
        X, y = validate_data(self, X, y, reset=False, dtype=np.float64)
        self._update(X, self._labels(y), sample_weight)
        return self

    def predict(self, X: Any) -> Array:
        """The most probable label of each row, [N]."""
        index = self.predict_distribution(X).label.numpy()
        return np.asarray(self.classes_[index])

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, [N, classes], in the order of `classes_`: the mean over draws."""
        return np.asarray(self.predict_distribution(X).probs.numpy())

    def predict_uncertainty(self, X: Any) -> pd.DataFrame:
        """A DataFrame of label, probability_<class> of each class, entropy and mutual_information, in nats.

        The entropy is the whole uncertainty of the label, the mutual information the part that is due to the weights being
        unknown. The index is that of X where X is a pandas frame.
        """
        prediction = self.predict_distribution(X)
        probs = prediction.probs.numpy()
        parts: dict[str, Array] = {"label": self.classes_[prediction.label.numpy()]}
        parts |= {f"probability_{name}": probs[:, c] for c, name in enumerate(self.classes_)}
        parts["entropy"] = prediction.entropy.numpy()
        parts["mutual_information"] = prediction.mutual_information.numpy()
        return _frame(parts, X)

    def sample_functions(self, X: Any, n: int = 10) -> Array:
        """Draws of the class probabilities, [n, N, classes]: the same weights for all rows.

        Raises:
            ValueError: `n` is not positive, or larger than the number of anchored members, which have one draw each.
        """
        prediction = _draws(self, X, n)
        assert isinstance(prediction, ClassificationPrediction)
        return np.asarray(prediction.draw_probs.numpy())

    def _fit_to(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class alone, {self.classes_.tolist()[0]!r}: give data of 2 classes at least")
        self._fit(X, self._labels(y), sample_weight, classes=len(self.classes_))
        return self

    def _labels(self, y: Array) -> Array:
        """Which of `classes_` each label is."""
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            raise ValueError(
                f"y holds {unseen.tolist()[0]!r}, which is not one of the classes of the first call, "
                f"{self.classes_.tolist()}: give classes= there"
            )
        labels: Array = np.searchsorted(self.classes_, y)
        return labels

    def predict_distribution(self, X: Any) -> ClassificationPrediction:
        """The `yuragi.Prediction` itself, [N], in which label i is `classes_[i]`: `log_prob`, its draws, and all else."""
        prediction = self._predict(X)
        assert isinstance(prediction, ClassificationPrediction)
        return prediction

    def _described(self) -> dict[str, Any]:
        values = self.classes_.tolist()
        strange = [value for value in values if not isinstance(value, (int, float, str))]
        if strange:
            raise TypeError(
                f"a file can hold class labels that are numbers, truth values or strings, not {strange[0]!r}"
            )
        return {"classes_": {"values": values, "dtype": self.classes_.dtype.str}}

    def _restore(self, fitted: dict[str, Any]) -> None:
        classes = fitted.pop("classes_")
        self.classes_ = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))


def _draws(estimator: _Tabular, X: Any, n: int) -> NumericPrediction | ClassificationPrediction:
    check_is_fitted(estimator)
    model = estimator.model_
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if model.bnn.posterior.is_points and n > model.bnn.members:
        raise ValueError(f"n={n} draws of {model.bnn.members} members, each of which is one draw: fit with members={n}")
    X = validate_data(estimator, X, reset=False, dtype=np.float64)
    return model.predict(X, samples=n, seed=estimator.seed_)


def _frame(columns: dict[str, Array], X: Any) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("predict_uncertainty returns a DataFrame, and needs pandas: pip install pandas") from error
    return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)


def _plain(value: Any) -> Any:
    """The same with Python's own numbers in the place of NumPy's, for JSON."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.item() if isinstance(value, np.generic) else value
