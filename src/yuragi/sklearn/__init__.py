"""`BayesianRegressor` and `BayesianClassifier`: error bars for every row behind scikit-learn's interface."""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401  (new in scikit-learn 1.6)
except ImportError as error:
    raise ImportError(
        "yuragi.sklearn needs scikit-learn 1.6 or newer: pip install 'yuragi[sklearn]', or pip install -U scikit-learn"
    ) from error

from yuragi.sklearn.classifier import BayesianClassifier
from yuragi.sklearn.regressor import BayesianRegressor

__all__ = ["BayesianClassifier", "BayesianRegressor"]
