"""Networks on graphs: the nodes are the rows.

A node's output depends on its neighbours, so that only one draw for all nodes (`shared`) is a draw of the whole
network; per-node noise is that of neighbours with weights of their own.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.libraries.whole import check_whole
from torch import Tensor, nn

import yuragi as yu
from yuragi.estimators import ESTIMATORS, Estimator

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 3], [1, 2, 3, 4, 5, 0, 3, 0]])
X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))


class Messages(nn.Module):
    """Mean of what the neighbours send: a linear map of sender, receiver and a weight of the layer's own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.message = nn.Linear(2 * inputs, outputs)
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.gate = nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        sender, receiver = edges
        sent = self.message(torch.cat([x[sender], x[receiver]], 1)) * self.gate
        total = torch.zeros(len(x), sent.shape[1], dtype=sent.dtype).index_add(0, receiver, sent)
        count = torch.bincount(receiver, minlength=len(x)).clamp_min(1).unsqueeze(1)
        return self.own(x) + total / count  # type: ignore[no-any-return]


class GraphNet(nn.Module):
    """Two layers on one graph, whose edges the network holds."""

    edges: Tensor

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.register_buffer("edges", EDGES)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x, self.edges).tanh(), self.edges)  # type: ignore[no-any-return]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_message_passing_by_hand(estimator: Estimator) -> None:
    torch.manual_seed(0)
    check_whole(GraphNet(Messages(3, 4), Messages(4, 2)), X, Y, estimator, likelihood=yu.Gaussian(0.3), per_example=[])


@pytest.mark.libraries
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", ["GCNConv", "SAGEConv", "GATConv"])
def test_torch_geometric(kind: str, estimator: Estimator) -> None:
    layers: Any = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(0)
    layer = getattr(layers, kind)
    check_whole(GraphNet(layer(3, 4), layer(4, 2)), X, Y, estimator, likelihood=yu.Gaussian(0.3), per_example=[])
