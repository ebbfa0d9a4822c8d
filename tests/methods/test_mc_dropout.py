"""Monte Carlo dropout against masks by hand, and against the closed form of a linear model."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.posteriors.test_exact import FEATURES, NOISE, regression_problem
from torch import Tensor, nn

import yuragi as yu
from yuragi.methods import mc_dropout
from yuragi.methods.dropped_inputs import DropoutPlaces, dropout_places, folded
from yuragi.methods.point_members import point_members

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(self.grouped(self.first(x).relu()).relu())
        y: Tensor = self.last(self.norm(h).relu().mean((2, 3)))
        return y


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(x)
        y: Tensor = self.last(x + self.inner(x).relu())
        return y


def by_hand(net: nn.Module, masks: dict[str, Tensor], x: Tensor, draw: int) -> Tensor:
    handles = []
    for name, mask in masks.items():
        layer = net.get_submodule(name)

        def masked(layer: nn.Module, args: tuple[Tensor], mask: Tensor = mask[draw]) -> Tensor:
            return args[0] * mask.reshape(-1, *[1] * (0 if isinstance(layer, nn.Linear) else 2))

        handles.append(layer.register_forward_pre_hook(masked))
    with torch.no_grad():
        output: Tensor = net.eval()(x)
    for handle in handles:
        handle.remove()
    return output


@pytest.mark.parametrize("kind", ["linear", "convolutions"])
def test_folded_weights_are_masked_activations(kind: str) -> None:
    torch.manual_seed(0)
    net: nn.Module = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(7, FEATURES)
    if kind == "convolutions":
        net, x = Convolutions(), torch.randn(7, 1, 6, 6)
    fitted = point_members(net, None, None, 1, 0)
    places = dropout_places(fitted, x, 0.4)
    assert list(places.probability) == (["2", "4"] if kind == "linear" else ["grouped", "up", "last"])
    masks = places.masks(fitted.module, 4, torch.Generator().manual_seed(1))
    for draw in range(4):
        other = copy.deepcopy(net)
        with torch.no_grad():
            for name, weight in zip(fitted.weight_names, folded(fitted, masks), strict=True):
                other.get_parameter(name).copy_(weight[draw])
            torch.testing.assert_close(other.eval()(x), by_hand(net, masks, x, draw))


def test_predictions_are_those_of_masks_by_hand() -> None:
    x, y = regression_problem()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
    found = mc_dropout.run(net, (x, y), likelihood=yu.Gaussian(NOISE), p=0.3, draws=2000, epochs=20)
    samples = found.predict(x).samples
    draws = found.network.draws(2000)
    kept = draws["3.weight"][:, 0] != 0
    assert abs(float(kept.double().mean()) - 0.7) < 4 * (0.21 / 12000) ** 0.5
    # the same units for all rows, and a mixture whose mean without dropout is the trained network's
    trained = copy.deepcopy(net)
    trained.load_state_dict({**trained.state_dict(), **{name: draw[0] for name, draw in draws.items()}})
    shared = dict(found.network.module.named_buffers())
    trained.load_state_dict({**trained.state_dict(), **shared})
    column = draws["3.weight"][:, 0].max(0).values + draws["3.weight"][:, 0].min(0).values  # w/(1 − p), or zero
    with torch.no_grad():
        hidden = trained.eval()[:3](x)
        for s in range(3):
            expected = (hidden * kept[s]) @ column + draws["3.bias"][s]
            torch.testing.assert_close(samples[s, :, 0], expected, rtol=1e-4, atol=1e-5)
        # independent masks: variance Σ h² w² p/(1 − p) with w = 0.7 · column
        exact = (hidden.square() @ (0.7 * column).square()) * 0.3 / 0.7
    assert (samples[..., 0].var(0) / exact - 1).abs().max() < 0.2


def test_dropout_of_a_linear_models_inputs_is_a_ridge_in_closed_form() -> None:
    # min E‖y − X z w/(1 − p)‖² = (XᵀX + p/(1 − p) diag(XᵀX))⁻¹ Xᵀy; Wager, Wang & Liang 2013
    x, y = regression_problem(rows=200)
    p = 0.25
    net = nn.Sequential(nn.Dropout(p), nn.Linear(FEATURES, 1, bias=False))
    found = mc_dropout.run(
        net,
        (x, y),
        likelihood=yu.Gaussian(1.0),
        prior=yu.priors.Normal(scale=1e3),
        epochs=4000,
        draws=400,
    )
    gram = x.T @ x
    exact = torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diagonal()), x.T @ y)[:, 0]
    drawn = found.network.draws(400)["1.weight"][:, 0]
    weight = (1 - p) * (drawn.max(0).values + drawn.min(0).values)
    torch.testing.assert_close(weight, exact, rtol=0.03, atol=0.01)
    assert found.dropout == {"1": p}


def test_what_a_network_drops_itself_keeps_its_place() -> None:
    x = torch.randn(4, FEATURES)
    drop = nn.Dropout(0.2)  # one layer that runs twice
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.ReLU(), drop, nn.Linear(6, 6), nn.ReLU(), drop, nn.Linear(6, 1))
    fitted = point_members(net, None, None, 1, 0)
    expected = DropoutPlaces({"3": 0.2, "6": 0.2}, {"2": ["3", "6"]})
    assert dropout_places(fitted, x, 0.5) == expected


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Linear(FEATURES, 1), "Linear has no second nn.Linear or convolution layer"),
        (Residual(), "used elsewhere in the network, too"),
        (nn.Sequential(nn.Linear(FEATURES, 4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 1)), "layers 1 are not directly"),
        (nn.Sequential(nn.Linear(FEATURES, 4), nn.AlphaDropout(0.1), nn.Linear(4, 1)), "'1' is AlphaDropout"),
    ],
)
def test_a_network_whose_dropout_is_no_draw_of_weights_is_refused(net: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mc_dropout.run(net, regression_problem(), epochs=1)


@pytest.mark.parametrize(("p", "message"), [(1.0, "p must be less than 1"), (0.0, "p must be positive and finite")])
def test_a_probability_is_one(p: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mc_dropout.run(nn.Linear(FEATURES, 1), regression_problem(), p=p)
