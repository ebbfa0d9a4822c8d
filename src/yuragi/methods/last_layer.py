"""The variational last layer: a posterior of the last layer's weights, trained with the others and without sampling."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.conversion import bayesianize
from yuragi.data import batches, check_pair
from yuragi.flat import split_like
from yuragi.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Poisson
from yuragi.methods.descent import descend, gained
from yuragi.methods.linear_end import check_ends_in_linear, fixed_normal, last_linear, normal_scales
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import Points
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior

_START = 0.1  # spread of the last layer's weights before training, in prior standard deviations
_MOST_SPREADS = 2**26


@dataclass(frozen=True, eq=False)
class Result:
    """Draws of the last layer, and the bound that the others were trained by.

    Attributes:
        network: the draws as a `Bayesian` network of S points, of which only the last layer differs.
        elbo: log p(y∣x) of the last layer's model from below, given the layers before it, nats per datum.
        kl: KL of the last layer from its prior, nats.
        history: the loss of each epoch, float64 [epochs].
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
        return (
            f"variational last layer: {self.network.members} draws; ELBO {self.elbo:.4f} nats per datum "
            f"({gained(self.history)}), KL {self.kl:.1f} nats; the layers before it are taken to be known"
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
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    sample_weight: Any = None,
) -> Result:
    """Train q(v) = Π_o N(v_o; m_o, S_o) over the last layer's weights and a point estimate of the others together.

    Given the last layer's inputs φ the outputs are Normal under q, z_o ~ N(φᵀm_o, φᵀS_oφ) = N(µ_o, s_o), and

        loss = −(1/N) (Σ_i E_q[log p(y_i∣z_i)] − KL(q‖p) + log p(θ)),

    θ the weights before the last layer, needs no draws. E_q is exact for Gaussian noise, log N(y; µ, σ²) − s/2σ², and for
    Poisson counts, yµ − exp(µ + s/2) − log y!. For classes it is bounded from below: µ_y − log Σ_c exp(µ_c + s_c/2) for
    several, log sigmoid(±µ) − s/8 for two. With Gaussian noise q(v) is at last set to the posterior, which is known given
    φ: for a linear model all of it is exact. Uncertainty that the layers before would have is missing: away from the
    data the error bar grows only as far as the features do. Harrison, Willes & Snoek, "Variational Bayesian last
    layers", 2024; Jaakkola & Jordan, "Bayesian parameter estimation via variational methods", 2000 (bounds of the kind
    for two classes).

    Args:
        net: a module whose output is that of its last `nn.Linear`, [N, *, out]; left as it is.
        data: (x, y) tensors or arrays.
        likelihood: `Gaussian`, with one noise or one for each output, `Categorical`, `Bernoulli` or `Poisson`; the first
            when None. A learned noise maximises the bound.
        prior: `Normal`, `FanIn` or `Pretrained`, without `learn`, of all weights; `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        draws: S, draws kept for prediction.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step; None: as for `yuragi.fit`.
        lr: Adam's learning rate, which falls along half a cosine; None: 1e-2.
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
        >>> run(net, (x, x.sin()), likelihood=yu.Gaussian(0.1), epochs=20).predict(x).epistemic.shape
        torch.Size([20, 1])
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    likelihood, expected = _checked(likelihood)
    prior = fixed_normal(prior, "a variational last layer")
    parts: dict[str, Any] = {"likelihood": likelihood, "prior": prior, "posterior": Points(), "seed": seed}
    bnn = bayesianize(copy.deepcopy(net), **parts)
    like = bnn.reference_tensor
    x, y = check_pair("data", data, like.device, like.dtype)
    bnn.likelihood.check_targets(y)
    bnn.likelihood.initialise(y)
    check_ends_in_linear(net, x)
    body, name = bnn.module, last_linear(net)[0]
    earlier, last = _divided(bnn, name)
    layer = last_linear(body)[1]
    if name:
        body.set_submodule(name, nn.Identity())
    else:
        body = nn.Identity()
    generator = torch.Generator(like.device).manual_seed(seed)
    source = batches((x, y), like, batch_size=batch_size, sample_weight=sample_weight, generator=generator)
    model = _LastLayer(layer, last)

    def log_likelihood(batch: Any) -> Tensor:
        args, kwargs = as_arguments(batch.x)
        mean, variance = model(body(*args, **kwargs))
        terms = expected(bnn.likelihood, mean, variance, batch.y)
        return terms if batch.weight is None else terms * batch.weight

    def loss(batch: Any) -> Tensor:
        return (model.kl() + earlier.half_distance()) / source.num_data - log_likelihood(batch).mean()

    with torch.no_grad():
        body.eval()
        model.check(bnn.likelihood, body, x, y)
    body.train()
    noise = list(bnn.likelihood.parameters())
    history = descend(
        loss,
        [*body.parameters(), *model.parameters()],
        noise,
        source,
        epochs=epochs,
        lr=lr,
        seed=seed,
        part=Part(Job(seconds, progress)),
    )
    body.eval()
    with torch.no_grad():
        if isinstance(bnn.likelihood, Gaussian):
            model.become_posterior(body, source, bnn.likelihood.noise)
        total = sum(float(log_likelihood(batch).double().sum()) for batch in source)
        kl = float(model.kl())
        names = {f"{name}.{part}" if name else part for part in last}
        network = bayesianize(copy.deepcopy(net), where=lambda part, _: part in names, members=draws, **parts).eval()
        network.likelihood.load_state_dict(bnn.likelihood.state_dict())
        for part, value in [*body.named_parameters(), *body.named_buffers()]:
            network.module.state_dict()[part].copy_(value)
        found = model.draw(draws, generator)
        for part, mean in zip(network.weight_names, network.q().mean, strict=True):
            mean.copy_(found[part.rsplit(".", 1)[-1]])
    return Result(network, (total - kl) / source.num_data, kl, history)


@dataclass(frozen=True)
class _Normals:
    """Parameters with a Normal prior: mean and standard deviation of each, in its shape."""

    parameters: dict[str, nn.Parameter]
    loc: dict[str, Tensor]
    scale: dict[str, Tensor]

    def half_distance(self) -> Tensor:
        """−log p up to a constant, nats."""
        terms = [
            0.5 * ((parameter - self.loc[name]) / self.scale[name]).square().sum()
            for name, parameter in self.parameters.items()
        ]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def __iter__(self) -> Any:
        return iter(self.parameters)


def _divided(bnn: Bayesian, last: str) -> tuple[_Normals, _Normals]:
    # the weights before the last layer by their names, and the last layer's by theirs in it
    loc, scale = ([tensor[0] for tensor in split_like(part.unsqueeze(0), bnn.q().mean)] for part in normal_scales(bnn))
    parts: tuple[_Normals, _Normals] = (_Normals({}, {}, {}), _Normals({}, {}, {}))
    prefix = f"{last}." if last else ""
    for weight, at, spread in zip(bnn.weights, loc, scale, strict=True):
        ours = weight.name.startswith(prefix)
        name = weight.name.removeprefix(prefix) if ours else weight.name
        part = parts[ours]
        part.parameters[name], part.loc[name], part.scale[name] = weight.parameter, at, spread
    if list(parts[1])[:1] != ["weight"]:
        raise ValueError(f"the weight of the last linear layer, '{last}', is frozen: it is what gets a posterior")
    return parts


class _LastLayer(nn.Module):
    """q(v), in units of the prior: u = (v − loc)/scale of each output, N(mean_o, root_o root_oᵀ), the bias last."""

    def __init__(self, layer: nn.Linear, prior: _Normals) -> None:
        super().__init__()
        self.frozen_bias = None if layer.bias is None or "bias" in list(prior) else layer.bias
        self.inputs, self.names = layer.in_features, list(prior)
        own = torch.cat([prior.parameters[name].detach().reshape(layer.out_features, -1) for name in self.names], 1)
        self.loc, self.scale = (
            torch.cat([part[name].reshape(layer.out_features, -1) for name in self.names], 1)
            for part in (prior.loc, prior.scale)
        )
        outputs, width = own.shape
        if outputs * width**2 > _MOST_SPREADS:
            raise ValueError(
                f"a last layer of {layer.in_features} inputs and {outputs} outputs would have {outputs * width**2} "
                f"covariances, more than {_MOST_SPREADS}: put a narrower layer before it"
            )
        self.mean = nn.Parameter((own - self.loc) / self.scale)
        self.rho = nn.Parameter(inverse_softplus(torch.full_like(own, _START)))
        self.lower = nn.Parameter(own.new_zeros(outputs, width, width))

    @property
    def root(self) -> Tensor:
        """Cholesky root of the covariance, [O, D, D]."""
        return self.lower.tril(-1) + torch.diag_embed(F.softplus(self.rho))

    def design(self, features: Tensor) -> Tensor:
        """Inputs with a one for the bias, where that is not fixed, [B, *, D]."""
        ones = features.new_ones(*features.shape[:-1], self.mean.shape[1] - self.inputs)
        return torch.cat([features, ones], -1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each output under q, both [B, *, O]."""
        design = self.design(features)
        mean = F.linear(design, self.loc + self.scale * self.mean, self.frozen_bias)
        spread = torch.einsum("...d,ode->...oe", design, self.scale.unsqueeze(2) * self.root)
        return mean, spread.square().sum(-1)

    def kl(self) -> Tensor:
        """KL(q‖p), nats."""
        root = self.root
        squares: Tensor = root.square().sum() + self.mean.square().sum() - self.mean.numel()
        return 0.5 * squares - F.softplus(self.rho).log().sum()

    def check(self, likelihood: Likelihood, body: nn.Module, x: Any, y: Tensor) -> None:
        """Refuse targets that do not go with the outputs."""
        args, kwargs = as_arguments(x)
        likelihood.log_prob(self(body(*args, **kwargs))[0].unsqueeze(0), y)

    def become_posterior(self, body: nn.Module, source: Any, noise: Tensor) -> None:
        """Set q to p(v∣x, y, φ) under Gaussian noise, [1, outputs]: conjugate, in float64."""
        outputs, width = self.mean.shape
        loc, scale = self.loc.double(), self.scale.double()
        precision = torch.eye(width, dtype=torch.float64, device=loc.device).expand(outputs, -1, -1).clone()
        linear = loc.new_zeros(outputs, width)
        for batch in source:
            args, kwargs = as_arguments(batch.x)
            phi = self.design(body(*args, **kwargs)).double()
            weight = torch.ones_like(batch.y[..., :1]).double()
            if batch.weight is not None:
                weight = weight * batch.weight.reshape(-1, *[1] * (batch.y.dim() - 1))
            fixed = None if self.frozen_bias is None else self.frozen_bias.double()
            residual = (batch.y.double() - F.linear(phi, loc, fixed)).flatten(0, -2)
            phi, root = phi.flatten(0, -2), weight.flatten(0, -2).sqrt()
            for o in range(outputs):
                # a batch's share of Σ v φφᵀ/σ² and Σ v φ(y − φᵀloc)/σ², in whitened weights
                white = phi * scale[o] * root / noise.double().expand(1, outputs)[0, o]
                precision[o] += white.T @ white
                linear[o] += white.T @ (residual[:, o : o + 1] * root / noise.double().expand(1, outputs)[0, o])[:, 0]
        root = torch.linalg.cholesky(torch.linalg.inv(precision))
        self.mean.copy_(torch.linalg.solve(precision, linear))
        self.lower.copy_(root)
        self.rho.copy_(inverse_softplus(root.diagonal(dim1=1, dim2=2)))

    def draw(self, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws of the layer's parameters by name, [S, *shape]."""
        outputs, width = self.mean.shape
        unit = torch.randn(draws, outputs, width, 1, generator=generator, dtype=self.rho.dtype, device=self.rho.device)
        v = self.loc + self.scale * (self.mean + (self.root @ unit).squeeze(3))
        parts = {"weight": v[..., : self.inputs], "bias": v[..., -1]}
        return {name: parts[name] for name in self.names}


Expected = Callable[[Any, Tensor, Tensor, Tensor], Tensor]


def _gaussian(likelihood: Gaussian, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    noise = likelihood.scale.over(mean.unsqueeze(0))[0]
    return likelihood.log_prob(mean.unsqueeze(0), y)[0] - 0.5 * (variance / noise.square()).flatten(1).sum(1)


def _categorical(likelihood: Categorical, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    # Jensen's inequality: E log Σ exp z ≤ log Σ E exp z
    chosen = mean.gather(1, y.long().unsqueeze(1)).squeeze(1)
    return chosen - (mean + 0.5 * variance).logsumexp(1)


def _bernoulli(likelihood: Bernoulli, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    # the same inequality for the logits z/2 and −z/2, of which neither class is the first
    return likelihood.log_prob(mean.unsqueeze(0), y)[0] - variance.flatten(1).sum(1) / 8


def _poisson(likelihood: Poisson, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    target = y.to(mean.dtype)
    return (target * mean - (mean + 0.5 * variance).exp() - torch.lgamma(target + 1)).flatten(1).sum(1)


_EXPECTED: dict[type[Likelihood], Expected] = {
    Gaussian: _gaussian,
    Categorical: _categorical,
    Bernoulli: _bernoulli,
    Poisson: _poisson,
}
"""E_q[log p(y∣z)] or a bound on it, [B], of each likelihood."""


def _checked(likelihood: Likelihood | None) -> tuple[Likelihood, Expected]:
    likelihood = Gaussian() if likelihood is None else likelihood
    found = next((expected for kind, expected in _EXPECTED.items() if isinstance(likelihood, kind)), None)
    several = isinstance(likelihood, Gaussian) and len(likelihood.noise) > 1
    if found is None or several:
        what = "a noise for each of several members" if several else "no closed form of E log p(y∣z) for Normal z"
        raise ValueError(
            f"{likelihood} has {what}: a variational last layer takes a Gaussian of one noise or one for each output, "
            "Categorical, Bernoulli or Poisson"
        )
    return likelihood, found
