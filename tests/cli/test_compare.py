"""`yuragi compare`, and the section of a report on what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.running import run

from yuragi.comparison import Comparison

QUICK = ("--splits", "1", "--gap", "0", "--budget", "1s")
COMPARE = ("compare", "train.csv", "--target", "price", "--methods", "quantile,collapsed", *QUICK)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods at their shortest: what they find does not matter here."""
    from functools import partial

    from yuragi.methods import METHODS

    monkeypatch.setitem(METHODS, "quantile", partial(METHODS["quantile"], epochs=2))
    monkeypatch.setitem(METHODS, "collapsed", partial(METHODS["collapsed"], steps=1, draws=10))


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *COMPARE, "--out", "c.png")
    assert ended.code == 0
    for words in ("2 methods; 1 split of 64 rows trained on and 16 scored", "quantile", "collapsed", "wrote c.png"):
        assert words in ended.out
    assert "note: 2 fits of 1 s take up to 1 min" in ended.err
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_what_a_report_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *COMPARE, "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["settings"]["target"] == "price"
    assert found["settings"]["budget"] == 1.0
    assert len(found["sha256"]) == 64
    Path("c.json").write_text(ended.out, encoding="utf-8")
    assert list(Comparison.read("c.json").values) == ["quantile", "collapsed"]
    ended = run(capsys, "report", "price.yuragi", "test.csv", "-o", "r.html", "--compare", "c.json")
    assert ended.code == 0
    assert "Which method predicts best?" in Path("r.html").read_text(encoding="utf-8")


def test_a_report_refuses_what_is_no_comparison_or_of_another_target(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.json").write_text(run(capsys, *COMPARE, "--json").out, encoding="utf-8")
    for arguments, message in (
        (
            ("kind.yuragi", "test.csv", "--compare", "c.json"),
            "the comparison is of the target 'price', and the model of",
        ),
        (("price.yuragi", "test.csv", "--compare", "test.csv"), "test.csv is not what yuragi compare --json writes"),
        (("price.yuragi", "test.csv", "--compare", "none.json"), "No such file or directory: none.json"),
    ):
        ended = run(capsys, "report", *arguments, "-o", "r.html")
        assert (ended.code, ended.out) == (1, "")
        assert message in ended.err
        assert ended.err.count("\n") == 1
        assert not Path("r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "svi,magic"), "no method is called 'magic': there are collapsed, deep_gp"),
        (("--methods", "svi,svi"), "'svi' is given twice"),
        (("--methods", ""), "no method is called ''"),
        (("--splits", "0"), "greater than or equal to 1"),
        (("--held-out", "0"), "no part of the rows"),
        (("--gap", "1"), "no share of the rows"),
        (("--budget", "soon"), "no duration"),
        (("--out", "c.doc"), "a picture can be"),
    ],
)
def test_it_ends_with_2_where_it_is_given_wrongly(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "compare", "train.csv", "--target", "price", *arguments)
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "cost"), "target column 'cost' is missing"),
        (("--target", "colour", "--methods", "collapsed"), "no method could be run: collapsed: only under Gaussian"),
        (("--target", "price", "--held-out", "0.001"), "rows are too few to hold 0.001 of them out"),
        (("--target", "price", "--out", "nowhere/c.png"), "no such folder: "),
    ],
)
def test_it_ends_with_1_where_the_table_cannot_be_used(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "compare", "train.csv", *arguments, *QUICK, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1
