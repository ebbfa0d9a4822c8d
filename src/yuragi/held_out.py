"""Rows held out of training: which they are, how well a network predicts them, and how much too small its scale is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils.data import Dataset, Subset, default_collate

from yuragi.bayesian import Bayesian
from yuragi.data import Batches, check_pair, check_weight, take_rows, to_tensors
from yuragi.draws import outputs
from yuragi.likelihoods.likelihood import summed
from yuragi.predictions import prediction_of

HELD_OUT = 0.2
"""Share of the rows that candidates are scored on, where no validation data are given."""
_DRAWS = 12  # of a candidate that is no point, at least
_INFLATIONS = (0.5, 5.0)
_HALVINGS = 12


@dataclass(frozen=True)
class HeldOut:
    """What candidates train on, and the rows that score them.

    Attributes:
        data, data_weight: to train on.
        x, y: the rows held out.
        share: of each in the score, [rows], float64 on the CPU, of sum 1.
        trained: the share of all data that candidates train on: 1 where validation data are given.
    """

    data: Any
    data_weight: Tensor | None
    x: Any
    y: Tensor
    share: Tensor
    trained: float = 1.0

    @classmethod
    def of(cls, bnn: Bayesian, data: Any, validation: Any, sample_weight: Any) -> HeldOut:
        """The validation data where they are given, else a part of the data, or of the sample of `Batches`."""
        like = bnn.reference_tensor
        device, dtype = like.device, like.dtype
        if validation is not None:
            x, y = check_pair("validation", validation, device, dtype)
            return cls(data, sample_weight, x, y, _shares(torch.ones(len(y))))
        whole = None
        if isinstance(data, Batches):
            if data.sample is None:
                raise TypeError(
                    f"{type(data).__name__} has no sample to choose by: give validation=, or decide everything"
                )
            whole, data = data.num_data, data.sample
        in_memory = isinstance(data, (tuple, list)) and len(data) == 2
        if in_memory:
            x, y = check_pair("training", data, device, dtype)
            rows = len(y)
        elif isinstance(data, Dataset) and hasattr(data, "__len__"):
            rows = len(data)
        else:
            raise TypeError(
                f"to choose by held-out data, fit needs (x, y), a map-style Dataset or validation=, got {type(data).__name__}"
            )
        held = round(HELD_OUT * rows)
        if held < 1:
            raise ValueError(
                f"{rows} rows are too few to hold some out: give validation=, or decide kl_weight and the parts"
            )
        order = torch.randperm(rows)
        kept, out = order[held:], order[:held]
        if not in_memory:
            x, y = check_pair("held-out", default_collate([data[i] for i in out.tolist()]), device, dtype)
            return cls(Subset(data, kept.tolist()), sample_weight, x, y, _shares(torch.ones(held)), 1 - held / rows)
        kept, out = kept.to(device), out.to(device)
        weight = torch.ones(rows, device=device)
        if sample_weight is not None:
            weight = check_weight(to_tensors(sample_weight, device, dtype), rows)
        return cls(
            (take_rows(x, kept), y[kept]),
            None if sample_weight is None else weight[kept],
            take_rows(x, out),
            y[out],
            _shares(weight[out]),
            float(weight[kept].sum() / weight.sum()) * (1.0 if whole is None else rows / whole),
        )


@torch.no_grad()
def score(network: Bayesian, held_out: HeldOut, each: int, draws: int) -> tuple[list[float], list[float]]:
    """How candidates do that are `each` members of a trained network, the first of the first candidate.

    Args:
        network: of all candidates; its `inflation` is changed.
        held_out: the rows.
        each: members of a candidate.
        draws: of the predictions of the network that a candidate is to become.

    Returns:
        Log-likelihoods of the mixtures of so many draws, mean nats per datum, and the inflations with which they are so; 1
        where the scale was not learned.
    """
    rounds = 1 if network.posterior.is_points else -(-_DRAWS // each)
    output, _ = outputs(network, held_out.x, network.members * rounds, seed=0)
    # [rounds, candidates, each, N, …]: a candidate's mixture is over rounds and members
    output = _as_of_many(output.unflatten(0, (rounds, -1, each)), draws)
    inflation = torch.ones(network.members // each, dtype=torch.float64)
    if network.likelihood.inflation is not None:
        inflation = _inflations(network, output, held_out)
    terms = torch.stack([_log_prob(distribution, held_out.y) for distribution in _distributions(network, output)])
    mixed = terms.unflatten(1, output.shape[1:3]).transpose(1, 2).flatten(0, 1)
    scores = (mixed.logsumexp(0) - math.log(len(mixed))) @ held_out.share
    return scores.tolist(), inflation.tolist()


def _as_of_many(output: Tensor, draws: int) -> Tensor:
    """Outputs [rounds, candidates, each, N, …] that differ as much as those of a mixture of `draws` are expected to.

    The mean square deviation of S draws from their own mean is (1 − 1/S) of their variance: few look too sure.
    """
    few = output.shape[0] * output.shape[2]
    if few == 1:
        return output
    centre = output.mean((0, 2), keepdim=True)
    return centre + math.sqrt((1 - 1 / draws) / (1 - 1 / few)) * (output - centre)


def _distributions(network: Bayesian, output: Tensor) -> list[Distribution]:
    """p(y∣output) of each round, batch shape [members, N, …]."""
    member = torch.arange(output.shape[1] * output.shape[2], device=output.device)
    return [network.likelihood.distribution(part.flatten(0, 1), member) for part in output]


def _inflations(network: Bayesian, output: Tensor, held_out: HeldOut) -> Tensor:
    """What the scale of each candidate must be multiplied by, [candidates]; the network's likelihood keeps it.

    With it, the held-out data lie as far from the middle of their predictive distributions as they should: P(Y ≤ y) is
    uniform for a calibrated prediction, and so (P − ½)² is 1/12 on average. The most probable factor would do the same
    where the family is right; where it is not, a few outliers would make all error bars too wide.
    """
    candidates, each = output.shape[1:3]
    low, high = (torch.full((candidates,), math.log(end), dtype=torch.float64) for end in _INFLATIONS)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        factor = middle.exp().repeat_interleave(each).reshape(-1, *[1] * held_out.y.dim())
        network.likelihood.inflation = factor.to(output.device, output.dtype)
        rounds = [
            prediction_of(part.flatten(0, 1), distribution).draw_cdf(held_out.y)  # type: ignore[union-attr]
            for part, distribution in zip(output, _distributions(network, output), strict=True)
        ]
        probability = torch.stack(rounds).unflatten(1, (candidates, each)).mean((0, 2)).cpu()  # [candidates, N, …]
        narrow = summed((probability - 0.5).square()) @ held_out.share / max(1, held_out.y[0].numel()) > 1 / 12
        low, high = torch.where(narrow, middle, low), torch.where(narrow, high, middle)
    return middle.exp()


def of_all_rows(inflation: float, trained: float) -> float:
    """The inflation of a network that is trained on all rows, from that of one trained on the share `trained` of them.

    f² − 1, what a fit gains on its own rows over others, falls as their number to the power of −2. For least squares it
    would be −1 (Akaike, "Statistical predictor identification", 1970), but what a flexible network has yet to learn of a
    function without noise falls faster; docs/quality.md has the measurements.
    """
    return math.sqrt(1 + trained**2 * (inflation**2 - 1))


def _log_prob(distribution: Distribution, y: Tensor) -> Tensor:
    target = y if y.is_floating_point() else y.float()  # torch's Bernoulli takes no other
    return summed(distribution.log_prob(target)).cpu().double()


def _shares(weight: Tensor) -> Tensor:
    weight = weight.cpu().double()
    if not bool(weight.sum() > 0):
        raise ValueError("sample_weight is zero for all rows that were held out: give validation=")
    return weight / weight.sum()
