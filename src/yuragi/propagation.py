"""Mean and variance of a perceptron's output over its weights, in one pass without draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.likelihoods.location_scale import ConstantScale
from yuragi.posteriors import MeanField
from yuragi.predictions import MomentPrediction, NumericPrediction, prediction_of

_ORDER = 5  # of the Hermite expansion: the terms left out are those of ρ⁶ and beyond, a hundredth of a rectifier's
_POINTS = 64  # of Gauss–Hermite quadrature
_HELD = 2**17  # covariances at once: a megabyte, of which a few stay in the cache
_SMOOTH = (nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.ELU, nn.CELU, nn.SELU)
_AS_IT_IS = (nn.Identity, nn.Dropout)  # in evaluation mode

Expansion = Callable[[Tensor, Tensor], tuple[list[Tensor], Tensor]]


class CannotPropagateError(ValueError):
    """The network, its posterior or its likelihood is one whose moments are not known without draws."""


def output_moments(bnn: Bayesian, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of f(x) over the weights of each member of a perceptron.

    Given its inputs a linear layer's output has the mean E[h]E[W]ᵀ + E[b] and the covariance E[W] Cov(h) E[W]ᵀ, to whose
    diagonal the spreads add Σ σ²E[h²] + σ_b². It is taken to be Gaussian, exactly so in the first layer, and after an
    activation g the moments follow from the Hermite expansion of g, Cov(g(a), g(b)) = Σ_k c_k(a) c_k(b) ρ^k / k! with c_k
    = E[g(μ + σξ) He_k(ξ)]: in closed form for rectifiers, by quadrature for smooth activations. Wu et al., "Deterministic
    variational inference for robust Bayesian neural networks", 2019, has the idea, and another approximation of the
    covariance.

    Args:
        bnn: of mean-field members, whose module is an `nn.Sequential` of linear layers and elementwise activations.
        x: inputs, [N, D].

    Returns:
        Mean and variance, float64 [K, N, outputs] each, with gradient where it is enabled.

    Raises:
        CannotPropagateError: the network or the posterior is another.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(1, 1), likelihood=yu.Gaussian(0.1), posterior=MeanField(init_scale=0.5))
        >>> output_moments(bnn, torch.tensor([[2.0]]))[1].detach()  # 0.25 · 2² + 0.25
        tensor([[[1.2500]]], dtype=torch.float64)
    """
    if not isinstance(bnn.posterior, MeanField):
        raise CannotPropagateError(
            f"moments are known for independent weights alone, and the posterior is {type(bnn.posterior).__name__}: predict "
            'with method="draws"'
        )
    layers = _layers(bnn.module)
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise CannotPropagateError(
            f'moments are known for inputs [N, D] alone: predict with method="draws", got {_shape(x)}'
        )
    q = bnn.q()
    scales = q.scales
    assert scales is not None
    number = {id(weight.parameter): i for i, weight in enumerate(bnn.weights)}
    widest = max([x.shape[1], *(layer.out_features for layer in layers if isinstance(layer, nn.Linear))])
    members = []
    for k in range(bnn.members):

        def of(parameter: Tensor, k: int = k) -> tuple[Tensor, Tensor]:  # mean and variance of a parameter
            index = number.get(id(parameter))
            if index is None:
                return parameter.double(), torch.zeros_like(parameter, dtype=torch.float64)
            return q.mean[index][k].double(), scales[index][k].double().square()

        parts = [_propagated(layers, of, rows.double()) for rows in x.split(max(1, _HELD // widest**2))]
        members.append([torch.cat(part) for part in zip(*parts, strict=True)])
    mean, variance = (torch.stack(part) for part in zip(*members, strict=True))
    return mean, variance


def propagated(bnn: Bayesian, x: Tensor) -> MomentPrediction:
    """The prediction that `output_moments` makes, for Gaussian and Student-t noise with a constant scale.

    Raises:
        CannotPropagateError: the network, its posterior or its likelihood is another.
    """
    if not isinstance(bnn.likelihood, ConstantScale):
        raise CannotPropagateError(
            f"moments are known for a constant noise alone, and the likelihood is {type(bnn.likelihood).__name__}: predict "
            'with method="draws"'
        )
    mean, variance = output_moments(bnn, x)
    like = mean.to(bnn.reference_tensor.dtype)
    noise = prediction_of(like, bnn.likelihood.distribution(like, torch.arange(bnn.members, device=like.device)))
    assert isinstance(noise, NumericPrediction)
    between = variance.mean(0) + mean.var(0, correction=0)
    return MomentPrediction.of(*[one.to(like.dtype) for one in (mean.mean(0), between.sqrt(), noise.aleatoric)])


def _layers(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential):
        return [layer for child in module for layer in _layers(child)]
    if isinstance(module, _AS_IT_IS):
        return []
    if isinstance(module, (nn.Linear, nn.ReLU, nn.LeakyReLU, *_SMOOTH)):
        return [module]
    raise CannotPropagateError(
        f"moments are known for an nn.Sequential of linear layers and elementwise activations alone, and the network has a "
        f'{type(module).__name__}: predict with method="draws"'
    )


def _propagated(
    layers: list[nn.Module], of: Callable[[Tensor], tuple[Tensor, Tensor]], mean: Tensor
) -> tuple[Tensor, Tensor]:
    covariance = mean.new_zeros(len(mean), mean.shape[1], mean.shape[1])
    for layer in layers:
        if isinstance(layer, nn.Linear):
            weight, spread = of(layer.weight)
            second = mean.square() + covariance.diagonal(dim1=1, dim2=2)
            own, mean = second @ spread.T, mean @ weight.T
            if layer.bias is not None:
                bias, bias_spread = of(layer.bias)
                own, mean = own + bias_spread, mean + bias
            covariance = weight @ covariance @ weight.T + torch.diag_embed(own)
        else:
            mean, covariance = _through(_expansion(layer), mean, covariance)
    return mean, covariance.diagonal(dim1=1, dim2=2)


def _through(expand: Expansion, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    std = covariance.diagonal(dim1=1, dim2=2).sqrt().clamp_min(1e-150)
    terms, second = expand(mean, std)
    correlation = covariance / (std[:, :, None] * std[:, None, :])
    power, found = correlation, correlation * (terms[1][:, :, None] * terms[1][:, None, :])
    for k, term in enumerate(terms[2:], start=2):
        power = power * correlation
        scaled = term / math.factorial(k) ** 0.5
        found.addcmul_(power, scaled[:, :, None] * scaled[:, None, :])
    found.diagonal(dim1=1, dim2=2).copy_((second - terms[0].square()).clamp_min(0))
    return terms[0], found


def _expansion(layer: nn.Module) -> Expansion:
    """From mean and std of the input to c_0, c_1 … of an activation and E[g²]."""
    if isinstance(layer, nn.ReLU):
        return lambda mean, std: _rectified(mean, std, 0.0)
    if isinstance(layer, nn.LeakyReLU):
        return lambda mean, std: _rectified(mean, std, layer.negative_slope)
    return lambda mean, std: _by_quadrature(layer, mean, std)


def _rectified(mean: Tensor, std: Tensor, slope: float) -> tuple[list[Tensor], Tensor]:
    # beyond 40 standard deviations the density is zero in float64, and a power of the ratio must not be infinite
    ratio = (mean / std).clamp(-40, 40)
    above, density = torch.special.ndtr(ratio), torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
    terms = [std * density + mean * above, std * above]
    hermite, before = torch.ones_like(ratio), torch.zeros_like(ratio)
    for k in range(2, _ORDER + 1):  # c_k = (−1)^k σ He_{k−2}(μ/σ) φ(μ/σ)
        terms.append((-1) ** k * std * hermite * density)
        hermite, before = ratio * hermite - (k - 2) * before, hermite
    second = (mean.square() + std.square()) * above + mean * std * density
    if slope == 0:
        return terms, second
    line = [mean, std] + [torch.zeros_like(mean)] * (_ORDER - 1)
    terms = [(1 - slope) * term + slope * straight for term, straight in zip(terms, line, strict=True)]
    return terms, (1 - slope**2) * second + slope**2 * (mean.square() + std.square())


def _by_quadrature(layer: nn.Module, mean: Tensor, std: Tensor) -> tuple[list[Tensor], Tensor]:
    points, weights = (torch.as_tensor(one).to(mean) for one in np.polynomial.hermite_e.hermegauss(_POINTS))
    weights = weights / math.sqrt(2 * math.pi)
    values = layer(mean.unsqueeze(-1) + std.unsqueeze(-1) * points)
    terms, hermite, before = [], torch.ones_like(points), torch.zeros_like(points)
    for k in range(_ORDER + 1):
        terms.append(values @ (weights * hermite))
        hermite, before = points * hermite - k * before, hermite
    return terms, values.square() @ weights


def _shape(x: object) -> str:
    return str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__
