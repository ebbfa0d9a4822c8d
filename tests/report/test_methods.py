"""The report's section on methods says what the comparison says, in both languages."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.test_result import comparison
from tests.report.made_up import HOSTILE, fitted_numbers, houses
from tests.report.test_write import Outline

from yuragi import report
from yuragi.comparison.scores import SCORES
from yuragi.report import methods
from yuragi.report.texts import TEXTS
from yuragi.report.words import Words
from yuragi.tables.errors import TableError


def written(folder: Path, lang: str = "en", **changed: Any) -> str:
    found = comparison(settings={"likelihood": "Gaussian()", "budget": 3.0, "target": "rent"}, **changed)
    report.write(fitted_numbers(), houses(30, 1), folder / "report.html", lang=lang, comparison=found)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_section_has_every_method_and_what_was_not_run(lang: str, tmp_path: Path) -> None:
    html = written(tmp_path, lang, skipped={"magic": HOSTILE})
    outline = Outline(html[html.index('<section id="methods"') : html.index('<section id="training"')])
    for words in ("exact", "swift", "lost", "magic", HOSTILE, "still falling", "1.617 ★"):
        assert words in outline.text
    assert "<script>alert" not in html
    assert ("Which method" in outline.text) == (lang == "en")


def test_without_a_comparison_there_is_no_section(tmp_path: Path) -> None:
    report.write(fitted_numbers(), houses(30, 1), tmp_path / "report.html")
    assert 'id="methods"' not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_comparison_of_another_target_is_refused(tmp_path: Path) -> None:
    found = comparison(settings={"likelihood": "Gaussian()", "budget": None, "target": "price"})
    with pytest.raises(TableError, match="of the target 'price', and the model of 'rent'"):
        report.write(fitted_numbers(), houses(5, 1), tmp_path / "report.html", comparison=found)


def test_the_sentence_names_the_best_where_there_is_one() -> None:
    words = Words("en")
    assert "By log-likelihood exact is the best" in methods.says(words, comparison())
    values = {
        "a": {"log_likelihood": (1.0, 2.0, 1.0)},
        "b": {"log_likelihood": (1.1, 1.8, 0.9)},
    }
    says = methods.says(words, comparison(values=values))
    assert "these splits do not tell which is the best" in says
    assert "2 methods with the same network and noise were fitted to 80 rows and scored on 20 rows that they" in says


def test_the_figure_has_the_means_and_twice_the_errors() -> None:
    figure = methods.log_likelihoods(Words("en"), comparison())
    dots = figure.data[0]
    assert dots["y"] == ["swift", "exact"]  # the best on top; what has no finite mean is in the table alone
    assert dots["x"] == pytest.approx([1.1, 1.6167], abs=1e-4)
    # differences −0.5, −0.55, −0.5
    assert dots["error_x"]["array"] == pytest.approx([2 * math.sqrt((1 / 3 + 1 / 4) * 0.05**2 / 3), 0], abs=1e-4)
    assert [row[0] for row in figure.table.rows] == ["exact", "swift", "lost"]
    assert re.fullmatch(r"1.1 \(−0.52 ± 0.022\)", figure.table.rows[1][1])


def test_every_score_has_a_name() -> None:
    for score in SCORES:
        assert f"methods.score.{score.name}" in TEXTS
        assert f"methods.group.{score.group}" in TEXTS
