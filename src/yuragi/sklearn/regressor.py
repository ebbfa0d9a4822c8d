"""`BayesianRegressor`: a distribution of the target for every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor

from yuragi.estimators import Estimator
from yuragi.prediction import NumericPrediction
from yuragi.sklearn.base import Array, TabularEstimator, can_update, uncertainty_frame
from yuragi.tabular import MakeModule, Noise, Posterior

if TYPE_CHECKING:
    import pandas as pd


class BayesianRegressor(RegressorMixin, TabularEstimator):  # type: ignore[misc]
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
    _fitted = (*TabularEstimator._fitted, "single_output_")

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

    @available_if(can_update)  # type: ignore[untyped-decorator]
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
        """The values that y stays below with these probabilities, [N, levels] (several outputs: [N, outputs, levels]).

        Raises:
            ValueError: `levels` is not a list of probabilities strictly between 0 and 1.
        """
        if np.ndim(levels) != 1 or not len(levels):
            raise ValueError(f"levels must be a list of probabilities, as [0.1, 0.5, 0.9], got {levels!r}")
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
            return uncertainty_frame({name: part[:, 0] for name, part in parts.items()}, X)
        return uncertainty_frame(
            {f"{name}_{o}": part[:, o] for name, part in parts.items() for o in range(part.shape[1])}, X
        )

    def sample_functions(self, X: Any, n: int) -> Array:
        """Draws of the noiseless function, [n, N]: the same weights for all rows, so that each is one smooth function.

        Raises:
            ValueError: `n` is not positive, or larger than the number of anchored members, which have one draw each.
        """
        return self._shaped(self._sampled(X, n).samples)

    def predict_distribution(self, X: Any) -> NumericPrediction:
        """The `yuragi.Prediction` itself, [N, outputs] in the units of y: `log_prob`, `crps`, its draws, and all else."""
        prediction = self._predict(X)
        assert isinstance(prediction, NumericPrediction)
        return prediction

    def _shaped(self, values: Tensor) -> Array:
        shaped: Array = (values.squeeze(-1) if self.single_output_ else values).numpy()
        return shaped

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn should know of it."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
