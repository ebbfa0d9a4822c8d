"""The page: the report's contents as one HTML file that holds all that it needs.

Whatever is from the user's table is escaped by jinja2, in the text and in the JSON of the figures alike. The browser itself
is told to run no script but the two of the page, and to load nothing (Content Security Policy).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version

import yuragi
from yuragi.report.figures.parts import Figure
from yuragi.report.sections import Contents
from yuragi.report.words import Words

_BUTTONS = ("Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes", "Download plot as a PNG")
_ORDERS = ("ascending", "descending")
_MARKS = {"good": "✓", "warn": "!", "bad": "✕", "info": "i"}


@dataclass(frozen=True)
class Script:
    """The plotting library that the page holds, and its version."""

    text: str
    version: str


def plotly_script() -> Script:
    """The plotly.js of the installed plotly; MIT licence, which its first lines state."""
    return Script(get_plotlyjs(), get_plotlyjs_version())


def render(words: Words, target: str, rows: int, trained: int, contents: Contents, plotly: Script) -> str:
    """The page as text: `rows` of the table, and `trained` of that which the model was fitted to."""
    assets = files("yuragi.report") / "assets"
    own = (assets / "page.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {_only(plotly.text, own)}"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (assets / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    page = environment.get_template("page.html").render(
        words=words,
        version=yuragi.__version__,
        policy=policy,
        style=Markup((assets / "page.css").read_text(encoding="utf-8")),
        plotly=plotly,
        plotly_text=Markup(plotly.text),
        script=Markup(own),
        target=target,
        rows=words.rows(rows),
        trained=words.rows(trained),
        marks=_MARKS,
        verdicts=contents.verdicts,
        notes=contents.notes,
        sections=contents.sections,
        data=_data(words, [figure for section in contents.sections for figure in section.figures]),
    )
    return page


def _data(words: Words, figures: list[Figure]) -> dict[str, Any]:
    """What the script of the page needs: the figures in order, and its own texts."""
    return {
        "figures": [{"name": one.name, "data": one.data, "layout": one.layout} for one in figures],
        "lang": words.lang,
        "buttons": {name: words(f"bar.{name}") for name in _BUTTONS},
        "months": words("date.months").split(),
        "sorted": {order: words("rows.sorted", column="{column}", order=words(f"rows.{order}")) for order in _ORDERS},
    }


def _only(*scripts: str) -> str:
    sums = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return " ".join(f"'sha256-{one}'" for one in sums)
