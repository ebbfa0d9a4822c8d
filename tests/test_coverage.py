"""The table of what is Bayesian."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.coverage import Coverage


class Net(nn.Module):
    """Parameters of every kind: its own, tied, used per example and by other operations, frozen, and not used."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.embedding = nn.Embedding(7, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.LayerNorm(4))
        self.unused = nn.Linear(4, 2, bias=False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.gain * self.head(self.body(self.embedding(tokens)))  # type: ignore[no-any-return]


TOKENS = torch.tensor([[0, 2, 5], [1, 1, 6]])


def coverage(net: nn.Module, x: Tensor | None, **options: Any) -> Coverage:
    bnn = yu.bayesianize(net, **options)
    if x is not None:
        bnn(x)
    return bnn.coverage()


def test_each_parameter_once_in_the_order_of_the_network_with_what_is_in_force() -> None:
    net = Net()
    net.body[0].bias.requires_grad_(False)
    assert str(coverage(net, TOKENS)).splitlines() == [
        "module     class      parameter  shape   Bayesian  estimator  why",
        "(itself)   Net        gain       scalar  yes       shared     used by mul",
        "embedding  Embedding  weight     7x4     yes       shared     used by embedding; tied to head.weight",
        "body.0     Linear     weight     4x4     yes       flipout",
        "body.0     Linear     bias       4       no                   frozen (requires_grad is False)",
        "body.2     LayerNorm  weight     4       yes       shared     used by layer_norm",
        "body.2     LayerNorm  bias       4       yes       shared     used by layer_norm",
        "unused     Linear     weight     2x4     yes       none       no operation has used it so far",
        "61 of 65 weights are Bayesian, in 6 of 7 tensors: shared for 37, flipout for 16, none for 8",
    ]


@pytest.mark.parametrize("members", [1, 2])
def test_before_the_first_pass_it_says_what_is_not_known_yet(members: int) -> None:
    rows = coverage(nn.Linear(3, 1), None, members=members).rows
    assert {(row.estimator, row.reason) for row in rows} == {("flipout", "before the first pass")}
    rows = coverage(nn.Linear(3, 1), None, members=members, estimator="shared").rows
    assert {(row.estimator, row.reason) for row in rows} == {("shared", "")}
    rows = coverage(nn.Linear(3, 1), torch.randn(2, 3), members=members).rows
    assert {(row.estimator, row.reason) for row in rows} == {("flipout", "")}


def test_rows_name_parameters_as_the_module_does() -> None:
    net = Net()
    rows = coverage(net, TOKENS, where="body.*").rows
    parameters = dict(net.named_parameters())
    assert [row.name for row in rows] == list(parameters)
    for row in rows:
        assert row.shape == parameters[row.name].shape
        assert row.size == parameters[row.name].numel()
        assert row.module == type(net.get_submodule(row.path)).__name__
        assert row.bayesian == row.name.startswith("body")
        for name in row.tied:
            assert net.get_parameter(name) is parameters[row.name]


def test_a_long_table_prints_equal_blocks_once() -> None:
    blocks = [nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)) for _ in range(12)]
    net = nn.Sequential(nn.Linear(2, 3), *blocks, nn.Linear(3, 5))
    table = coverage(net, torch.randn(4, 2))
    assert len(table.rows) == 52
    assert str(table).splitlines()[1:] == [
        "0                 Linear     weight     3x2    yes       flipout",
        "0                 Linear     bias       3      yes       flipout",
        "*.0 (12 of them)  Linear     weight     3x3    yes       flipout",
        "*.0 (12 of them)  Linear     bias       3      yes       flipout",
        "*.1 (12 of them)  LayerNorm  weight     3      yes       shared     used by layer_norm",
        "*.1 (12 of them)  LayerNorm  bias       3      yes       shared     used by layer_norm",
        "13                Linear     weight     5x3    yes       flipout",
        "13                Linear     bias       5      yes       flipout",
        "245 of 245 weights are Bayesian, in 52 of 52 tensors: flipout for 173, shared for 72",
    ]
