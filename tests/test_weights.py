"""Which parameters become Bayesian, and what a prior is told of each."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

import yuragi as yu
from yuragi.weights import Weight, Where, parameter_names, select_weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)
        self.own = nn.Parameter(torch.randn(5, 3))


def names(module: nn.Module, where: Where = None) -> list[str]:
    return [weight.name for weight in select_weights(module, where)[0]]


def described(module: nn.Module) -> dict[str, tuple[str, float]]:
    return {weight.name: (weight.role, weight.fan_in) for weight in select_weights(module)[0]}


ALL = ["own", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, ALL),
        ("*", ALL),
        ("*.weight", ["body.0.weight", "body.2.weight", "head.weight"]),
        ("head", ["head.weight", "head.bias"]),
        ("head.*", ["head.weight", "head.bias"]),
        ("body.?", ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]),
        ("own", ["own"]),
        (nn.Linear, ["head.weight", "head.bias"]),
        (nn.Conv1d, ["body.0.weight", "body.0.bias"]),
        (Net, ["own"]),
        (
            lambda name, owner: name.endswith("bias") and not isinstance(owner, nn.Linear),
            ["body.0.bias", "body.2.bias"],
        ),
        (["own", nn.BatchNorm1d], ["own", "body.2.weight", "body.2.bias"]),
        ((nn.Linear, ("*.0.bias", lambda name, _: name == "own")), ["own", "body.0.bias", "head.weight", "head.bias"]),
    ],
)
def test_where(where: Where, expected: list[str]) -> None:
    net = Net()
    weights, left_out = select_weights(net, where)
    assert [weight.name for weight in weights] == expected
    assert [one.name for one in left_out] == [name for name in ALL if name not in expected]
    assert {one.reason for one in left_out} <= {"not matched by `where`"}
    for weight in weights:
        assert weight.parameter is net.get_parameter(weight.name)
        assert weight.shape == weight.parameter.shape
        assert weight.numel == weight.parameter.numel()


def test_a_parameter_replaced_later_is_found() -> None:
    net = nn.Linear(2, 1)
    weight = select_weights(net)[0][0]
    net.weight = nn.Parameter(torch.ones(1, 2))
    assert weight.parameter is net.weight


@pytest.mark.parametrize("where", [None, "*", "0.weight", "2.weight", "2", lambda name, _: name == "2.weight"])
def test_tied_parameters_are_listed_once_under_the_first_name_and_match_any(where: Where) -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    net[2].weight = net[0].weight
    weights, left_out = select_weights(net, where)
    assert [weight.name for weight in weights] == ["0.weight"]
    assert not left_out


def test_a_module_used_twice_is_listed_once() -> None:
    layer = nn.Linear(3, 3)
    assert names(nn.Sequential(layer, nn.ReLU(), layer)) == ["0.weight", "0.bias"]


def test_frozen_empty_and_complex_parameters_are_left_out_and_why() -> None:
    net = Net()
    net.head.weight.requires_grad_(False)
    net.register_parameter("nothing", nn.Parameter(torch.empty(0, 3)))
    net.register_parameter("phase", nn.Parameter(torch.ones(2, dtype=torch.complex64)))
    net.register_parameter("absent", None)
    weights, left_out = select_weights(net)
    assert [weight.name for weight in weights] == [name for name in ALL if name != "head.weight"]
    assert {one.name: one.reason for one in left_out} == {
        "head.weight": "frozen (requires_grad is False)",
        "nothing": "empty",
        "phase": "dtype torch.complex64 is not real floating point",
    }


def test_lazy_modules_are_refused_with_the_remedy() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    with pytest.raises(ValueError, match=r"'0.weight' of LazyLinear is not initialised yet.*run one batch"):
        select_weights(net)
    net(torch.zeros(1, 2))
    assert described(net) == {"0.weight": ("weight", 2.0), "0.bias": ("bias", 1.0)}


@pytest.mark.parametrize("net", [nn.ReLU(), nn.Sequential(nn.Linear(3, 2), nn.LazyLinear(1), nn.BatchNorm1d(1))])
@pytest.mark.parametrize("members", [1, 3])
def test_a_refused_network_is_left_as_it_was(net: nn.Module, members: int) -> None:
    def state() -> list[tuple[str, int, bool, bool]]:
        return [
            (name, id(p), p.requires_grad, isinstance(p, UninitializedParameter)) for name, p in net.named_parameters()
        ]

    before, values = (
        state(),
        [p.detach().clone() for p in net.parameters() if not isinstance(p, UninitializedParameter)],
    )
    random, parts = torch.get_rng_state(), [(name, type(part), vars(part).keys()) for name, part in net.named_modules()]
    with pytest.raises(ValueError, match=r"no parameters|'1\.weight' of LazyLinear is not initialised"):
        yu.bayesianize(net, members=members)
    assert state() == before
    after = [p for p in net.parameters() if not isinstance(p, UninitializedParameter)]
    assert all(torch.equal(p, value) for p, value in zip(after, values, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert [(name, type(part), vars(part).keys()) for name, part in net.named_modules()] == parts


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_scripted_module_is_left_out_since_its_operations_cannot_be_seen() -> None:
    net = nn.Sequential(torch.jit.script(nn.Linear(3, 2)), nn.Linear(2, 1))
    weights, left_out = select_weights(net)
    assert [weight.name for weight in weights] == ["1.weight", "1.bias"]
    assert [one.name for one in left_out] == ["0.weight", "0.bias"]
    assert {one.reason for one in left_out} == {"in a scripted module, which runs outside Python"}


def test_all_names_of_a_tied_parameter() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert parameter_names(net) == [["0.weight", "1.weight"], ["1.bias"]]


@pytest.mark.parametrize("where", ["heads.*", nn.LSTM, [], lambda *_: False])
def test_nothing_selected_lists_what_there_is(where: Where) -> None:
    with pytest.raises(ValueError, match="no parameter of Net becomes Bayesian") as caught:
        select_weights(Net(), where)
    for name in ALL:
        assert f"{name} (not matched by `where`)" in str(caught.value)


def test_a_long_list_is_cut() -> None:
    net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(15)])
    with pytest.raises(ValueError, match=r"and 10 more$"):
        select_weights(net, "none")


def test_no_parameters_at_all() -> None:
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        select_weights(nn.ReLU())


def test_everything_frozen() -> None:
    with pytest.raises(ValueError, match=re.escape("weight (frozen (requires_grad is False))")):
        select_weights(nn.Linear(2, 1).requires_grad_(False))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))  # a hand-written norm
        self.offset = nn.Parameter(torch.zeros(4))
        self.temperature = nn.Parameter(torch.tensor(0.5))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(7, 3), {"weight": ("weight", 7), "bias": ("bias", 1)}),
        (nn.Conv2d(4, 6, (3, 5)), {"weight": ("weight", 4 * 15), "bias": ("bias", 1)}),
        (nn.Conv2d(4, 6, 3, groups=2), {"weight": ("weight", 2 * 9), "bias": ("bias", 1)}),
        (nn.Conv1d(4, 4, 3, groups=4, bias=False), {"weight": ("weight", 3)}),
        (nn.ConvTranspose2d(4, 6, 3, bias=False), {"weight": ("weight", 4 * 9)}),
        (nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2, bias=False), {"weight": ("weight", 2 * 16 / 4)}),
        (nn.ConvTranspose1d(1, 1, 2, stride=3, bias=False), {"weight": ("weight", 1)}),
        (nn.Embedding(10, 4), {"weight": ("embedding", 1)}),
        (nn.EmbeddingBag(10, 4), {"weight": ("embedding", 1)}),
        (nn.BatchNorm2d(4), {"weight": ("gain", 1), "bias": ("bias", 1)}),
        (nn.LayerNorm((3, 4)), {"weight": ("gain", 1), "bias": ("bias", 1)}),
        (nn.GroupNorm(2, 4), {"weight": ("gain", 1), "bias": ("bias", 1)}),
        (nn.InstanceNorm1d(4, affine=True), {"weight": ("gain", 1), "bias": ("bias", 1)}),
        (nn.RMSNorm(4), {"weight": ("gain", 1)}),
        (nn.Bilinear(3, 4, 2, bias=False), {"weight": ("weight", 12)}),
        (
            nn.GRU(3, 5),
            {
                "weight_ih_l0": ("weight", 3),
                "weight_hh_l0": ("weight", 5),
                "bias_ih_l0": ("bias", 1),
                "bias_hh_l0": ("bias", 1),
            },
        ),
        (
            nn.MultiheadAttention(4, 2, add_bias_kv=True),
            {
                "in_proj_weight": ("weight", 4),
                "in_proj_bias": ("bias", 1),
                "bias_k": ("bias", 1),
                "bias_v": ("bias", 1),
                "out_proj.weight": ("weight", 4),
                "out_proj.bias": ("bias", 1),
            },
        ),
        (Attention(), {"gain": ("gain", 1), "offset": ("bias", 1), "temperature": ("bias", 1)}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_roles_and_fan_in(module: nn.Module, expected: dict[str, tuple[str, float]]) -> None:
    assert described(module) == expected


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(40, 30, bias=False), (200, 40)),
        (nn.Conv2d(8, 6, 3, groups=2, bias=False), (4, 8, 16, 16)),
        (nn.ConvTranspose2d(8, 6, 4, stride=2, groups=2, bias=False), (4, 8, 16, 16)),
        (nn.ConvTranspose1d(8, 6, 5, stride=3, bias=False), (8, 8, 100)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_weights_of_variance_one_over_fan_in_keep_the_size_of_the_signal(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    (weight,) = select_weights(module)[0]
    generator = torch.Generator().manual_seed(0)
    output = signal(module, weight, torch.randn(shape, generator=generator), generator)
    inside = output[..., 6:-6] if output.dim() > 2 else output  # the edges receive fewer terms
    assert float(inside.var()) == pytest.approx(1, abs=0.1)


@torch.no_grad()
def signal(module: nn.Module, weight: Weight, x: Tensor, generator: torch.Generator) -> Tensor:
    squares = []
    for _ in range(20):
        weight.parameter.copy_(torch.randn(weight.shape, generator=generator) / weight.fan_in**0.5)
        squares.append(module(x))
    return torch.stack(squares)
