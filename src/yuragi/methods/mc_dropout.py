"""Monte Carlo dropout: units dropped at random in training, and again in every draw of a prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.data import batches
from yuragi.history import History
from yuragi.likelihoods import Likelihood
from yuragi.loop import DEFAULT_LR
from yuragi.methods.dropped_inputs import dropout_places, folded
from yuragi.methods.point_members import fit_points, network_of_points, point_members
from yuragi.pace import Job, Part, Progress
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior

_ROWS = 4  # that show how the network is connected


@dataclass(frozen=True, eq=False)
class Result:
    """Draws of which units are dropped, and how the fit went.

    Attributes:
        network: the draws as a `Bayesian` network of S points.
        history: of the fit.
        dropout: probability that an input of a layer is dropped, layer name -> p.
    """

    network: Bayesian
    history: History
    dropout: dict[str, float]

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def __str__(self) -> str:
        """Where units are dropped, how well the network fits with that, and whether it was still improving."""
        history = self.history
        where = ", ".join(f"{name} ({p:g})" for name, p in self.dropout.items())
        return (
            f"Monte Carlo dropout: {self.network.members} draws; dropout before {where}; log-likelihood of the training "
            f"data under dropout {history.log_likelihood[-1]:.4f} nats per datum ({history.trained()})"
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
    p: float = 0.1,
    draws: int = 100,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = DEFAULT_LR,
    sample_weight: Any = None,
    validation: Any = None,
) -> Result:
    """Train with dropout, and predict with draws of the dropped units, each the same for all rows.

    A dropped input of a layer is a column of its weights that is zero, so each draw is one network, W diag(z)/(1 − p) with
    z_j ~ Bernoulli(1 − p): a smooth function, and the posterior is S such points. Trained is the mode of
    Σ E_z[log p(y_i∣x_i, w, z)] + log p(w). How wide it is says p, whatever the number of data: it does not become
    certain with more of them. Gal & Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in
    deep learning", 2016.

    Args:
        net: a module with `nn.Linear` or convolution layers; left as it is. Dropout layers of its own, each directly before
            such a layer, keep their place and probability. Where it has none, the inputs of all of these layers but the
            first that runs are dropped.
        data: (x, y) tensors or arrays, a Dataset of such pairs, or a DataLoader.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None.
        prior: p(w), which is weight decay; `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        p: probability of dropping an input where the network has no dropout layers, in (0, 1). A convolution's inputs are
            dropped by channel, and inputs with several positions at all of them alike.
        draws: S, draws kept for prediction; each has the size of the network.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step, as for `fit` when None.
        lr: Adam's learning rate; falls along half a cosine.
        sample_weight: [N], for data in memory; 2 counts a row twice.
        validation: held-out (x, y); the best state by their log-likelihood is kept, and training stops early.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, the prior has a scale
            to be learned, there is nothing to drop, or a dropout layer is not directly before a layer with weights to train.
        FloatingPointError: the loss became NaN or infinite.

    Warns:
        ConvergenceWarning: the loss was still falling.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> found = run(net, (x, x.sin()), likelihood=yu.Gaussian(0.1), epochs=300)
        >>> found.dropout, found.predict(x).epistemic.shape
        ({'2': 0.1}, torch.Size([20, 1]))
    """
    for name, value in (("p", p), ("lr", lr)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")
    if p >= 1:
        raise ValueError(f"p must be less than 1, got {p}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    fitted = point_members(net, likelihood, prior, 1, seed)
    like = fitted.reference_tensor
    places = dropout_places(fitted, _few_rows(data, like), p)
    inserted = places.insert(fitted.module)
    history = fit_points(
        fitted,
        data,
        what="dropout training",
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        sample_weight=sample_weight,
        validation=validation,
        part=Part(Job(seconds, progress)),
        seed=seed,
    )
    for handle in inserted:
        handle.remove()
    fitted.eval()
    points = folded(fitted, places.masks(fitted.module, draws, torch.Generator(like.device).manual_seed(seed)))
    provenance = {**history.provenance(fitted), "method": "mc_dropout", "dropout": places.probability}
    return Result(network_of_points(fitted, points, [0] * draws, provenance), history, places.probability)


def _few_rows(data: Any, like: Tensor) -> Any:
    source = batches(data, like, batch_size=_ROWS, generator=torch.Generator(like.device).manual_seed(0))
    for batch in source:
        return batch.x
    raise ValueError("the data are empty: the loader yielded no batch")
