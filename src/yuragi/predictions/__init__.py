"""What a Bayesian network says of its inputs: a mixture of draws, for each kind of target."""

from yuragi.predictions.classification import BinaryPrediction, ClassificationPrediction
from yuragi.predictions.counts import CountPrediction, NegativeBinomialPrediction, PoissonPrediction
from yuragi.predictions.kinds import prediction_of
from yuragi.predictions.moments import MomentPrediction
from yuragi.predictions.prediction import NumericPrediction, Prediction
from yuragi.predictions.quantiles import QuantilePrediction
from yuragi.predictions.regression import RegressionPrediction, StudentTPrediction

__all__ = [
    "BinaryPrediction",
    "ClassificationPrediction",
    "CountPrediction",
    "MomentPrediction",
    "NegativeBinomialPrediction",
    "NumericPrediction",
    "PoissonPrediction",
    "Prediction",
    "QuantilePrediction",
    "RegressionPrediction",
    "StudentTPrediction",
    "prediction_of",
]
