"""Collapsed variational inference: the last layer exactly, given each draw of the layers before it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.conversion import bayesianize
from yuragi.data import check_rows, check_weight, to_tensors
from yuragi.flat import split_like
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.loop import cosine
from yuragi.methods.linear_end import check_ends_in_linear, fixed_normal, last_linear, normal_scales
from yuragi.optimizers import NOISE_LR
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import Points
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Normal, Prior
from yuragi.stochastic import Drawn


@dataclass(frozen=True, eq=False)
class Result:
    """Draws of the posterior, and how good a bound on the evidence it gives.

    Attributes:
        network: the draws as a `Bayesian` network of S points.
        elbo: evidence lower bound per datum, nats, estimated from all draws.
        kl: KL of the layers before the last from their prior, nats.
        history: the bound at every step that was made, estimated from few draws, float64 [steps].
    """

    network: Bayesian
    elbo: float
    kl: float
    history: Tensor

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def __str__(self) -> str:
        """The bound, and how much it still gained at the end."""
        quarter = max(1, len(self.history) // 4)
        gain = float(self.history[-quarter:].mean() - self.history[-2 * quarter : -quarter].mean())
        trained = (
            f"{gain:+.4f} in the last quarter of {len(self.history)} steps" if len(self.history) > 7 else "untrained"
        )
        return (
            f"collapsed variational inference: {self.network.members} draws; ELBO {self.elbo:.4f} nats per datum "
            f"({trained}), KL of the earlier layers {self.kl:.1f} nats"
        )


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    draws: int = 500,
    steps: int = 500,
    draws_per_step: int = 4,
    lr: float = 0.02,
    sample_weight: Any = None,
) -> Result:
    """Variational inference with q(θ, v) = q(θ) p(v∣θ, x, y): v the last linear layer's weights, θ all others.

    Given θ the network is linear in v, so with Gaussian noise the posterior of v is Gaussian and known. What remains to be
    found is q(θ), independent Normals that begin at the prior, by the ELBO in which v has been integrated out,

        ELBO = E_q(θ)[log p(y∣x, θ)] − KL(q(θ)‖p(θ)),    p(y∣x, θ) = N(y; Φm, ΦSΦᵀ + noise²I),

    where Φ are the last layer's inputs, and N(m, S) is the prior of v. Because v follows each draw of θ, the noise in θ
    need not be small for the function to fit: that is what fails where all weights are independent. It needs a last layer
    wide enough to follow: a hundred units rather than thirty. All data are in memory, and a step costs the cube of the
    last layer's width, up to a thousand or so. Lázaro-Gredilla & Figueiras-Vidal, "Marginalized neural network mixtures
    for large-scale regression", 2010; Ober & Aitchison, "Global inducing point variational posteriors for Bayesian neural
    networks and deep Gaussian processes", 2021 (for all layers).

    Args:
        net: a module whose output is that of its last `nn.Linear`, [N, *, out]; left as it is.
        data: (x, y) tensors or arrays.
        likelihood: a `Gaussian` with one noise, which is maximised over where it is learned; that when None.
        prior: `Normal`, `FanIn` or `Pretrained`, without `learn`; `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        draws: S, draws kept for prediction.
        steps: of Adam; 0 leaves q(θ) at the prior, which is random features.
        draws_per_step: of θ.
        lr: Adam's learning rate, for weights in units of their prior standard deviation; falls along half a cosine.
        sample_weight: [N]; 2 counts a row twice.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, the network does not
            end in a linear layer, or the prior or likelihood is not one of those above.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> run(net, (x, x.sin()), likelihood=yu.Gaussian(0.1), steps=20).predict(x).epistemic.shape
        torch.Size([20, 1])
    """
    for name, value, least in (("draws", draws, 1), ("steps", steps, 0), ("draws_per_step", draws_per_step, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    likelihood, prior = _checked(likelihood, prior)
    network = bayesianize(
        copy.deepcopy(net),
        likelihood=likelihood,
        prior=prior,
        posterior=Points(),
        members=draws,
        start="trained",
        seed=seed,
    ).eval()
    like = network.reference_tensor
    x, y = to_tensors(data[0], like.device, like.dtype), to_tensors(data[1], like.device, like.dtype)
    check_rows(x, y)
    network.likelihood.check_targets(y)
    network.likelihood.initialise(y)
    generator = torch.Generator(like.device).manual_seed(seed)
    check_ends_in_linear(net, x)
    earlier = _Earlier(net, prior, x, generator)
    weight = torch.ones(len(y), device=like.device)
    if sample_weight is not None:
        weight = check_weight(to_tensors(sample_weight, like.device, like.dtype), len(y))
    last = _LastLayer(net, prior, y, weight)
    noise = [parameter for parameter in network.likelihood.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": earlier.parameters}, {"params": noise, "lr": NOISE_LR * lr}]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.Adam(groups, lr=lr) if groups else None
    rates = [group["lr"] for group in optimizer.param_groups] if optimizer else []
    history: list[float] = []
    part = Part(Job(seconds, progress))
    for _ in part.turns(steps if optimizer else 0):
        assert optimizer is not None
        evidence = last.log_evidence(earlier.features(earlier.draw(draws_per_step)), _noise(network)).mean()
        elbo = (evidence - earlier.kl()) / len(y)
        optimizer.zero_grad()
        (-elbo).backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * cosine(part.done)
        optimizer.step()
        history.append(float(elbo.detach()))
    with torch.no_grad():
        drawn = earlier.draw(draws)
        features, kl = earlier.features(drawn), earlier.kl()
        found = drawn | last.draw(features, _noise(network), draws, generator)
        for name, mean in zip(network.weight_names, network.q().mean, strict=True):
            mean.copy_(found[name])
        bound = (last.log_evidence(features, _noise(network)).mean() - kl) / len(y)
    return Result(network, float(bound), float(kl), torch.tensor(history, dtype=torch.float64))


class _Earlier:
    """q(θ): independent Normals over the weights before the last layer, in units of their prior."""

    def __init__(self, net: nn.Module, prior: Normal, x: Any, generator: torch.Generator) -> None:
        name = last_linear(net)[0]
        truncated: nn.Module = nn.Identity()
        if name:
            truncated = copy.deepcopy(net)
            truncated.set_submodule(name, nn.Identity())
        self.args, self.kwargs = as_arguments(x)
        self.generator = generator
        self.bnn: Bayesian | None = None
        self.parameters: list[nn.Parameter] = []
        if any(parameter.requires_grad for parameter in truncated.parameters()):
            self.bnn = bayesianize(truncated, prior=prior, posterior=Points()).eval()
            self.like = [weight.parameter.detach().unsqueeze(0) for weight in self.bnn.weights]
            self.loc, self.scale = normal_scales(self.bnn)
            start = torch.zeros_like(self.scale)
            self.parameters = [nn.Parameter(start), nn.Parameter(inverse_softplus(start + 1))]
        else:
            fixed: Tensor = truncated.eval()(*self.args, **self.kwargs)
            self.fixed = fixed.detach().unsqueeze(0)

    def draw(self, samples: int) -> dict[str, Tensor]:
        """Weights by name, [R, *shape]; differentiable."""
        if self.bnn is None:
            return {}
        mean, rho = self.parameters
        unit = torch.randn(samples, len(mean), generator=self.generator, dtype=mean.dtype, device=mean.device)
        w: Tensor = self.loc + self.scale * (mean + F.softplus(rho) * unit)
        return dict(zip(self.bnn.weight_names, split_like(w, self.like), strict=True))

    def features(self, drawn: dict[str, Tensor]) -> Tensor:
        """Inputs of the last layer under each draw, [R, N, *, H]."""
        if self.bnn is None:
            return self.fixed
        weights = list(drawn.values())

        def once() -> Iterator[Drawn]:
            yield Drawn(weights, [0] * len(weights[0]))

        features: Tensor = self.bnn.run_draws(once, self.args, self.kwargs)
        return features

    def kl(self) -> Tensor:
        """KL(q(θ)‖p(θ)), nats."""
        if self.bnn is None:
            return torch.zeros(())
        mean, sigma = self.parameters[0], F.softplus(self.parameters[1])
        kl: Tensor = 0.5 * (mean.square() + sigma.square() - 1).sum() - sigma.log().sum()
        return kl


class _LastLayer:
    """Bayesian linear regression on features, all outputs with the same noise; in float64 and whitened weights."""

    def __init__(self, net: nn.Module, prior: Normal, y: Tensor, weight: Tensor) -> None:
        name, layer = last_linear(net)
        self.prefix = f"{name}." if name else ""
        bnn = bayesianize(copy.deepcopy(layer), prior=prior, posterior=Points())
        loc, scale = (split_like(part.unsqueeze(0), list(bnn.q().mean)) for part in normal_scales(bnn))
        self.names = bnn.weight_names  # weight [O, H] and, where there is one, bias [O]
        self.loc, self.scale = [part[0].double() for part in loc], [part[0].double() for part in scale]
        if self.names[0] != "weight" or layer.weight.shape[0] != y.shape[-1]:
            raise ValueError(
                f"the network's last linear layer has weights {tuple(layer.weight.shape)}, "
                f"of which {self.names} are not frozen: it does not fit targets of shape {tuple(y.shape)}"
            )
        self.y, self.weight = y.double(), weight.double()

    def _solved(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # the posterior of whitened weights: mean [R, D, O] and the Cholesky root of the precision [R, D, D]
        if features.shape[1:-1] != self.y.shape[:-1]:
            raise ValueError(
                f"the network's last linear layer sees {tuple(features.shape[1:])}, which does not go with targets of "
                f"shape {tuple(self.y.shape)}"
            )
        root = self.weight.sqrt().reshape(-1, *[1] * (self.y.dim() - 1))
        phi = features.double()
        # prior scales are the same for all outputs
        columns = [phi * self.scale[0][0]] + [phi.new_ones(*phi.shape[:-1], 1) * part[0] for part in self.scale[1:]]
        design = (torch.cat(columns, -1) * root).flatten(1, -2)
        residual = self.y - F.linear(phi, *self.loc)
        target = (residual * root).flatten(1, -2)
        precision = design.mT @ design / noise**2 + torch.eye(
            design.shape[-1], dtype=design.dtype, device=design.device
        )
        cholesky = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(design.mT @ target / noise**2, cholesky)
        return design, target, mean, cholesky

    def log_evidence(self, features: Tensor, noise: Tensor) -> Tensor:
        """log p(y∣x, θ) of each draw, [R], nats."""
        design, target, mean, cholesky = self._solved(features, noise)
        outputs = self.y.shape[-1]
        count = self.weight.sum() * self.y[0].numel()
        error = ((target - design @ mean) / noise).square().sum((1, 2)) + mean.square().sum((1, 2))
        volume = cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
        evidence: Tensor = -0.5 * error - outputs * volume - count * (noise.log() + 0.5 * math.log(2 * math.pi))
        return evidence

    def draw(self, features: Tensor, noise: Tensor, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One draw of the layer's weights for each of the features', or all for the only ones, by name in the network."""
        _, _, mean, cholesky = self._solved(features, noise)
        unit = mean.new_empty(draws, *mean.shape[1:]).normal_(generator=generator)
        white = (mean + torch.linalg.solve_triangular(cholesky.mT, unit, upper=True)).mT  # [R, O, D]
        inputs = self.loc[0].shape[1]
        parts = [white[..., :inputs], white[..., inputs]] if len(self.names) > 1 else [white]
        return {
            self.prefix + name: loc + scale * part
            for name, loc, scale, part in zip(self.names, self.loc, self.scale, parts, strict=True)
        }


def _checked(likelihood: Likelihood | None, prior: Prior | None) -> tuple[Gaussian, Normal]:
    likelihood = Gaussian() if likelihood is None else likelihood
    if not isinstance(likelihood, Gaussian) or likelihood.noise.numel() > 1:
        raise ValueError(f"only under Gaussian noise, one for all outputs, is the last layer exact: got {likelihood}")
    return likelihood, fixed_normal(prior, "the last layer's exact posterior")


def _noise(network: Bayesian) -> Tensor:
    assert isinstance(network.likelihood, Gaussian)
    return network.likelihood.noise.double().squeeze()
