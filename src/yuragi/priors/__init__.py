"""Priors p(w) over the weights; each knows its KL divergence from a Normal."""

from yuragi.priors.heavy_tailed import Laplace, ScaleMixture
from yuragi.priors.multivariate import Multivariate
from yuragi.priors.normal import FanIn, Normal, Pretrained
from yuragi.priors.per_layer import PerLayer
from yuragi.priors.per_weight import PerWeight
from yuragi.priors.prior import Prior

__all__ = ["FanIn", "Laplace", "Multivariate", "Normal", "PerLayer", "PerWeight", "Pretrained", "Prior", "ScaleMixture"]
