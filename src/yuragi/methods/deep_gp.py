"""A deep Gaussian process of two layers with inducing points: no network, but a posterior of functions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.data import Batch, batches, check_finite, check_pair, to_tensors
from yuragi.draws import DRAWS
from yuragi.likelihoods import Categorical, Gaussian, Likelihood
from yuragi.likelihoods.location_scale import LocationScale, NetworkScale
from yuragi.methods.descent import descend, gained
from yuragi.methods.wrapped import wrapped
from yuragi.pace import Job, Part, Progress
from yuragi.predictions import ClassificationPrediction, NumericPrediction, prediction_of
from yuragi.priors import Prior
from yuragi.torch_warnings import without_script_warnings

_ROWS = 1024
_DTYPE = torch.float64  # in float32 the kernel's matrices are often not positive definite


@dataclass(frozen=True, eq=False)
class Result:
    """A trained deep Gaussian process. There is no posterior of a network's weights and so no `network`.

    `yuragi.save` takes such a posterior, and here are inducing points of another library's modules: the same call with the
    same seed, and no `seconds`, makes the same result again.

    Attributes:
        module: the two layers; called with x [N, D] and unit normals it returns draws of f(x).
        likelihood: p(y∣f), its noise learned where it was left open.
        elbo: evidence lower bound per datum, nats, mean of the last tenth of the epochs.
        kl: KL of the inducing variables from their prior, nats.
        history: the negative bound at every epoch, estimated from few draws, float64 [epochs].
        draws: S, of a prediction.
        seed: of them.
    """

    module: nn.Module
    likelihood: Likelihood
    elbo: float
    kl: float
    history: Tensor
    draws: int
    seed: int

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from S draws of f; `x` as in `run`.

        A draw has the same unit normals at all rows. At each row the draws are distributed as they should be, and they are
        smooth in x, but they are not functions drawn from the posterior: between rows they are too much alike.
        """
        x = _columns(to_tensors(x, torch.device("cpu"), _DTYPE))
        check_finite("x", x)
        generator = torch.Generator().manual_seed(self.seed)
        assert isinstance(self.module, _Layers)
        units = self.module.units(self.draws, 1, generator)
        with torch.no_grad(), without_script_warnings():
            output = torch.cat([self.module(part, units) for part in x.split(_ROWS)], 1)
            member = torch.zeros(self.draws, dtype=torch.int64)
            return prediction_of(output, self.likelihood.distribution(output, member))

    def __str__(self) -> str:
        """The bound, and how much it still gained at the end."""
        return (
            f"deep Gaussian process: ELBO {self.elbo:.4f} nats per datum ({gained(self.history)}), KL {self.kl:.1f} nats; "
            "the network was not used"
        )


def run(
    net: object,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    hidden: int = 2,
    inducing: int = 50,
    draws: int = DRAWS,
    draws_per_step: int = 4,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    sample_weight: Any = None,
) -> Result:
    """Doubly stochastic variational inference of y ~ p(y∣f(h(x))), both layers Gaussian processes.

    Each unit of a layer has a squared-exponential kernel with a length for each input, and M inducing points whose values
    are Normal under q; h has a linear mean. With f drawn through both layers,

        ELBO = E[log p(y∣f)] − KL(q‖p),

    is maximised over q, the inducing points, lengths, scales and means. Hyperparameters are thus fitted, not integrated out.
    Salimbeni & Deisenroth, "Doubly stochastic variational inference for deep Gaussian processes", 2017; computed by
    gpytorch, on the CPU in float64. Needs `pip install "yuragi[gp]"`.

    This is a model of the same data and noise, not of the network: what it says tells nothing of the network's weights.

    Args:
        net: not used, and may be anything: the argument is that of every method.
        data: (x, y) tensors or arrays, x [N, ...] one tensor of numbers, whose axes after the first are taken as one, y
            [N], or [N, d].
        likelihood: any; `Gaussian(noise="learned")` when None. Its outputs are as many as the targets', twice as many where
            it has a scale that depends on x, and one a class from 0 to the highest label for `Categorical`.
        prior: not used: a Gaussian process has no weights.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        hidden: units of h.
        inducing: M, inducing points of each unit; at most N.
        draws: S, of a prediction.
        draws_per_step: of f, of each datum.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step; None: as for `yuragi.fit`.
        lr: Adam's learning rate, which falls along half a cosine; None: 1e-2.
        sample_weight: [N]; 2 counts a row twice.

    Returns:
        A `Result`.

    Raises:
        ModuleNotFoundError: gpytorch is not installed.
        ValueError: an argument is out of range, or the data are empty, NaN, infinite or of a wrong shape.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> run(None, (x, x.sin()), likelihood=yu.Gaussian(0.1), epochs=5).predict(x).epistemic.shape
        torch.Size([20, 1])
    """
    counts = (("hidden", hidden), ("inducing", inducing), ("draws", draws), ("draws_per_step", draws_per_step))
    for name, value in counts:
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    library = wrapped("deep_gp")
    likelihood = copy.deepcopy(Gaussian() if likelihood is None else likelihood).cpu()
    x, y = check_pair("data", data, torch.device("cpu"), _DTYPE)
    x = _columns(x)
    if y.dim() > 2:
        raise ValueError(f"targets must be [N] or [N, d], got shape {tuple(y.shape)}")
    likelihood.check_targets(y)
    likelihood.initialise(y)
    generator = torch.Generator().manual_seed(seed)
    source = batches((x, y), x, batch_size=batch_size, sample_weight=sample_weight, generator=generator)
    with torch.random.fork_rng(), without_script_warnings():
        torch.manual_seed(seed)
        module = _Layers(library, x, *_outputs(likelihood, y), hidden, inducing, flat=_is_flat(likelihood, y))

    def loss(batch: Batch) -> Tensor:
        output = module(batch.x, module.units(draws_per_step, len(batch.y), generator))
        terms = likelihood.log_prob(output, batch.y).mean(0)
        return module.kl() / source.num_data - (terms if batch.weight is None else terms * batch.weight).mean()

    module.train()
    with without_script_warnings():
        history = descend(
            loss,
            module.parameters(),
            likelihood.parameters(),
            source,
            epochs=epochs,
            lr=lr,
            seed=seed,
            part=Part(Job(seconds, progress)),
        )
        module.eval()
        with torch.no_grad():
            kl = float(module.kl())
    elbo = -float(history[-max(1, len(history) // 10) :].mean())
    return Result(module, likelihood, elbo, kl, history, draws, seed)


class _Layers(nn.Module):
    """h and f: x [N, D] to draws of f(h(x)), [S, N, out]."""

    def __init__(
        self, library: Any, x: Tensor, mean: Tensor, scale: Tensor, hidden: int, inducing: int, *, flat: bool
    ) -> None:
        super().__init__()
        self.hidden, self.outputs, self.flat = hidden, len(mean), flat
        places = x[torch.randperm(len(x))[:inducing]]
        self.first = _layer(library, places, hidden, linear=True)
        self.first.covar_module.base_kernel.lengthscale = x.std(0, correction=0).clamp_min(1e-6).expand(hidden, 1, -1)
        self.second = _layer(library, torch.randn(len(places), hidden), self.outputs, linear=False)
        with torch.no_grad():
            weights = self.first.mean_module.weights  # so that h begins with the size of its kernel, whatever x's
            weights.copy_(
                torch.randn(weights.shape) / (x.shape[1] ** 0.5 * x.std(0, correction=0).clamp_min(1e-6))[:, None]
            )
            self.first.mean_module.bias.copy_(-(x.mean(0) @ weights.squeeze(-1).mT).unsqueeze(-1))
            self.second.mean_module.constant.copy_(mean)
        self.second.covar_module.outputscale = scale.square()

    def units(self, draws: int, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Standard normals for h and f, [S, rows, ...]; one row is for all."""
        first, second = (
            torch.randn(draws, rows, width, generator=generator, dtype=_DTYPE) for width in (self.hidden, self.outputs)
        )
        return first, second

    def forward(self, x: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
        inner = self.first(x)
        h = inner.mean.mT + inner.variance.sqrt().mT * units[0]  # [S, N, hidden]
        outer = self.second(h.unsqueeze(1))
        f: Tensor = outer.mean.mT + outer.variance.sqrt().mT * units[1]
        return f.squeeze(-1) if self.flat else f

    def kl(self) -> Tensor:
        """KL of all inducing variables from their prior, nats."""
        parts = [layer.variational_strategy.kl_divergence().sum() for layer in (self.first, self.second)]
        return torch.stack(parts).sum()


def _layer(library: Any, inducing: Tensor, units: int, *, linear: bool) -> Any:
    # units Gaussian processes of the same inputs, [*, N, D] to Normals of [*, units, N]
    shape = torch.Size([units])

    class Layer(library.models.ApproximateGP):  # type: ignore[misc]
        def __init__(self) -> None:
            points = inducing.expand(units, -1, -1).clone().to(_DTYPE)
            q = library.variational.CholeskyVariationalDistribution(len(inducing), batch_shape=shape)
            super().__init__(library.variational.VariationalStrategy(self, points, q, learn_inducing_locations=True))
            inputs = inducing.shape[1]
            self.mean_module = (
                library.means.LinearMean(inputs, batch_shape=shape)
                if linear
                else library.means.ConstantMean(batch_shape=shape)
            )
            kernel = library.kernels.RBFKernel(ard_num_dims=inputs, batch_shape=shape)
            self.covar_module = library.kernels.ScaleKernel(kernel, batch_shape=shape)

        def forward(self, x: Tensor) -> Any:
            return library.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    return Layer().to(_DTYPE)


def _columns(x: Any) -> Tensor:
    if not isinstance(x, Tensor) or not x.dim():
        raise ValueError(f"a deep Gaussian process takes one tensor [N, ...] of numbers: x is a {type(x).__name__}")
    return x.to(_DTYPE).reshape(len(x), -1)


def _is_flat(likelihood: Likelihood, y: Tensor) -> bool:
    # whether f of each datum is a number rather than a vector
    return y.dim() == 1 and not isinstance(likelihood, (Categorical, NetworkScale))


def _outputs(likelihood: Likelihood, y: Tensor) -> tuple[Tensor, Tensor]:
    # mean and standard deviation of each of f's outputs before training
    if isinstance(likelihood, Categorical):
        if y.dim() != 1:
            raise ValueError(f"class labels must be [N], got shape {tuple(y.shape)}")
        classes = int(y.max()) + 1
        return torch.zeros(classes, dtype=_DTYPE), torch.ones(classes, dtype=_DTYPE)
    columns = y.reshape(len(y), -1).to(_DTYPE)
    mean, scale = torch.zeros_like(columns[0]), torch.ones_like(columns[0])
    if isinstance(likelihood, LocationScale):
        mean, scale = columns.mean(0), columns.std(0, correction=0).clamp_min(1e-6)
    if isinstance(likelihood, NetworkScale):
        mean, scale = torch.cat([mean, torch.zeros_like(mean)]), torch.cat([scale, torch.ones_like(scale)])
    return mean, scale
