"""Bayesian-Torch's two calls.

The network stays the object that it was, with its own layers: a pair of forward hooks puts noise on its weights. Unlike
Bayesian-Torch this covers every module type, keeps pretrained attributes and `isinstance`, and has the true KL on demand.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor, nn

from yuragi import passes
from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.estimators import Estimator
from yuragi.posteriors import MeanField, MeanFieldDistribution
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.priors import Normal
from yuragi.weights import Where

_ENGINE = "_yuragi_engine"
_RHO, _SHARE = "posterior_rho", "tensor_share"
_PRIOR = {"loc": "prior_loc", "scale": "prior_scale", "numels": "prior_numels"}  # buffer of the engine's prior -> of m
_INIT_STD = 0.1  # of both μ and ρ, as in Bayesian-Torch
RETURNS_KL = "dnn_to_bnn_flag"  # the attribute that layers of `layers.py` have: where false, they return the KL too
_KEYS = ("prior_mu", "prior_sigma", "posterior_mu_init", "posterior_rho_init", "type", "moped_enable")
_NUMBERS = ("prior_mu", "prior_sigma", "posterior_mu_init", "posterior_rho_init")
_ESTIMATORS: dict[str, Estimator] = {"Flipout": "flipout", "Reparameterization": "shared"}

_thread = threading.local()


def dnn_to_bnn(m: nn.Module, bnn_prior_parameters: Mapping[str, Any], *, where: Where = None) -> None:
    """Make a network Bayesian in place, as Bayesian-Torch's function of this name does.

    Afterwards `m(x)` is stochastic in training and in evaluation mode. The network's own parameters are the means;
    `m.posterior_rho` [1, P] holds ρ of all weights one after another, σ = softplus(ρ).

    Args:
        m: any network.
        bnn_prior_parameters: with the keys `prior_mu` and `prior_sigma` (the prior's mean and standard deviation),
            `posterior_mu_init` and `posterior_rho_init` (μ and ρ start from Normals of standard deviation 0.1 around
            these; gains of normalisation layers keep their start), `type` ("Flipout" or "Reparameterization", one draw
            a pass), `moped_enable` and, where that is true, `moped_delta`: μ starts at the network's weights, and
            σ at delta·|μ| (Krishnan et al., "Specifying weight priors in Bayesian deep neural networks with empirical
            Bayes", 2020).
        where: what becomes Bayesian, as for `yuragi.bayesianize`; every trainable parameter when None.

    Raises:
        ValueError: a key is missing or unknown, a value out of range, or `m` is Bayesian already; `m` stays as it was.
        TypeError: `m` is not an `nn.Module`.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> dnn_to_bnn(net, {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0,
        ...                  "type": "Flipout", "moped_enable": False})
        >>> x = torch.zeros(4, 1)
        >>> bool((net(x) == net(x)).all())
        False
        >>> get_kl_loss(net).shape
        torch.Size([])
    """
    _check(m, bnn_prior_parameters)
    moped = bool(bnn_prior_parameters["moped_enable"])
    engine = bayesianize(
        m,
        prior=Normal(bnn_prior_parameters["prior_mu"], bnn_prior_parameters["prior_sigma"]),
        posterior=MeanField(),
        estimator=_ESTIMATORS[bnn_prior_parameters["type"]],
        where=where,
    )
    posterior = engine.posterior
    assert isinstance(posterior, MeanField)
    with torch.no_grad():
        if moped:
            posterior.rho.copy_(_moped_rho(engine, bnn_prior_parameters["moped_delta"]))
        else:
            posterior.rho.normal_(bnn_prior_parameters["posterior_rho_init"], _INIT_STD)
            for weight in engine.weights:
                if weight.role != "gain":
                    weight.parameter.normal_(bnn_prior_parameters["posterior_mu_init"], _INIT_STD)
    _attach(m, engine)
    m.register_forward_pre_hook(_enter, with_kwargs=True)
    m.register_forward_hook(_leave, always_call=True)


def get_kl_loss(m: nn.Module, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """The KL divergence of a network that `dnn_to_bnn` made Bayesian, or of the parts of it that are.

    Args:
        m: the network, or one that holds it.
        reduction: "mean": Bayesian-Torch's number, the KL averaged within each tensor and summed over tensors.
            "sum": the KL itself, KL(q‖p) in nats.

    Returns:
        A scalar with gradient.

    Raises:
        ValueError: unknown `reduction`, or nothing in `m` is Bayesian.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", got {reduction!r}')
    total: Tensor | None = None
    for part in converted_parts(m).values():
        engine = engine_of(part)
        q = engine.q()
        assert isinstance(q, MeanFieldDistribution)
        assert isinstance(engine.prior, Normal)
        counts = part.get_buffer(_SHARE) if reduction == "mean" else None
        kl = engine.prior.kl_from_normal(q.means, q.sigma, counts=counts).sum()
        total = kl if total is None else total + kl
    assert total is not None
    return total


def converted_parts(m: nn.Module) -> dict[str, nn.Module]:
    """The modules that `dnn_to_bnn` converted, `m` or within it, by their names.

    Raises:
        ValueError: there is none.
    """
    parts = {name: part for name, part in m.named_modules() if _ENGINE in part.__dict__}
    if not parts:
        raise ValueError(f"{type(m).__name__} has no Bayesian part: call dnn_to_bnn on it first")
    return parts


def own_names(m: nn.Module) -> set[str]:
    """Names of the parameters and buffers that `dnn_to_bnn` added to this very module."""
    return {_RHO, _SHARE, *_PRIOR.values()} if _ENGINE in m.__dict__ else set()


def keep_bayesian(m: nn.Module, names: set[str]) -> None:
    """Make all Bayesian weights of a converted module deterministic but these; their spreads begin anew."""
    before = engine_of(m)
    rho = m.get_parameter(_RHO)
    del m._parameters[_RHO]  # not a weight of the network
    engine = bayesianize(
        m, prior=before.prior, posterior=MeanField(), estimator=before.estimator, where=lambda name, _: name in names
    )
    for name in ("loc", "scale"):
        engine.prior.register_buffer(name, before.prior.get_buffer(name))
    # the same parameter, so that an optimiser made before holds it still
    rho.data, rho.grad = engine.posterior.get_parameter("rho").data, None
    engine.posterior._parameters["rho"] = rho
    _attach(m, engine)


def _attach(m: nn.Module, engine: Bayesian) -> None:
    prior = engine.prior
    assert isinstance(prior, Normal)
    m.register_parameter(_RHO, engine.posterior.get_parameter("rho"))
    for own, name in _PRIOR.items():
        m.register_buffer(name, prior._buffers[own], persistent=own not in prior._non_persistent_buffers_set)
    # one over the size of its tensor, for each weight
    share = prior.numels.double().reciprocal().repeat_interleave(prior.numels)
    m.register_buffer(_SHARE, share.to(m.get_parameter(_RHO)).detach(), persistent=False)
    m.__dict__[_ENGINE] = engine  # not a child module: a Sequential would run it


def _check(m: nn.Module, parameters: Mapping[str, Any]) -> None:
    if not isinstance(m, nn.Module):
        raise TypeError(f"dnn_to_bnn takes an nn.Module, got {type(m).__name__}")
    known = (*_KEYS, "moped_delta")
    unknown = [str(key) for key in parameters if key not in known]
    if unknown:
        raise ValueError(f"bnn_prior_parameters has unknown keys: {', '.join(unknown)}; known are {', '.join(known)}")
    moped = parameters.get("moped_enable")
    missing = [key for key in (known if moped else _KEYS) if key not in parameters]
    if missing:
        raise ValueError(f"bnn_prior_parameters lacks {', '.join(missing)}")
    for key in (*_NUMBERS, "moped_delta") if moped else _NUMBERS:
        if not isinstance(parameters[key], Real) or not math.isfinite(parameters[key]):
            raise ValueError(f"{key} must be a finite number, got {parameters[key]!r}")
    if parameters["type"] not in _ESTIMATORS:
        raise ValueError(f"type must be one of {', '.join(_ESTIMATORS)}, got {parameters['type']!r}")
    if moped and not parameters["moped_delta"] > 0:
        raise ValueError(f"moped_delta must be positive, got {parameters['moped_delta']}")
    if any(_ENGINE in part.__dict__ for part in m.modules()):
        raise ValueError(f"{type(m).__name__} is Bayesian already: call dnn_to_bnn once")


def _moped_rho(engine: Bayesian, delta: float) -> Tensor:
    # a weight of exactly zero gets the smallest σ that leaves log σ finite
    scale = torch.cat([delta * weight.parameter.abs().flatten() for weight in engine.weights]).clamp_min(1e-20)
    return inverse_softplus(scale).unsqueeze(0)


def engine_of(m: nn.Module) -> Bayesian:
    """The `Bayesian` behind a module that `dnn_to_bnn` converted, which lives on the module's own tensors."""
    # `m.to`, `load_state_dict(assign=True)` and the like may have put other tensors in the place of the engine's
    engine: Bayesian = m.__dict__[_ENGINE]
    if engine.module is not m:
        raise RuntimeError(
            f"this {type(m).__name__} is a shallow copy or replica of the one that dnn_to_bnn converted: use "
            "copy.deepcopy, or DistributedDataParallel in place of DataParallel"
        )
    engine.posterior._parameters["rho"] = m._parameters[_RHO]
    for own, name in _PRIOR.items():
        engine.prior._buffers[own] = m._buffers[name]
    return engine


def _enter(m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    engine = engine_of(m)
    args, kwargs, wants_kl = _take_return_kl(m, args, kwargs)
    running, exploring = _state()
    if id(m) in exploring:
        return args, kwargs
    while any(one is m for one, *_ in running):  # a pass that was interrupted: torch calls no hook after Ctrl-C
        running.pop()[1].__exit__(None, None, None)
    if not engine.explored:
        with _exploring(m, exploring):
            engine.explore(args, kwargs)
    context = passes.entered(engine.pass_mode(args, kwargs))
    context.__enter__()
    running.append((m, context, wants_kl))
    return args, kwargs


def _leave(m: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    # called after an exception too, also one before `_enter` was reached
    running, _ = _state()
    if not running or running[-1][0] is not m:
        return None
    _, context, wants_kl = running.pop()
    context.__exit__(None, None, None)
    if output is None or not wants_kl:
        return None
    return (*output, get_kl_loss(m)) if isinstance(output, tuple) else (output, get_kl_loss(m))


def _take_return_kl(
    m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    # Bayesian-Torch's layers take `return_kl` last; no torch layer takes a flag there
    if RETURNS_KL not in m.__dict__:
        return args, kwargs, False
    wanted = kwargs.get("return_kl", True)
    if args and isinstance(args[-1], bool):
        *rest, wanted = args
        args = tuple(rest)
    rest_by_name = {name: value for name, value in kwargs.items() if name != "return_kl"}
    return args, rest_by_name, bool(wanted) and not m.__dict__[RETURNS_KL]


def _state() -> tuple[list[tuple[nn.Module, AbstractContextManager[None], bool]], set[int]]:
    if not hasattr(_thread, "running"):
        _thread.running, _thread.exploring = [], set()
    return _thread.running, _thread.exploring


@contextmanager
def _exploring(m: nn.Module, exploring: set[int]) -> Iterator[None]:
    exploring.add(id(m))
    try:
        yield
    finally:
        exploring.discard(id(m))
