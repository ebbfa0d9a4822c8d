"""The Laplace approximation: a Normal around the most probable weights, as wide as the curvature there says."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.data import Batch, Batches, batches, check_pair, usual_batch_size
from yuragi.flat import joined, split_like
from yuragi.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
from yuragi.methods.descent import descend, gained
from yuragi.methods.linear_end import check_ends_in_linear, fixed_normal, normal_scales
from yuragi.methods.linearised import Linearised
from yuragi.methods.wrapped import wrapped
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import Points
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import FanIn, Prior
from yuragi.torch_warnings import without_script_warnings
from yuragi.weights import Where, select_weights

_KRONECKER = (nn.Linear, nn.Conv2d)
_MOST_WEIGHTS = 8192  # half a gigabyte in float64 for one matrix
_FIRST_MOVE, _LAST_MOVE = 0.5, 0.005  # of the logarithms of gain and noise
_SHARES = (0.7, 0.3)  # of the time, of the search for the most probable weights and of that by the evidence


@dataclass(frozen=True, eq=False)
class Result:
    """Draws of the approximate posterior, and the evidence that it gives.

    Attributes:
        network: the draws as a `Bayesian` network of S points; its module is `Linearised`, unless the network is linear in
            the weights that were chosen. Its prior and noise are those that the evidence chose.
        log_evidence: Laplace's approximation of log p(y∣x), nats per datum.
        history: the loss of the search for the most probable weights, of each epoch, float64 [epochs].
    """

    network: Bayesian
    log_evidence: float
    history: Tensor

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def __str__(self) -> str:
        """The evidence, what it chose, and whether the most probable weights were reached."""
        return (
            f"Laplace approximation: {self.network.members} draws; evidence {self.log_evidence:.4f} nats per datum under "
            f"{self.network.prior}; the most probable weights' loss fell by {gained(self.history)}"
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
    where: Where = None,
    hessian: Literal["full", "kron"] = "kron",
    draws: int = 100,
    evidence_steps: int = 200,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> Result:
    """Find the most probable weights w*, and draw from N(w*, (H + P)⁻¹).

    P is the prior's precision, and H the generalised Gauss-Newton matrix Σ Jᵀ(−∂² log p(y∣f)/∂f²)J, which laplace-torch
    computes, in full or as a Kronecker product for each layer. For H the network is taken to be linear in its weights, and
    so it is in the predictions: the draws go through `Linearised`, without which they fit the data badly. What is left open
    is chosen by the approximate evidence

        log p(y∣x) ≈ log p(y∣w*) + log p(w*) + (D/2) log 2π − ½ log det(H + P):

    the gain of `FanIn`, where no prior is given, and a learned noise. A linear model's posterior is exact with
    `hessian="full"`; "kron" takes a layer's weights and its bias to be independent, and so is exact for a layer without
    bias and with one output. MacKay, "A practical Bayesian framework for backpropagation networks", 1992; Immer, Korzepa &
    Bauer, "Improving predictions of Bayesian neural nets via local linearization", 2021; Daxberger et al., "Laplace
    redux", 2021. Needs `pip install "yuragi[laplace]"`.

    Args:
        net: a module that takes one tensor [N, ...] and returns [N, out], whatever its dtype is; left as it is.
        data: (x, y) tensors or arrays.
        likelihood: a `Gaussian` with one noise, `Categorical`, or `Bernoulli` with one output; the first when None.
        prior: `Normal`, `FanIn` or `Pretrained`, without `learn`; `FanIn`, whose gain the evidence chooses, when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        where: which weights get a spread, as for `bayesianize`; all are trained. None: all.
        hessian: "full", for up to 8,192 weights, or "kron", for those of `nn.Linear` and `nn.Conv2d`.
        draws: S, draws kept for prediction.
        evidence_steps: how often the evidence is computed at most, in search of gain and noise; 0 leaves them as they were.
        epochs: passes over the data in search of w*; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step; None: as for `yuragi.fit`.
        lr: Adam's learning rate, which falls along half a cosine; None: 1e-2.

    Returns:
        A `Result`.

    Raises:
        ModuleNotFoundError: laplace-torch is not installed.
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, or the prior or
            likelihood is not one of those above.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> run(net, (x, x.sin()), likelihood=yu.Gaussian(0.1), epochs=20).predict(x).epistemic.shape  # doctest: +SKIP
        torch.Size([20, 1])
    """
    for name, value, least in (("draws", draws, 1), ("evidence_steps", evidence_steps, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if hessian not in ("full", "kron"):
        raise ValueError(f'hessian must be "full" or "kron", got {hessian!r}')
    library = wrapped("laplace")
    gain_is_open = prior is None
    prior, likelihood = fixed_normal(prior, "a Laplace approximation"), _checked(likelihood)
    parts: dict[str, Any] = {"likelihood": likelihood, "posterior": Points(), "seed": seed}
    bnn = bayesianize(copy.deepcopy(net), prior=prior, **parts)
    like = bnn.reference_tensor
    x, y = check_pair("data", data, like.device, like.dtype)
    if not isinstance(x, Tensor):
        raise ValueError(f"laplace-torch takes networks of one tensor: x is a {type(x).__name__}")
    _check_targets(bnn, x, y)
    generator = torch.Generator(like.device).manual_seed(seed)
    source = batches((x, y), like, batch_size=batch_size, generator=generator)
    searching, choosing = Part(Job(seconds, progress)).split(_SHARES)
    history = _most_probable(bnn, source, epochs, lr, seed, searching)
    chosen = {weight.name for weight in select_weights(bnn.module, where)[0]}
    _check_curvature(bnn, chosen, hessian)
    approximation = _Approximation(library, bnn, chosen, hessian)
    with without_script_warnings():
        approximation.fit(x, y)
        gain, noise = approximation.maximise_evidence(evidence_steps, gain_is_open, choosing)
        drawn = approximation.draw(draws, generator)
        evidence = float(approximation.log_evidence(gain, noise).detach()) / len(y)
    module, prefix = copy.deepcopy(bnn.module), ""
    if not _linear_in(module, chosen, x):
        module, prefix = Linearised(module), "net."
    names = {prefix + name for name in chosen}
    parts["prior"] = FanIn(float(gain)) if gain_is_open else prior
    network = bayesianize(module, where=lambda name, _: name in names, members=draws, **parts).eval()
    with torch.no_grad():
        network.likelihood.load_state_dict(bnn.likelihood.state_dict())
        if isinstance(network.likelihood, Gaussian) and network.likelihood.learned:
            network.likelihood.scale.begin_at(noise.detach())
        for name, mean in zip(network.weight_names, network.q().mean, strict=True):
            mean.copy_(drawn[name.removeprefix(prefix)])
    return Result(network, evidence, history)


def _most_probable(
    bnn: Bayesian, source: Batches, epochs: int | None, lr: float | None, seed: int, part: Part
) -> Tensor:
    # trains the network to the weights of the highest posterior density
    def loss(batch: Batch) -> Tensor:
        fit = bnn.likelihood.log_prob(bnn.module(batch.x).unsqueeze(0), batch.y).mean()
        weights = [weight.parameter for weight in bnn.weights]
        return -fit - bnn.prior.log_prob(joined(weights, 1, weights[0].dtype))[0] / source.num_data

    bnn.module.train()
    noise = list(bnn.likelihood.parameters())
    history = descend(loss, bnn.module.parameters(), noise, source, epochs=epochs, lr=lr, seed=seed, part=part)
    bnn.module.eval()
    return history


class _Approximation:
    """laplace-torch's approximation, in float64: the matrix is often badly conditioned."""

    def __init__(self, library: Any, bnn: Bayesian, chosen: set[str], hessian: str) -> None:
        model = copy.deepcopy(bnn.module).double()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in chosen)
        self.classes = not isinstance(bnn.likelihood, Gaussian)
        self.binary = isinstance(bnn.likelihood, Bernoulli)
        self.noise = torch.ones(()) if self.classes else bnn.likelihood.noise.detach().squeeze().double()  # type: ignore[operator]
        self.noise_is_open = any(parameter.requires_grad for parameter in bnn.likelihood.parameters())
        loc, scale = normal_scales(bnn)
        like = [mean.double() for mean in bnn.q().mean]
        # whatever the order in which the library has the weights
        order = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        tensors = zip(
            bnn.weights, split_like(loc.unsqueeze(0), like), split_like(scale.unsqueeze(0), like), strict=True
        )
        found = {weight.name: (weight, at[0], spread[0]) for weight, at, spread in tensors}
        self.weights = [found[name][0] for name in order]
        loc = torch.cat([found[name][1].flatten() for name in order])
        self.scales = [found[name][2].flatten() for name in order]
        self.by_layer = hessian == "kron"
        self.wrapped = library.Laplace(
            _TwoLogits(model) if self.binary else model,
            "classification" if self.classes else "regression",
            subset_of_weights="all",
            hessian_structure=hessian,
            prior_mean=loc,
            prior_precision=self._precision(loc.new_ones(())),
            sigma_noise=self.noise,
        )

    def _precision(self, gain: Tensor) -> Tensor:
        # of the prior, one a layer's tensor or one a weight, if FanIn's gain were so many times what it is
        parts = []
        for weight, scale in zip(self.weights, self.scales, strict=True):
            precision = scale[:1] ** -2 if self.by_layer else scale**-2
            parts.append(precision / gain.square() if weight.role == "weight" else precision)
        return torch.cat(parts)

    def fit(self, x: Tensor, y: Tensor) -> None:
        x = x.double() if x.is_floating_point() else x
        y = y.long() if self.classes else y.double()
        rows = TensorDataset(x, y.flatten() if self.binary else y)
        with torch.random.fork_rng():  # of which a loader draws, even for rows in order
            self.wrapped.fit(DataLoader(rows, batch_size=usual_batch_size(len(y))))

    def log_evidence(self, gain: Tensor, noise: Tensor) -> Tensor:
        """Of all data, nats."""
        evidence: Tensor = self.wrapped.log_marginal_likelihood(self._precision(gain), None if self.classes else noise)
        return evidence

    def maximise_evidence(self, steps: int, gain_is_open: bool, part: Part) -> tuple[Tensor, Tensor]:
        """The gain, where it is open, and the noise, where it is learned, that maximise the evidence."""
        # up and down in each in turn, by less and less: the library has no gradient of a Kronecker product by the noise
        at = torch.stack([torch.zeros_like(self.noise), self.noise.log()])
        moves = [at.new_tensor(move) for move, free in (((1, 0), gain_is_open), ((0, 1), self.noise_is_open)) if free]
        best, size = float(self.log_evidence(*at.exp())), _FIRST_MOVE
        left = steps
        while left > 0 and moves and size > _LAST_MOVE and part.stopped is None:
            part.after(steps - left, steps)
            tried = [at + sign * size * move for move in moves for sign in (1, -1)]
            values = [float(self.log_evidence(*trial.exp())) for trial in tried]
            left -= len(tried)
            if max(values) > best:
                best, at = max(values), tried[values.index(max(values))]
            else:
                size /= 2
        part.after(1, 1)
        gain, noise = at.exp()
        self.log_evidence(gain, noise)  # which sets them
        return gain, noise

    def draw(self, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws of the weights by name, [S, *shape]."""
        with torch.no_grad():
            drawn = self.wrapped.sample(draws, generator)
        like = [weight.parameter.detach().unsqueeze(0) for weight in self.weights]
        return {weight.name: value for weight, value in zip(self.weights, split_like(drawn, like), strict=True)}


class _TwoLogits(nn.Module):
    """A network of one logit as one of two: the first is 0."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logit = self.net(x)
        return torch.cat([torch.zeros_like(logit), logit], 1)


def _checked(likelihood: Likelihood | None) -> Likelihood:
    likelihood = Gaussian() if likelihood is None else likelihood
    if isinstance(likelihood, (Categorical, Bernoulli)):
        return likelihood
    if not isinstance(likelihood, Gaussian) or likelihood.noise.numel() > 1:
        raise ValueError(
            f"laplace-torch knows the curvature of classes and of Gaussian noise, one for all outputs: got {likelihood}; "
            "give Gaussian(), Categorical() or Bernoulli()"
        )
    return likelihood


@torch.no_grad()
def _check_targets(bnn: Bayesian, x: Tensor, y: Tensor) -> None:
    bnn.likelihood.check_targets(y)
    bnn.likelihood.initialise(y)
    output = copy.deepcopy(bnn.module).eval()(x[:2])
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise ValueError("laplace-torch takes networks that return one tensor [N, out]")
    if isinstance(bnn.likelihood, Bernoulli) and output.shape[1] != 1:
        raise ValueError(
            f"laplace-torch knows no classes that are independent: Bernoulli() of {output.shape[1]} outputs"
        )
    bnn.likelihood.log_prob(output.unsqueeze(0), y[:2])


def _check_curvature(bnn: Bayesian, chosen: set[str], hessian: str) -> None:
    weights = [weight for weight in bnn.weights if weight.name in chosen]
    total = sum(weight.numel for weight in weights)
    if hessian == "full" and total > _MOST_WEIGHTS:
        raise ValueError(
            f'hessian="full" of {total} weights has {total**2} entries, and takes up to {_MOST_WEIGHTS} weights: choose '
            'a layer with where=, or hessian="kron"'
        )
    other = [weight for weight in weights if not isinstance(weight.owner, _KRONECKER)]
    if hessian == "kron" and other:
        raise ValueError(
            f'hessian="kron" knows nn.Linear and nn.Conv2d, and {other[0].name} is of {type(other[0].owner).__name__}: '
            'leave such weights out with where=, or use hessian="full"'
        )


def _linear_in(net: nn.Module, chosen: set[str], x: Tensor) -> bool:
    # whether the output is linear in these weights, so that nothing need be linearised
    found = [name for name, part in net.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        return False
    prefix = f"{found[-1]}." if found[-1] else ""
    if not all(name in (f"{prefix}weight", f"{prefix}bias") for name in chosen):
        return False
    try:
        check_ends_in_linear(net, x[:2])
    except ValueError:
        return False
    return True
