"""Every method on the article's data: the distance from the exact posterior, and what becomes of one that cannot run."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.running import run

import yuragi as yu
from yuragi import demo, demo_methods
from yuragi.methods import METHODS, collapsed, svi
from yuragi.predictions import QuantilePrediction

Method = Callable[..., Any]


def absent(net: object, data: object, **settings: object) -> Any:
    raise ModuleNotFoundError('this method needs the package nothing: pip install "yuragi[none]"')


def picky(net: object, data: object, **settings: object) -> Any:
    raise ValueError("not for this network")


def quick(net: Any, data: Any, *, seconds: float | None, **settings: Any) -> svi.Result:
    assert seconds is not None
    assert seconds > 0
    return svi.run(net, data, epochs=3, draws=5, **settings)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    methods: dict[str, Method] = {"absent": absent, "quick": quick, "picky": picky}
    monkeypatch.setattr(demo_methods, "METHODS", methods)


def test_the_distance_is_that_of_two_normals_at_each_input() -> None:
    mean, std = demo_methods.reference()
    near = demo.grid()[:, 0].abs() <= 4
    for shift, factor in ((0.0, 1.0), (0.3, 1.0), (0.0, 2.0), (0.3, 2.0)):
        ends = [mean + shift - factor * std, mean + shift + factor * std]
        prediction = yu.RegressionPrediction(torch.stack(ends).unsqueeze(-1), torch.tensor(0.1))
        expected = (shift**2 + ((factor - 1) * std) ** 2).sqrt()[near].mean()
        assert demo_methods.distance(prediction) == pytest.approx(float(expected), abs=1e-6)
    assert demo_methods.distance(demo_methods.exact()) == pytest.approx(0, abs=1e-6)


def test_quantiles_have_no_distance_of_f() -> None:
    mean, _ = demo_methods.reference()
    quantiles = torch.stack([mean - 0.1, mean, mean + 0.1]).unsqueeze(-1)
    assert demo_methods.distance(QuantilePrediction.of(quantiles, [0.16, 0.5, 0.84])) is None


@pytest.mark.slow
def test_the_reference_is_the_posterior_that_another_method_finds() -> None:
    found = collapsed.run(demo.network(), demo.data(), likelihood=yu.Gaussian(demo.NOISE))
    prediction = found.predict(demo.grid())
    assert isinstance(prediction, yu.RegressionPrediction)
    away = demo_methods.distance(prediction)
    assert away is not None
    assert away < 0.02


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("few")
def test_a_method_that_cannot_run_says_why_and_the_others_go_on() -> None:
    told: list[float] = []
    torch.manual_seed(3)
    state = torch.get_rng_state()
    absent, quick, picky = demo_methods.run_every_method(*demo.data(), seconds=60, progress=told.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert (absent.method, quick.method, picky.method) == ("absent", "quick", "picky")
    assert absent.prediction is None
    assert "pip install" in absent.said
    assert picky.said == "not for this network"
    assert quick.prediction is not None
    assert quick.prediction.num_rows == len(demo.grid())
    assert quick.said.startswith("stochastic variational inference")
    assert told == sorted(told)
    assert told[-1] == pytest.approx(2 / 3)
    again = demo_methods.run_every_method(*demo.data(), seconds=60)[1].prediction
    assert again is not None
    assert torch.equal(again.samples, quick.prediction.samples)


@pytest.mark.usefixtures("few")
def test_demo_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    ended = run(capsys, "demo", "--all", "--out", "d.png", "--time-budget", "60s")
    assert ended.code == 0
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")
    for words in ("exact", "quick", "left out", "distance", "wrote d.png"):
        assert words in ended.out
    assert "note: absent was left out: this method needs the package nothing: pip install" in ended.err
    found = json.loads(run(capsys, "demo", "--all", "--out", "d.png", "--json").out)
    assert [row["method"] for row in found["methods"]] == ["absent", "quick", "picky"]
    assert found["methods"][2] == {"method": "picky", "left_out": "not for this network"}
    assert len(found["methods"][1]["regions"]) == 3


@pytest.mark.parametrize(
    "arguments", [("--all", "--epochs", "3"), ("--all", "--article-only"), ("--time-budget", "9s")]
)
def test_options_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run(capsys, "demo", *arguments)
    assert ended.code == 2
    assert "--all" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_no_method_is_left_out_on_the_articles_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gpytorch")
    pytest.importorskip("laplace")
    looks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.01 * next(looks))  # ten milliseconds each
    outcomes = demo_methods.run_every_method(*demo.data(), seconds=40)
    assert [outcome.method for outcome in outcomes] == list(METHODS)
    for outcome in outcomes:
        assert outcome.prediction is not None, outcome.said
