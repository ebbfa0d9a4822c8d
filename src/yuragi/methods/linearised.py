"""A network made linear in its weights: what a Laplace approximation is the posterior of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from yuragi.torch_warnings import without_script_warnings


class Linearised(nn.Module):
    """f(x; w*) + J(x)(w − w*), J the Jacobian of f at w*: linear in the weights w, and as a function of x what J makes of it.

    The weights w are those of `net` and begin at w*; a file of a network that holds this module is loaded with
    `yuragi.load(path, Linearised(net))`. Forward-mode differentiation, so that J is never held: a pass costs two to three
    of the network's. Khan, Immer, Abedi & Korzepa, "Approximate inference turns deep networks into Gaussian processes",
    2019.

    Args:
        net: the network at w*, whose output is one tensor; kept and used, not copied.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh())
        >>> linear, x = Linearised(net), torch.ones(1, 1)
        >>> with torch.no_grad():
        ...     at = net[0].weight.fill_(0.0), linear(x)[0]  # the weight moves, and w* stays
        >>> bool(linear.anchor("0.weight") != 0)
        True
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._names = [name for name, _ in net.named_parameters()]
        for name, parameter in net.named_parameters():
            self.register_buffer(self._buffer(name), parameter.detach().clone())

    def anchor(self, name: str) -> Tensor:
        """w* of the parameter of this name."""
        anchor: Tensor = self.get_buffer(self._buffer(name))
        return anchor

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The linearised network's output."""
        now = dict(self.net.named_parameters())
        anchors = {name: self.anchor(name) for name in self._names}
        moved = {name: now[name] - anchors[name] for name in self._names}

        def at(weights: dict[str, Tensor]) -> Tensor:
            output: Tensor = torch.func.functional_call(self.net, weights, args, kwargs)
            return output

        with without_script_warnings():
            value, change = torch.func.jvp(at, (anchors,), (moved,))  # type: ignore[misc]
        linear: Tensor = value + change
        return linear

    @staticmethod
    def _buffer(name: str) -> str:
        return "at_" + name.replace(".", "/")
