"""`yuragi evaluate`, `info` and `demo`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.running import run
from tests.made_up_tables import model, table
from torch import nn

import yuragi as yu


def test_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "evaluate", "price.yuragi", "test.csv")
    assert ended.code == 0
    for words in ("price, on 40 rows of test.csv", "RMSE", "linear regression", "The error bars are", "The model is"):
        assert words in ended.out
    found = json.loads(run(capsys, "evaluate", "price.yuragi", "test.csv", "--json").out)
    expected = model().evaluate(table(40, seed=2))
    assert found["model"]["rmse"] == pytest.approx(expected["model"]["rmse"])
    assert found["target"] == "price"


def test_evaluate_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "evaluate", "kind.yuragi", "test.csv")
    assert ended.code == 0
    for words in ("accuracy", "logistic regression", "class frequencies", "The probabilities are"):
        assert words in ended.out


def test_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "report", "price.yuragi", "test.csv", "-o", "r.html")
    assert (ended.code, ended.out) == (0, "wrote r.html: open it in a browser\n")
    assert 'lang="en"' in Path("r.html").read_text(encoding="utf-8")[:500]
    ended = run(capsys, "report", "kind.yuragi", "test.csv", "-o", "r.html", "--lang", "ja", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["lang"] == "ja"
    assert 'lang="ja"' in Path("r.html").read_text(encoding="utf-8")[:500]


def test_info_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "info", "price.yuragi")
    assert ended.code == 0
    for words in ("the model of a table", "price", "regression", "Anchored", "number, ", "date, 2024-01-01", "sha256"):
        assert words in ended.out
    found = json.loads(run(capsys, "info", "kind.yuragi", "--json").out)
    assert found["classes"] == ["large", "small"]
    assert found["network"]["members"] == 2
    assert list(found["features"]) == ["size", "colour", "shop", "open", "day"]


def test_info_of_a_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yu.save(yu.bayesianize(nn.Linear(2, 1), likelihood=yu.Gaussian(0.1)), "n.yuragi")
    found = json.loads(run(capsys, "info", "n.yuragi", "--json").out)
    assert found["holds"] == "a network"
    assert found["network"]["weights"] == ["weight", "bias"]
    assert run(capsys, "info", "n.yuragi").code == 0


def test_demo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("demo", "--article-only", "--epochs", "3", "--draws", "5", "--out", "d.png", "--estimator", "local")
    ended = run(capsys, *command)
    assert ended.code == 0
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")
    for words in ("Python", "PyTorch", "device", "in the gap", "at the edges", "RMSE", "wrote d.png"):
        assert words in ended.out
    found = json.loads(run(capsys, *command, "--json").out)
    assert [region["name"] for region in found["fits"]["as in the article"]] == [
        "in the data",
        "in the gap",
        "at the edges",
    ]
