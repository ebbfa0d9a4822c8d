"""The article's experiment, as in the article and as recommended: sin(x) with a gap in the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.estimators import Estimator
from yuragi.likelihoods import Gaussian
from yuragi.posteriors import Anchored, MeanField, MeanFieldDistribution
from yuragi.prediction import NumericPrediction, RegressionPrediction, predict
from yuragi.priors import FanIn, Normal
from yuragi.training import Epoch, fit

EPOCHS, BATCH_SIZE, LR = 1000, 64, 1e-3
KL_COEFFICIENT = 1e-4 / BATCH_SIZE  # the article's 1e-4 · kl / batch_size
NOISE_VARIANCE = 1e-4 / 2  # which it adds to the predicted variance
PRIOR_SCALE, RHO_INIT, INIT_STD = 1.0, -3.0, 0.1
NOISE = 0.1  # of the recommended fit

Progress = Callable[[Epoch], object]


@dataclass(frozen=True)
class Region:
    """A part of the x axis, and what a prediction says there on average."""

    name: str
    std: float
    epistemic: float
    rmse: float


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    """The article's 200 points of sin(x) on [−4, −1] ∪ [1, 4], each [200, 1]; `seed` is NumPy's, 0 in the article."""
    random = np.random.RandomState(seed)
    x = np.concatenate([random.uniform(-4, -1, 100), random.uniform(1, 4, 100)])
    return _column(x), _column(np.sin(x))


def grid() -> Tensor:
    """Where predictions are made: 241 points on [−6, 6], [241, 1]; the data end at ±4."""
    return torch.linspace(-6, 6, 241).reshape(-1, 1)


def network() -> nn.Sequential:
    """The article's network, 1-100-100-1 with ReLU."""
    return nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1))


def device() -> torch.device:
    """The device to run on: cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit_as_in_the_article(
    x: Tensor,
    y: Tensor,
    *,
    estimator: Estimator = "flipout",
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bayesian:
    """Train as the article does: squared error plus 1e-4/64 times a KL that is averaged within each tensor.

    Averaging makes the KL of a small tensor count as much as that of a large one; it is kept here because it is what the
    article ran. `Bayesian.loss` uses the KL itself.

    Args:
        x: inputs, [N, 1].
        y: targets, [N, 1].
        estimator: "flipout" in the article.
        epochs: 1,000 in the article.
        seed: of the start, the batches and the noise; the global random state is left alone.
        progress: called after each epoch.

    Returns:
        The network, on the device of `x`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bnn = bayesianize(
            network().to(x.device),
            likelihood=Gaussian(noise=NOISE_VARIANCE**0.5),
            prior=Normal(scale=PRIOR_SCALE),
            posterior=MeanField(),
            estimator=estimator,
        )
        prior = bnn.prior
        assert isinstance(prior, Normal)
        with torch.no_grad():
            for weight in bnn.weights:
                weight.parameter.normal_(0, INIT_STD)
            assert isinstance(bnn.posterior, MeanField)
            bnn.posterior.rho.normal_(RHO_INIT, INIT_STD)
        share = torch.cat([torch.full((weight.numel,), KL_COEFFICIENT / weight.numel) for weight in bnn.weights]).to(x)
        optimizer = torch.optim.Adam(bnn.parameters(), lr=LR, fused=x.device.type in ("cpu", "cuda"))
        with bnn.keeping_noise():
            for epoch in range(1, epochs + 1):
                sums = [0.0, 0.0, 0.0]
                for index in torch.randperm(len(x), device=x.device).split(BATCH_SIZE):
                    q = bnn.q()
                    assert isinstance(q, MeanFieldDistribution)
                    error = F.mse_loss(bnn.run(q, (x[index],), {}), y[index])
                    loss = error + prior.kl_from_normal(q.means, q.sigma, counts=share).sum()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    if progress is not None:
                        parts = (loss.item(), -error.item(), q.kl(bnn.prior).item())
                        sums = [total + part * len(index) / len(x) for total, part in zip(sums, parts, strict=True)]
                if progress is not None:
                    progress(Epoch(epoch, epochs, sums[0], sums[1], sums[2], LR, None))
    return bnn


def fit_as_recommended(x: Tensor, y: Tensor, *, seed: int = 0, progress: Progress | None = None) -> Bayesian:
    """Train the same network with anchored members and a fan-in prior, and no other setting.

    Args:
        x: inputs, [N, 1].
        y: targets, [N, 1].
        seed: of the start, the anchors and the batches; the global random state is left alone.
        progress: called after each epoch.

    Returns:
        The network, on the device of `x`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = network().to(x.device)
    bnn = bayesianize(net, likelihood=Gaussian(noise=NOISE), prior=FanIn(), posterior=Anchored(seed), seed=seed)
    fit(bnn, (x, y), seed=seed, callbacks=[] if progress is None else [lambda epoch: bool(progress(epoch)) and False])
    return bnn


def predict_grid(bnn: Bayesian, draws: int = 100, seed: int = 0) -> RegressionPrediction:
    """Predict on `grid()`."""
    prediction = predict(bnn, grid(), samples=draws, seed=seed)
    assert isinstance(prediction, RegressionPrediction)
    return prediction


def regions(prediction: NumericPrediction) -> list[Region]:
    """Averages of a prediction on `grid()` in the data (1 ≤ |x| ≤ 4), in the gap (|x| < 1) and at the edges (|x| > 4)."""
    x = grid()[:, 0].abs()
    error = (prediction.mean.cpu() - grid().sin())[:, 0]
    parts = {"in the data": (x >= 1) & (x <= 4), "in the gap": x < 1, "at the edges": x > 4}
    return [
        Region(
            name,
            float(prediction.std.cpu()[rows].mean()),
            float(prediction.epistemic.cpu()[rows].mean()),
            float(error[rows].square().mean().sqrt()),
        )
        for name, rows in parts.items()
    ]


def _column(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).reshape(-1, 1)
