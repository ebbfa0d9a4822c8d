import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs
from tests.report.made_up import HOSTILE, LinearModel, fitted_classes, fitted_numbers, flowers, houses, towns

from yuragi import report
from yuragi.tables.errors import TableError


class Outline(HTMLParser):
    """The elements of a page, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.inside.append("")

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("known", [True, False], ids=["true values", "no true values"])
@pytest.mark.parametrize("task", ["numbers", "classes"])
def test_the_file_is_complete_small_and_escaped(task: str, known: bool, lang: str, tmp_path: Path) -> None:
    model, frame = (fitted_numbers(), houses(60, 1)) if task == "numbers" else (fitted_classes(), flowers(60, 1))
    if not known:
        frame = frame.drop(columns=model.schema.target.name)
    report.write(model, frame, tmp_path / "report.html", lang=lang)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(html.encode()) < 6_000_000
    outline = Outline(html.replace(get_plotlyjs(), ""))
    assert len(outline.named("script")) == 3  # the data, the library, and the page's own
    assert HOSTILE in outline.text
    assert "<script>alert" not in html
    links = [attrs.get("href") or attrs.get("src") or "#" for _, attrs in outline.tags]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert outline.named("html")[0]["lang"] == lang
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in outline.tags}
    assert len(outline.named("caption")) == len(outline.named("table"))
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    plots = [attrs for attrs in outline.named("div") if attrs.get("class") == "plot"]
    assert all(attrs["aria-describedby"] in ids for attrs in plots)
    unknown = {"en": "no true values", "ja": "実際の値がないため"}[lang]
    assert (unknown in outline.text) == (not known)
    assert ("figure-predicted" in ids) == (known and task == "numbers")
    assert ("figure-confusion" in ids) == (known and task == "classes")


def test_the_same_arguments_give_the_same_file(tmp_path: Path) -> None:
    model, frame = LinearModel(towns(200, 0), "y"), towns(30, 1)
    for name in ("one.html", "other.html"):
        report.write(model, frame, tmp_path / name, seed=3)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


def test_what_is_odd_about_the_table_is_said(tmp_path: Path) -> None:
    model, frame = fitted_classes(), flowers(60, 1)
    frame.loc[0, "length"] = 19.0
    frame.loc[1, "kind"] = "tulip"
    frame.loc[2, "kind"] = None
    frame["shop"] = "A"
    report.write(model, frame, tmp_path / "report.html")
    text = " ".join(
        Outline((tmp_path / "report.html").read_text(encoding="utf-8").replace(get_plotlyjs(), "")).text.split()
    )
    assert "“length”: 1 row above all training values" in text
    assert "1 row of a class of “kind” that the model has never seen" in text
    assert "1 row without a true value of “kind”" in text
    assert "does not use: shop" in text
    assert re.search(r"Rows with a true value\s*58", text)


def test_one_row_and_constant_predictions_give_a_report(tmp_path: Path) -> None:
    model = LinearModel(towns(200, 0), "y")
    for rows in (1, 2):
        report.write(model, towns(rows, 1), tmp_path / "report.html")
    report.write(fitted_classes(), flowers(1, 1), tmp_path / "report.html")


def test_a_refused_report_leaves_what_was_there(tmp_path: Path) -> None:
    model, path = LinearModel(towns(200, 0), "y"), tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(ValueError, match="lang must be one of"):
        report.write(model, towns(5, 1), path, lang="fr")
    with pytest.raises(TableError, match="no rows"):
        report.write(model, towns(0, 1), path)
    with pytest.raises(TableError, match="'a'"):
        report.write(fitted_numbers(), towns(5, 1).assign(area="a"), path)
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OSError, match="nowhere"):
        report.write(model, towns(5, 1), tmp_path / "nowhere" / "report.html")


def test_halves_of_characters_do_not_stop_the_report(tmp_path: Path) -> None:
    model, frame = LinearModel(towns(200, 0), "y"), towns(20, 1)
    frame["town"] = pd.Series(["\ud800"] * 20, dtype=object)
    report.write(model, frame, tmp_path / "report.html")
    assert "never seen in training" in (tmp_path / "report.html").read_text(encoding="utf-8")
