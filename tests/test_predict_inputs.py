"""`predict`: inputs and outputs of every kind, and those that are refused."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import yuragi as yu

ROWS = 13


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def made(build: Callable[[], nn.Module] = mlp, **options: Any) -> yu.Bayesian:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options.setdefault("likelihood", yu.Gaussian(noise=0.1))
        options.setdefault("posterior", yu.posteriors.MeanField(init_scale=0.2))
        return yu.bayesianize(build(), seed=0, **options)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 1)

    def forward(self, x: Tensor, ids: Tensor, scale: float = 1.0, mask: Tensor | None = None) -> dict[str, Tensor]:
        assert mask is None
        return {"hidden": x, "y": self.head(self.embedding(ids) + scale * x)}


@pytest.mark.parametrize("batch_size", [None, 4])
def test_inputs_of_several_parts_and_a_chosen_output(batch_size: int | None) -> None:
    bnn = made(Parts, output="y")
    x, ids = randn(ROWS, 3), torch.arange(ROWS) % 5
    expected = yu.predict(bnn, (x, ids), samples=4).samples
    assert expected.shape == (4, ROWS, 1)
    inputs: list[Any] = [
        (x, ids),
        (x.double().numpy(), ids.numpy()),
        {"ids": ids, "x": x},
        {"ids": ids, "x": x, "scale": 1.0, "mask": None},
        (x, ids, 1.0),
    ]
    for one in inputs:
        close(yu.predict(bnn, one, samples=4, batch_size=batch_size).samples, expected)


@dataclass
class Answer:
    y: Tensor
    extra: str = ""


class Returning(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.wrap = nn.Linear(3, 2), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.layer(x))


def second(result: Mapping[str, Tensor]) -> Tensor:
    return result["b"]


OUTPUTS: dict[str, tuple[Callable[[Tensor], Any], Any]] = {
    "index": (lambda y: (0 * y, y), 1),
    "key": (lambda y: {"a": 0 * y, "b": y}, "b"),
    "function of a dict": (lambda y: {"a": 0 * y, "b": y}, second),
    "attribute of a dataclass": (Answer, "y"),
    "function of the rows": (lambda y: torch.cat([0 * y, y], 1), lambda y: y[:, 2:]),
}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_output_picks_the_tensor(kind: str, members: int) -> None:
    wrap, output = OUTPUTS[kind]
    x = randn(ROWS, 3)
    expected = yu.predict(made(lambda: Returning(lambda y: y), members=members), x, samples=4).samples
    bnn = made(lambda: Returning(wrap), members=members, output=output)
    close(yu.predict(bnn, x, samples=4).samples, expected)


def test_integer_inputs_stay_integers() -> None:
    bnn = made(lambda: nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 3)), likelihood=yu.Categorical())
    ids = torch.arange(2 * ROWS).reshape(ROWS, 2) % 5
    prediction = yu.predict(bnn, ids.numpy(), samples=4)
    assert isinstance(prediction, yu.ClassificationPrediction)
    assert prediction.probs.shape == (ROWS, 3)
    close(prediction.probs.sum(-1), torch.ones(ROWS))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_another_precision(dtype: torch.dtype) -> None:
    bnn = made(lambda: mlp().to(dtype))
    for x in (randn(ROWS, 3), randn(ROWS, 3).double().numpy()):
        prediction = yu.predict(bnn, x, samples=4)
        assert prediction.samples.dtype == dtype
        assert np.isfinite(prediction.log_prob(torch.zeros(ROWS, 2)).numpy()).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_inputs_must_be_finite(value: float) -> None:
    x = randn(ROWS, 3)
    x[4, 1] = value
    with pytest.raises(ValueError, match=r"x holds 1 values that are NaN or infinite, the first at \[4, 1\]"):
        yu.predict(made(), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"samples": -3}, "samples must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"x": torch.zeros(0, 3)}, "the data are empty"),
        ({"x": []}, "the data are empty"),
        ({"x": torch.tensor(1.0)}, "the data are empty"),
        ({"x": (torch.zeros(3, 3), torch.zeros(2, 3))}, "different numbers of rows"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        yu.predict(made(), **({"x": randn(ROWS, 3)} | options))


@pytest.mark.parametrize("x", [None, "table.csv", {}])
def test_inputs_that_are_no_tensors(x: Any) -> None:
    with pytest.raises(TypeError, match="x must be a tensor or array"):
        yu.predict(made(), x)


@pytest.mark.parametrize("wrap", [torch.sum, lambda y: y.sum(0), lambda y: y.mean(0, keepdim=True), lambda y: y[1:]])
def test_an_output_that_has_not_the_rows_of_the_input(wrap: Callable[[Tensor], Tensor]) -> None:
    bnn = made(lambda: Returning(wrap))
    with pytest.raises(ValueError, match="the first axis must be the rows"):
        yu.predict(bnn, randn(ROWS, 3), batch_size=6)


def test_an_output_that_is_no_tensor() -> None:
    with pytest.raises(
        TypeError, match=r"returned .*say which part is the prediction with bayesianize\(..., output=\)"
    ):
        yu.predict(made(lambda: Returning(lambda y: (y, y))), randn(ROWS, 3))
