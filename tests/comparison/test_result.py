"""What a comparison says is what its numbers are, as text, as rows, as JSON and as a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from yuragi.comparison import Comparison, picture
from yuragi.described import FileError

SETTINGS: dict[str, Any] = {"likelihood": "Gaussian(noise=0.1)", "budget": 3.0, "gap": 0.3, "seed": 0}


def comparison(**changed: Any) -> Comparison:
    values = {
        "swift": {"log_likelihood": (1.0, 1.1, 1.2), "rmse": (0.2, 0.3, 0.25), "coverage_90": (0.9, 0.8, 1.0)},
        "exact": {"log_likelihood": (1.5, 1.65, 1.7), "rmse": (0.21, 0.27, 0.26), "coverage_90": (0.9, 0.9, 0.9)},
        "lost": {"log_likelihood": (0.0, -math.inf, 0.0), "rmse": (3.0, 4.0, 5.0), "coverage_90": (0.1, 0.2, 0.3)},
    }
    made: dict[str, Any] = {
        "values": values,
        "skipped": {"magic": "magic() takes no network of this kind"},
        "warned": {"swift": ("still falling",)},
        "sizes": ((80, 20),) * 3,
        "settings": SETTINGS,
    }
    return Comparison(**{**made, **changed})


def test_the_text_has_every_method_and_marks_the_best() -> None:
    text = str(comparison())
    lines = [line.split("  ") for line in text.splitlines()]
    assert text.splitlines()[0] == (
        "3 methods; 3 splits of 80 rows trained on and 20 scored; Gaussian(noise=0.1); 3 s a fit"
    )
    best = next(line for line in text.splitlines() if line.startswith("exact"))
    assert "1.617 *" in best  # the mean of the three
    assert "0.2467" in best  # by RMSE the best, but not clearly
    assert best.count("*") == 1
    swift = next(line for line in text.splitlines() if line.startswith("swift"))
    # differences −0.5, −0.55, −0.5, of standard deviation 0.0289, times √(1/3 + 1/4)
    assert "1.100 (-0.517 ± 0.022)" in swift
    order = [line[0].strip() for line in lines if line[0].strip() in ("exact", "swift", "lost")]
    assert order[:3] == ["exact", "swift", "lost"]
    assert "skipped: magic: magic() takes no network of this kind" in text
    assert "not converged: swift, 1 of 3 fits: still falling" in text
    assert "more than 2 standard errors" in text


def test_rows_for_a_frame() -> None:
    rows = comparison().table()
    assert [row["method"] for row in rows] == ["exact", "swift", "lost"]
    assert rows[1]["log_likelihood_difference"] == pytest.approx(-0.51667, abs=1e-5)
    assert rows[0]["log_likelihood_difference"] == 0
    assert rows[2]["log_likelihood"] == -math.inf
    assert "coverage_90_difference" not in rows[0]


def test_the_winner() -> None:
    found = comparison()
    assert found.winner() == "exact"
    assert found.winner("rmse") is None
    assert found.winner("coverage_90") is None
    with pytest.raises(ValueError, match=r"score 'accuracy' is none of log_likelihood, rmse, coverage_90"):
        found.winner("accuracy")


def test_few_splits_mark_nothing_and_say_so() -> None:
    values = {name: {"log_likelihood": (value,)} for name, value in (("a", 1.0), ("b", 0.0))}
    text = str(comparison(values=values, warned={}, sizes=((80, 20),)))
    assert "*" not in text
    assert "With fewer than 3 splits none is marked as the best." in text
    assert "0.000 (-1.000)" in text


def test_json_brings_it_back(tmp_path: Path) -> None:
    found = comparison()
    path = tmp_path / "c.json"
    path.write_text(json.dumps(found.described() | {"notes": []}, allow_nan=False), encoding="utf-8")
    again = Comparison.read(path)
    assert str(again) == str(found)
    assert again.settings == found.settings
    assert math.isnan(again.values["lost"]["log_likelihood"][1])  # JSON has no infinity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "yuragi model"}, "'kind'"),
        ({"values": {}}, "not the same scores of every method"),
        ({"values": {"a": {"rmse": [1, 1, 1]}}}, "not the same scores of every method"),
        ({"values": {"a": {"log_likelihood": [1, 1]}}}, "not one value for each of 3 splits"),
        ({"values": {"a": {"log_likelihood": [1, 1, "x"]}}}, "no number"),
        ({"values": {"a": {"log_likelihood": [1] * 3}, "b": {"rmse": [1] * 3}}}, "not the same scores"),
        ({"values": [1]}, "no JSON object"),
        ({"sizes": []}, "not one value for each of 0 splits"),
        ({"sizes": [[80], [80], [80]]}, "no pairs of numbers of rows"),
        ({"sizes": [[80, 0]] * 3}, "not between 1"),
        ({"skipped": {"a": 3}}, "no text"),
        ({"warned": {"a": "x"}}, "no list"),
        ({"settings": {"likelihood": "x", "budget": "long"}}, "'settings.budget' is 'long', no number"),
        ({"settings": {"budget": None}}, "'settings.likelihood' is missing"),
    ],
)
def test_json_that_is_no_comparison_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError, match=message):
        Comparison.restore({**comparison().described(), **change}, "c.json")


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("method,score\n")
    with pytest.raises(FileError, match=r"c.json is not what yuragi compare --json writes"):
        Comparison.read(path)
    with pytest.raises(FileNotFoundError):
        Comparison.read(tmp_path / "none.json")


def test_the_picture_has_a_mean_for_each_method_where_it_is() -> None:
    pytest.importorskip("matplotlib")
    found = comparison()
    made = found.figure()
    shown = [ax for ax in made.axes if ax.get_title()]
    assert [ax.get_title() for ax in shown] == ["log-likelihood", "RMSE", "90% hold"]
    ax = shown[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["lost", "swift", "exact"]
    means = sorted(float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "o")  # type: ignore[index, arg-type]
    assert means == pytest.approx([0.74 / 3, 0.25, 4.0])
    assert picture.score(found, "rmse", ax) is ax
    with pytest.raises(ValueError, match="score 'crps' is none of"):
        picture.score(found, "crps", ax)
