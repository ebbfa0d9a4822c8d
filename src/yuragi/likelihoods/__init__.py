"""Likelihoods p(y∣f(x)): how a network's output describes a target."""

from yuragi.likelihoods.classes import Bernoulli, Categorical
from yuragi.likelihoods.counts import NegativeBinomial, Poisson
from yuragi.likelihoods.gaussian import Gaussian, HeteroscedasticGaussian
from yuragi.likelihoods.likelihood import Likelihood
from yuragi.likelihoods.student_t import HeteroscedasticStudentT, StudentT

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "HeteroscedasticGaussian",
    "HeteroscedasticStudentT",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "StudentT",
]
