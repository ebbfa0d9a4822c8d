"""The MNIST benchmark: its scores against a predictor that is known, and every method whole on made-up digits."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.made_up_digits import write_made_up_digits
from torch import Tensor
from torch.nn import functional as F

import yuragi as yu
from yuragi.methods import METHODS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("mnist")
    for name in ("mnist", "lenet", "machine"):  # examples have a module of that name too
        if name not in before:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_place_of_a_shifted_digit_is_met(mnist: Any) -> None:
    digit = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    data = mnist.Shifted(digit, torch.tensor([7]))
    inside = F.pad(digit[0], (1, 1, 1, 1))
    places = {(i, j): inside[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)}
    met = set()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(100):
            x, y = data[0]
            assert int(y) == 7
            met |= {place for place, image in places.items() if torch.allclose(x * 0.3081 + 0.1307, image, atol=1e-6)}
    assert met == set(places)


def test_scores_of_a_known_predictor(mnist: Any) -> None:
    # digits bear their label in the first corner, and 0.9 in the corner that a quarter turn brings there
    y = torch.arange(40) % 10
    x = torch.full((40, 1, 28, 28), 0.05)
    x[:, 0, 0, 0] = y / 100
    x[:, 0, 0, -1] = 0.9
    asked: list[int] = []

    def predict(images: Tensor) -> yu.ClassificationPrediction:
        # fairly sure of digits, surer of noise, and torn between two labels by anything else
        asked.append(len(images))
        corner, middle = images[:, 0, 0, 0], images[:, 0, 14, 14]
        label = (corner * 100).round().long().clamp(max=9)
        noisy = ~torch.isclose(torch.minimum(middle, 1 - middle), torch.tensor(0.05))
        sharpness = torch.where(noisy, 9.0, 4.0).unsqueeze(-1)
        torn = torch.stack([4.0 * F.one_hot(torch.full_like(label, k), 10) for k in (0, 1)])
        strange = (~noisy & (corner > 0.5)).unsqueeze(-1)
        return yu.ClassificationPrediction(torch.where(strange, torn, sharpness * F.one_hot(label, 10)))

    scores = mnist.scores(predict, x, y, seed=0)
    confidence = math.exp(4) / (math.exp(4) + 9)
    expected = {"accuracy": 1, "NLL": -math.log(confidence), "ECE": 1 - confidence}
    expected |= {"inverted, MI": 1, "inverted, entropy": 1, "rotated, MI": 1, "rotated, entropy": 1}
    expected |= {"noise, MI": 0.5, "noise, entropy": 0}  # a tie at no mutual information
    assert scores == pytest.approx(expected, abs=1e-6)
    assert sorted(asked) == [28, 28, 40, 40, 40]  # without 0, 1 and 8, upright and turned


@pytest.mark.parametrize("name", ["anchored", "mean-field", "deterministic", "plain-ensemble", "bayesian-torch"])
def test_every_method_runs_from_its_seed(
    mnist: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "bayesian-torch":
        pytest.importorskip("bayesian_torch")
    monkeypatch.setattr(mnist, "MEMBERS", 2)
    monkeypatch.setattr(mnist, "DRAWS", 3)
    write_made_up_digits(tmp_path, train=200, test=40)
    options = ["--data", str(tmp_path), "--methods", name, "--epochs", "1", "--threads", "1", "--train", "150"]
    first, second = (mnist.main([*options, "--out", str(tmp_path / out)])[name] for out in ("a.md", "b.md"))
    for column in set(first) - {"CPU s", "wall s"}:
        assert first[column] == second[column], column
    lines = (tmp_path / "a.md").read_text().splitlines()
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[4] == ""
    assert lines[2].startswith(f"| {name} | {first['accuracy']:.4f} | {first['NLL']:.4f} |")
    assert "150 training and 40 test images" in capsys.readouterr().out


def test_what_a_method_cannot_do_is_listed_with_the_reason(mnist: Any, tmp_path: Path) -> None:
    write_made_up_digits(tmp_path, train=60, test=20)
    options = ["--data", str(tmp_path), "--methods", "quantile", "collapsed", "--threads", "1", "--seconds", "5"]
    assert mnist.main([*options, "--out", str(tmp_path / "a.md")]) == {}
    text = (tmp_path / "a.md").read_text()
    for name in ("quantile", "collapsed"):
        assert f"- {name}, left out: ValueError: " in text
    assert "Categorical" in text


@pytest.mark.slow
def test_all_methods_run_for_their_time(mnist: Any, tmp_path: Path) -> None:
    write_made_up_digits(tmp_path, train=200, test=40)
    options = ["--data", str(tmp_path), "--methods", "all", "--threads", "1", "--seconds", "2"]
    rows = mnist.main([*options, "--out", str(tmp_path / "a.md")])
    text = (tmp_path / "a.md").read_text()
    assert mnist.ALL == ["anchored-unshifted", *METHODS]
    for name in mnist.ALL:
        assert (name in rows) != (f"- {name}, left out: " in text)
    assert {"anchored-unshifted", "ensemble", "last_layer", "mc_dropout", "sghmc", "sgld", "svi", "swag"} <= set(rows)


def test_choices_are_made_without_the_test_set(mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "HELD_OUT", 50)
    write_made_up_digits(tmp_path, train=200)
    for path in tmp_path.glob("t10k*"):
        path.unlink()
    seen: list[Tensor] = []

    def record(training: Any) -> Any:
        seen.append(training.x)

        def predict(images: Tensor) -> yu.ClassificationPrediction:
            seen.append(images)
            return yu.ClassificationPrediction(torch.zeros(1, len(images), 10))

        return predict

    monkeypatch.setitem(mnist.METHODS, "deterministic", record)
    mnist.main(["--data", str(tmp_path), "--methods", "deterministic", "--validate", "--threads", "1"])
    x, _ = mnist.read_mnist(tmp_path, "train")
    assert torch.equal(seen[0], x[:150])
    assert torch.equal(seen[1], x[150:])
