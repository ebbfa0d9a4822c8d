"""yuragi: an honest error bar on every prediction of a PyTorch network, by stochastic variational inference."""

from yuragi import calibration, estimators, likelihoods, metrics, penalties, posteriors, priors, quantization
from yuragi.bayesian import ELBO, Bayesian, NegativeELBO
from yuragi.comparison import Comparison, compare
from yuragi.conversion import bayesianize
from yuragi.export import export_onnx
from yuragi.files import FileError, load, save
from yuragi.likelihoods import Categorical, Gaussian
from yuragi.passes import checkpoint_contexts
from yuragi.prediction import ClassificationPrediction, NumericPrediction, Prediction, RegressionPrediction, predict
from yuragi.training import ConvergenceWarning, Epoch, History, fit

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "Bayesian",
    "Categorical",
    "ClassificationPrediction",
    "Comparison",
    "ConvergenceWarning",
    "Epoch",
    "FileError",
    "Gaussian",
    "History",
    "NegativeELBO",
    "NumericPrediction",
    "Prediction",
    "RegressionPrediction",
    "bayesianize",
    "calibration",
    "checkpoint_contexts",
    "compare",
    "estimators",
    "export_onnx",
    "fit",
    "likelihoods",
    "load",
    "metrics",
    "penalties",
    "posteriors",
    "predict",
    "priors",
    "quantization",
    "save",
]
