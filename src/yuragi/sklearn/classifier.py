"""`BayesianClassifier`: probabilities of the classes for every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from yuragi.estimators import Estimator
from yuragi.prediction import ClassificationPrediction
from yuragi.sklearn.base import Array, TabularEstimator, can_update, uncertainty_frame
from yuragi.tabular import MakeModule, Posterior

if TYPE_CHECKING:
    import pandas as pd


class BayesianClassifier(ClassifierMixin, TabularEstimator):  # type: ignore[misc]
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
    _fitted = (*TabularEstimator._fitted, "classes_")

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

    @available_if(can_update)  # type: ignore[untyped-decorator]
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
        return uncertainty_frame(parts, X)

    def sample_functions(self, X: Any, n: int) -> Array:
        """Draws of the class probabilities, [n, N, classes]: the same weights for all rows.

        Raises:
            ValueError: `n` is not positive, or larger than the number of anchored members, which have one draw each.
        """
        prediction = self._sampled(X, n)
        assert isinstance(prediction, ClassificationPrediction)
        return np.asarray(prediction.draw_probs.numpy())

    def predict_distribution(self, X: Any) -> ClassificationPrediction:
        """The `yuragi.Prediction` itself, [N], in which label i is `classes_[i]`: `log_prob`, its draws, and all else."""
        prediction = self._predict(X)
        assert isinstance(prediction, ClassificationPrediction)
        return prediction

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
