"""Which parameters of a network become Bayesian weights, and what each one is."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Role = Literal["weight", "bias", "gain", "embedding"]
Where = str | type[nn.Module] | Callable[[str, nn.Module], bool] | Sequence["Where"] | None
"""A glob pattern on parameter names, a module type, a predicate of (parameter name, owning module), or several of them."""

_TEMPLATE = "is_yuragi_template"

NORMS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,  # BatchNorm, InstanceNorm
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
"""torch's normalisation layers, for `where`: those that have parameters."""
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Weight:
    """One Bayesian tensor of the network: where it lives and what a prior needs to know of it."""

    name: str
    owner: nn.Module
    attribute: str
    shape: torch.Size
    fan_in: float
    role: Role

    @property
    def numel(self) -> int:
        """Number of scalars in the tensor."""
        return self.shape.numel()

    @property
    def parameter(self) -> nn.Parameter:
        """The tensor itself, as it is in the network now (it may have been replaced since conversion)."""
        parameter = self.owner._parameters[self.attribute]
        assert parameter is not None, f"{self.name} was set to None after bayesianize"
        return parameter


@dataclass(frozen=True)
class LeftOut:
    """A parameter that stays deterministic, and why."""

    name: str
    owner: nn.Module
    shape: torch.Size
    reason: str


def everything_but(*where: Where) -> Callable[[str, nn.Module], bool]:
    """A `where` that picks every parameter except those that one of the given ones picks.

    Args:
        *where: glob patterns, module types, predicates, or sequences of these, as for `where=` of `bayesianize`.

    Returns:
        A predicate of (parameter name, owning module).

    Example:
        >>> import yuragi as yu
        >>> net = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))
        >>> yu.bayesianize(net, where=everything_but(NORMS, "*.bias")).weight_names
        ['0.weight', '3.weight']
    """
    return lambda name, owner: not _matches(where, name, owner)


def select_weights(module: nn.Module, where: Where = None) -> tuple[list[Weight], list[LeftOut]]:
    """Split the parameters of `module` into Bayesian weights and those left deterministic.

    Args:
        module: any network. A tied parameter is listed once, under its first name, but `where` may match any of its names.
        where: what becomes Bayesian; None means every trainable floating-point parameter.

    Returns:
        The Bayesian weights and the parameters left out, both in the order of `module.named_parameters()`.

    Raises:
        ValueError: the module has no parameters, one is not initialised (lazy modules), or nothing was selected.
    """
    weights: list[Weight] = []
    left_out: list[LeftOut] = []
    chosen: dict[int, bool] = {}
    for name, owner, _, parameter in _walk(module):
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"parameter '{name}' of {type(owner).__name__} is not initialised yet (lazy module): "
                "run one batch through the network before bayesianize"
            )
        chosen[id(parameter)] = chosen.get(id(parameter), False) or _matches(where, name, owner)
    seen: set[int] = set()
    for name, owner, attribute, parameter in _walk(module):
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        reason = _reason_left_out(parameter, owner, chosen[id(parameter)])
        if reason:
            left_out.append(LeftOut(name, owner, parameter.shape, reason))
        else:
            fan_in, role = _describe(owner, attribute, parameter)
            weights.append(Weight(name, owner, attribute, parameter.shape, fan_in, role))
    if not weights:
        _refuse_nothing_selected(module, where, left_out)
    return weights, left_out


def group_by_pattern(weights: Sequence[Weight], patterns: Sequence[str]) -> list[list[int]]:
    """The weights that each glob pattern is the first to match, by index, and last those that none matches.

    Raises:
        ValueError: a pattern matches no weight, or only weights that an earlier pattern has taken.
    """
    groups: list[list[int]] = [[] for _ in range(len(patterns) + 1)]
    for index, weight in enumerate(weights):
        matching = [p for p, pattern in enumerate(patterns) if _matches(pattern, weight.name, weight.owner)]
        groups[matching[0] if matching else -1].append(index)
    for pattern, group in zip(patterns, groups, strict=False):
        if not group:
            names = ", ".join(weight.name for weight in weights[:20]) + (", …" if len(weights) > 20 else "")
            raise ValueError(
                f"pattern {pattern!r} matches no Bayesian weight that an earlier pattern has left; the weights are: {names}"
            )
    return groups


def pick(items: Sequence[T], group: Sequence[int]) -> list[T]:
    """The items of a group."""
    return [items[i] for i in group]


def in_order(groups: Sequence[Sequence[int]], items: Sequence[Sequence[T]]) -> list[T]:
    """The reverse of `pick` for all groups: one list of the items of every group that is not empty, by index."""
    placed = {
        i: item
        for group, own in zip(filter(None, groups), items, strict=True)
        for i, item in zip(group, own, strict=True)
    }
    return [placed[i] for i in range(len(placed))]


def parameter_names(module: nn.Module) -> list[list[str]]:
    """All names of each parameter: one list a parameter, of several names where it is tied, in the module's order."""
    names: dict[int, list[str]] = {}
    for name, _, _, parameter in _walk(module):
        names.setdefault(id(parameter), []).append(name)
    return list(names.values())


def as_template(parameter: nn.Parameter) -> None:
    """Freeze a parameter of a network whose members hold the weights: they are what trains."""
    parameter.requires_grad_(False)
    setattr(parameter, _TEMPLATE, True)


def as_new(parameter: nn.Parameter) -> None:
    """Undo `as_template`, for a network whose weights are to be overwritten."""
    parameter.requires_grad_(True)
    if hasattr(parameter, _TEMPLATE):
        delattr(parameter, _TEMPLATE)


def _walk(module: nn.Module) -> list[tuple[str, nn.Module, str, nn.Parameter]]:
    return [
        (f"{prefix}.{attribute}" if prefix else attribute, owner, attribute, parameter)
        for prefix, owner in module.named_modules()
        for attribute, parameter in owner._parameters.items()
        if parameter is not None
    ]


def _matches(where: Where, name: str, owner: nn.Module) -> bool:
    if where is None:
        return True
    if isinstance(where, str):
        prefix = name.rpartition(".")[0]
        return fnmatch.fnmatchcase(name, where) or fnmatch.fnmatchcase(prefix, where)
    if isinstance(where, type):
        return isinstance(owner, where)
    if callable(where):
        return bool(where(name, owner))
    return any(_matches(one, name, owner) for one in where)


def _reason_left_out(parameter: nn.Parameter, owner: nn.Module, chosen: bool) -> str:
    if isinstance(owner, torch.jit.ScriptModule):
        return "in a scripted module, which runs outside Python"
    if not parameter.is_floating_point():
        return f"dtype {parameter.dtype} is not real floating point"
    if parameter.numel() == 0:
        return "empty"
    if getattr(parameter, _TEMPLATE, False):
        return "the template of another Bayesian network: build the network anew"
    if not parameter.requires_grad:
        return "frozen (requires_grad is False)"
    return "" if chosen else "not matched by `where`"


def _refuse_nothing_selected(module: nn.Module, where: Where, left_out: list[LeftOut]) -> None:
    kind = type(module).__name__
    if not left_out:
        raise ValueError(f"{kind} has no parameters, so there is nothing to make Bayesian")
    listed = ", ".join(f"{one.name} ({one.reason})" for one in left_out[:20])
    more = f", and {len(left_out) - 20} more" if len(left_out) > 20 else ""
    raise ValueError(
        f"no parameter of {kind} becomes Bayesian with where={where!r}; its parameters are: {listed}{more}"
    )


def _describe(owner: nn.Module, attribute: str, parameter: Tensor) -> tuple[float, Role]:
    if isinstance(owner, _EMBEDDINGS):
        return 1.0, "embedding"
    if attribute.startswith("bias") or attribute.endswith("_bias"):
        return 1.0, "bias"
    if isinstance(owner, NORMS):
        return 1.0, "gain"
    if parameter.dim() < 2:
        # a hand-written norm's gain starts at exactly one; anything else with one axis is an offset
        return 1.0, "gain" if bool((parameter.detach() == 1).all()) else "bias"
    if isinstance(owner, _TRANSPOSED):
        # [in, out/groups, *kernel]: an output pixel receives in/groups * prod(kernel)/prod(stride) terms on average
        terms = parameter.shape[0] // owner.groups * math.prod(owner.kernel_size) / math.prod(owner.stride)
        return max(1.0, terms), "weight"
    return float(math.prod(parameter.shape[1:])), "weight"
