"""Priors p(w) over the weights; each knows its KL divergence from a Normal."""

from yuragi.priors.heavy_tailed import Laplace, ScaleMixture
from yuragi.priors.normal import FanIn, Normal, Pretrained
from yuragi.priors.per_layer import PerLayer
from yuragi.priors.prior import Prior

__all__ = ["FanIn", "Laplace", "Normal", "PerLayer", "Pretrained", "Prior", "ScaleMixture"]
