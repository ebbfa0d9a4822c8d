"""Dropout as draws of weights: a dropped input of a layer is a part of its weights that is zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.draws import evaluating
from yuragi.starts import copied

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class DropoutPlaces:
    """Before which layers of a network inputs are dropped.

    Attributes:
        probability: layer name -> p.
        calls: for a network with dropout layers of its own: the name of each -> the layers that its outputs go to, one for
            every time that it runs.
    """

    probability: dict[str, float]
    calls: dict[str, list[str]] = field(default_factory=dict)

    def insert(self, module: nn.Module) -> list[RemovableHandle]:
        """Let `module` drop inputs in training, where it has no dropout layers that do; returns what removes it again."""
        if self.calls:
            return []
        found = []
        for name, p in self.probability.items():

            def drop(layer: nn.Module, args: tuple[Any, ...], p: float = p) -> tuple[Any, ...] | None:
                if not layer.training:
                    return None
                x, axis = args[0], _feature_axis(layer, args[0])
                shape = [1] * x.dim()
                shape[axis] = x.shape[axis]
                if axis > 0:  # each row its own units, and all positions of a row the same
                    shape[0] = x.shape[0]
                return (x * F.dropout(x.new_ones(shape), p), *args[1:])

            found.append(module.get_submodule(name).register_forward_pre_hook(drop))
        return found

    def masks(self, module: nn.Module, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
        """z/(1 − p) with z ~ Bernoulli(1 − p) of each layer's inputs, layer name -> [S, inputs]."""
        found = {}
        for name, p in self.probability.items():
            layer = module.get_submodule(name)
            like = cast("Tensor", layer.weight)
            unit = torch.rand(draws, _inputs(layer), generator=generator, dtype=like.dtype, device=like.device)
            found[name] = (unit >= p).to(like.dtype) / (1 - p)
        return found


def dropout_places(bnn: Bayesian, x: Any, p: float) -> DropoutPlaces:
    """Where a network's own dropout layers are; if it has none, all layers with trained weights but the first that runs.

    Args:
        bnn: with one member.
        x: a few rows of input.
        p: probability where there are no dropout layers.

    Raises:
        ValueError: there is nothing to drop, or dropping it is no draw of weights.
    """
    own = _own_dropout(bnn.module)
    places = _followed(bnn.module, own, x) if own else _all_but_the_first(bnn.module, x, p)
    _check_foldable(bnn, places, x)
    return places


def folded(bnn: Bayesian, masks: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights of a network of one member under masks of its layers' inputs, list of [S, *shape].

    Args:
        bnn: the network.
        masks: layer name -> [S, inputs].
    """
    draws = next(iter(masks.values())).shape[0]
    found = {weight.name: weight.parameter.detach().expand(draws, *weight.shape) for weight in bnn.weights}
    for name, mask in masks.items():
        layer = bnn.module.get_submodule(name)
        key = f"{name}.weight" if name else "weight"
        trailing = [1] * (found[key].dim() - 3)
        if isinstance(layer, _TRANSPOSED):  # [S, inputs, outputs, ...]
            factor = mask.reshape(*mask.shape, 1, *trailing)
        elif isinstance(layer, _CONVOLUTIONS):  # [S, outputs, inputs of a group, ...]
            by_group = mask.unflatten(1, (layer.groups, -1))
            factor = by_group.repeat_interleave(layer.out_channels // layer.groups, 1)
            factor = factor.reshape(*factor.shape, *trailing)
        else:
            factor = mask.unsqueeze(1)
        found[key] = found[key] * factor
    return [found[name] for name in bnn.weight_names]


def _inputs(layer: nn.Module) -> int:
    return cast("int", layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)


def _feature_axis(layer: nn.Module, x: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return x.dim() - 1
    return x.dim() - 1 - len(cast("nn.Conv2d", layer).kernel_size)


def _own_dropout(module: nn.Module) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            if not isinstance(part, _DROPOUT) or part.p >= 1:
                raise ValueError(
                    f"the dropout layer '{name}' is {part}: only {', '.join(kind.__name__ for kind in _DROPOUT)} with "
                    "p < 1 are draws of weights"
                )
            found[name] = part.p
    return found


def _trained_layers(module: nn.Module) -> dict[str, nn.Module]:
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, _LAYERS) and isinstance(part.weight, nn.Parameter) and part.weight.requires_grad
    }


def _all_but_the_first(module: nn.Module, x: Any, p: float) -> DropoutPlaces:
    order: list[str] = []
    layers = {name: part for name, part in module.named_modules() if isinstance(part, _LAYERS)}
    handles = [
        layer.register_forward_pre_hook(lambda _layer, _args, name=name: order.append(name))
        for name, layer in layers.items()
    ]
    _evaluate(module, x, handles)
    found = [name for name in dict.fromkeys(order) if name in _trained_layers(module) and name != order[0]]
    if not found:
        raise ValueError(
            f"{type(module).__name__} has no second nn.Linear or convolution layer with weights to train, before which "
            "units could be dropped: give it a hidden layer, or dropout layers of its own"
        )
    return DropoutPlaces(dict.fromkeys(found, p))


def _followed(module: nn.Module, own: Mapping[str, float], x: Any) -> DropoutPlaces:
    outputs: list[Tensor] = []
    ran: list[str] = []
    next_layers: list[set[str]] = []

    def dropped(name: str) -> Any:
        def hook(_part: nn.Module, _args: Any, output: Tensor) -> Tensor:
            ran.append(name)
            next_layers.append(set())
            outputs.append(output.clone())  # in evaluation mode it is the input itself, which others may have too
            return outputs[-1]

        return hook

    def met(name: str) -> Any:
        def hook(_layer: nn.Module, args: tuple[Any, ...]) -> None:
            for output, layers in zip(outputs, next_layers, strict=True):
                if args and args[0] is output:
                    layers.add(name)

        return hook

    handles = [module.get_submodule(name).register_forward_hook(dropped(name)) for name in own]
    handles += [layer.register_forward_pre_hook(met(name)) for name, layer in _trained_layers(module).items()]
    _evaluate(module, x, handles)
    wrong = sorted({name for name, layers in zip(ran, next_layers, strict=True) if len(layers) != 1})
    if wrong or not ran:
        raise ValueError(
            f"the dropout layers {', '.join(wrong or own)} are not directly before one nn.Linear or convolution layer with "
            "weights to train, so a draw of them is no draw of weights: move them there, or set their p to 0"
        )
    probability: dict[str, float] = {}
    calls: dict[str, list[str]] = {}
    for name, layers in zip(ran, next_layers, strict=True):
        (layer,) = layers
        probability[layer] = own[name]
        calls.setdefault(name, []).append(layer)
    return DropoutPlaces(probability, calls)


def _check_foldable(bnn: Bayesian, places: DropoutPlaces, x: Any) -> None:
    # scaled activations and scaled weights have to be the same: not where a weight or an activation is used elsewhere, too
    module = copied(bnn.module)
    like = bnn.reference_tensor
    generator = torch.Generator(like.device).manual_seed(0)
    layers = {name: module.get_submodule(name) for name in places.probability}
    masks = {
        name: 0.5 + torch.rand(1, _inputs(layer), generator=generator, dtype=like.dtype, device=like.device)
        for name, layer in layers.items()
    }

    def scaled(x: Tensor, name: str) -> Tensor:
        shape = [1] * x.dim()
        shape[_feature_axis(layers[name], x)] = -1
        return x * masks[name].reshape(shape)

    handles: list[RemovableHandle] = []
    for dropout, following in places.calls.items():
        left = iter(following)
        handles.append(
            module.get_submodule(dropout).register_forward_hook(
                lambda _part, _args, output, left=left: scaled(output, next(left))
            )
        )
    for name in () if places.calls else layers:
        handles.append(
            layers[name].register_forward_pre_hook(lambda _layer, args, name=name: (scaled(args[0], name), *args[1:]))
        )
    wanted = bnn.select_output(_evaluate(module, x, handles))
    with torch.no_grad():
        for name, weight in zip(bnn.weight_names, folded(bnn, masks), strict=True):
            module.get_parameter(name).copy_(weight[0])
    got = bnn.select_output(_evaluate(module, x, []))
    if not torch.allclose(got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max())):
        raise ValueError(
            f"the inputs of {', '.join(layers)} cannot be dropped by a draw of weights: a weight or a dropped activation is "
            "used elsewhere in the network, too"
        )


@torch.no_grad()
def _evaluate(module: nn.Module, x: Any, handles: list[RemovableHandle]) -> Any:
    # in evaluation mode, under hooks that are removed again
    args, kwargs = as_arguments(x)
    try:
        with evaluating(module):
            return module(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
