"""Bayesian-Torch's checkpoints: `load_state_dict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yuragi.compat.bayesian_torch.conversion import converted_parts, engine_of, keep_bayesian, own_names

# torch's names of weights -> what Bayesian-Torch calls their means; the spread has "rho_" in the place of "mu_"
_MEANS = {
    "weight": ("mu_weight", "mu_kernel"),
    "bias": ("mu_bias",),
    "weight_ih_l0": ("ih.mu_weight",),
    "weight_hh_l0": ("hh.mu_weight",),
    "bias_ih_l0": ("ih.mu_bias",),
    "bias_hh_l0": ("hh.mu_bias",),
}
_LISTED = 10  # names in an error message


class _Match(NamedTuple):
    """A tensor of the network, its name, and the names of its value (of its mean) and its spread in the checkpoint."""

    name: str
    tensor: Tensor
    value: str
    rho: str | None


def load_state_dict(model: nn.Module, their_state_dict: Mapping[str, Tensor]) -> None:
    """Load a checkpoint of Bayesian-Torch 0.5.0 into a network converted by `dnn_to_bnn`, or built of its layers.

    Weights with μ and ρ in the checkpoint get these. Weights without (normalisation, embeddings and whatever else
    Bayesian-Torch leaves deterministic) become deterministic here too, and stay trainable.
    Bayesian-Torch saves no priors: those given to `dnn_to_bnn` stay.

    Predictions then agree in mean and standard deviation, except where the draws there are not draws of weights: an LSTM
    draws at every time step there, and Flipout flips signs per pixel (see docs/migrating.md). An LSTM there always reads
    [B, T, D], so give `torch.nn.LSTM` batch_first=True.

    Args:
        model: the converted network, whose layers have the names that they had there.
        their_state_dict: what `state_dict()` returned there. A name starts with "module." where the network was saved
            in a `DataParallel`; remove that first.

    Raises:
        ValueError: names are missing or left over, shapes differ, a tensor that is one here is two there, or a weight
            with a spread there is deterministic here; all are named, and the network stays as it was.
        TypeError: `their_state_dict` is not a mapping of names to tensors.

    Example:
        >>> from yuragi.compat.bayesian_torch import dnn_to_bnn
        >>> net = nn.Sequential(nn.Linear(1, 2, bias=False))
        >>> dnn_to_bnn(net, {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0,
        ...                  "type": "Flipout", "moped_enable": False})
        >>> load_state_dict(net, {"0.mu_weight": torch.ones(2, 1), "0.rho_weight": torch.full((2, 1), -30.0)})
        >>> net(torch.ones(1, 1)).round(decimals=3)
        tensor([[1., 1.]], grad_fn=<...>)
    """
    parts = {name: (part, engine_of(part).weights) for name, part in converted_parts(model).items()}
    _check_is_state_dict(their_state_dict)
    matches, problems = _match(model, their_state_dict)
    rhos = {id(match.tensor): match.rho for match in matches if match.rho is not None}
    bayesian = {id(weight.parameter) for _, weights in parts.values() for weight in weights}
    problems["deterministic here and with a spread there"] = [
        match.name for match in matches if match.rho is not None and id(match.tensor) not in bayesian
    ]
    if not any(problems.values()):
        problems["converted here and without any spread there"] = [
            name or type(part).__name__
            for name, (part, weights) in parts.items()
            if not any(id(weight.parameter) in rhos for weight in weights)
        ]
    if any(problems.values()):
        listed = "; ".join(f"{what}: {_listed(names)}" for what, names in problems.items() if names)
        raise ValueError(f"the checkpoint does not fit {type(model).__name__}. {listed}")
    with torch.no_grad():
        for match in matches:
            match.tensor.copy_(their_state_dict[match.value])
        for part, weights in parts.values():
            kept = [weight for weight in weights if id(weight.parameter) in rhos]
            rho = torch.cat([their_state_dict[rhos[id(weight.parameter)]].flatten() for weight in kept])
            if len(kept) < len(weights):
                keep_bayesian(part, {weight.name for weight in kept})
            engine_of(part).posterior.get_parameter("rho").copy_(rho.unsqueeze(0))


def _check_is_state_dict(given: object) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"their_state_dict must be what state_dict() returned, got {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"their_state_dict holds a {type(value).__name__} as '{name}', not a tensor: "
                "pass what state_dict() returned"
            )


def _match(model: nn.Module, theirs: Mapping[str, Tensor]) -> tuple[list[_Match], dict[str, list[str]]]:
    """Find each tensor of the network in the checkpoint; what is wrong, by kind, with names."""
    first: dict[int, _Match] = {}
    used: set[str] = set()
    missing, shapes, untied = [], [], []
    for name, attribute, tensor in _tensors(model):
        match = _find(name, attribute, tensor, theirs)
        names = [] if match is None else [key for key in (match.value, match.rho) if key is not None]
        used.update(names)
        absent = [name] if match is None else [key for key in names if key not in theirs]
        missing += absent
        if match is None or absent:
            continue
        shapes += [
            f"{key} {tuple(theirs[key].shape)} for {tuple(tensor.shape)}"
            for key in names
            if theirs[key].shape != tensor.shape
        ]
        tied = first.setdefault(id(tensor), match)
        if not _equal(theirs, tied.value, match.value) or not _equal(theirs, tied.rho, match.rho):
            untied.append(f"{tied.value} and {match.value}")
    problems = {
        "missing there": missing,
        "unknown here": [key for key in theirs if key not in used],
        "of another shape": shapes,
        "one tensor here and two there": untied,
    }
    return list(first.values()), problems


def _find(name: str, attribute: str, tensor: Tensor, theirs: Mapping[str, Tensor]) -> _Match | None:
    if name in theirs:
        return _Match(name, tensor, name, None)
    prefix = name.removesuffix(attribute)
    for mean in _MEANS.get(attribute, ()):
        if prefix + mean in theirs:
            return _Match(name, tensor, prefix + mean, prefix + mean.replace("mu_", "rho_"))
    return None


def _tensors(model: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    # under all their names, without what conversion added
    for prefix, owner in model.named_modules(remove_duplicate=False):
        left_out = owner._non_persistent_buffers_set | own_names(owner)
        for attribute, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
            if tensor is not None and attribute not in left_out:
                yield f"{prefix}.{attribute}" if prefix else attribute, attribute, tensor


def _equal(theirs: Mapping[str, Tensor], one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or torch.equal(theirs[one], theirs[other])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
