"""Methods side by side: a comparison that was made of the table, as a figure and tables."""

from __future__ import annotations

import itertools
import math

from yuragi.comparison import Comparison
from yuragi.comparison.paired import CERTAIN, Standing
from yuragi.comparison.scores import Score
from yuragi.report.figures.parts import FIRST, Figure, Table, dashed, layout, markers, plain, rounded
from yuragi.report.words import Words

_BEST = "★"


def says(words: Words, comparison: Comparison) -> str:
    """What was compared, and whether one method is the best."""
    trained, scored = comparison.sizes[0]
    budget, winner = comparison.settings.get("budget"), comparison.winner()
    sentences = [
        words(
            "methods.says",
            methods=words.count(len(comparison.values)),
            trained=words.rows(trained),
            scored=words.rows(scored),
            splits=words.count(len(comparison.sizes)),
        ),
        *([] if budget is None else [words("methods.budget", seconds=words.number(budget))]),
        words("methods.open") if winner is None else words("methods.clear", method=winner),
    ]
    return (" " if words.lang == "en" else "").join(sentences)


def log_likelihoods(words: Words, comparison: Comparison) -> Figure:
    """The mean log-likelihood of each method, with the error of its difference to the best."""
    score = next(score for score in comparison.scores if score.name == "log_likelihood")
    found = comparison.standings[score.name]
    methods = [method for method in comparison.order if math.isfinite(found[method].mean)][::-1]
    names = [plain(method) for method in methods]
    means = [found[method].mean for method in methods]
    errors = [CERTAIN * found[method].error if math.isfinite(found[method].error) else 0.0 for method in methods]
    label = words(f"methods.score.{score.name}")
    data = [
        markers(
            rounded(means),
            names,
            label,
            FIRST,
            error_x={"type": "data", "array": rounded(errors), "color": FIRST},
            showlegend=False,
            hovertemplate="%{y}: %{x:.4~g}<extra></extra>",
        )
    ]
    if methods:
        best = rounded([max(means)])[0]
        data.append(dashed([best, best], [names[0], names[-1]], label) | {"showlegend": False})
    pairs = [f"{method} {words.number(mean)}" for method, mean in zip(methods[::-1], means[::-1], strict=True)]
    return Figure(
        "methods-log-likelihood",
        words("methods.title"),
        words("methods.figure.says"),
        words("methods.alt", pairs=", ".join(pairs)),
        data,
        layout(label, "", yaxis={"type": "category"}),
        _table(words, comparison, [score]),
        wide=True,
    )


def tables(words: Words, comparison: Comparison) -> list[tuple[str, str, Table]]:
    """All scores by group, what was not run, and what had not converged: headings, sentences and tables."""
    found = [
        (words(f"methods.group.{group}"), words(f"methods.group.{group}.says"), _table(words, comparison, list(scores)))
        for group, scores in itertools.groupby(comparison.scores, key=lambda score: score.group)
    ]
    if comparison.skipped:
        head = (words("methods.method"), words("methods.reason"))
        found.append((words("methods.skipped"), "", Table(head, list(comparison.skipped.items()))))
    if comparison.warned:
        rows = [(method, words.count(len(texts)), texts[0]) for method, texts in comparison.warned.items()]
        names = (words("methods.method"), words("methods.fits"), words("methods.warning"))
        found.append((words("methods.warned"), "", Table(names, rows)))
    return found


def _table(words: Words, comparison: Comparison, scores: list[Score]) -> Table:
    head = (words("methods.method"), *(words(f"methods.score.{score.name}") for score in scores))
    return Table(
        head,
        [
            (method, *(_cell(words, score, comparison.standings[score.name][method]) for score in scores))
            for method in comparison.order
        ],
    )


def _cell(words: Words, score: Score, standing: Standing) -> str:
    mean = _value(words, score, standing.mean)
    if standing.best or not math.isfinite(standing.difference):
        return f"{mean} {_BEST}" if standing.clear else mean
    sign = "+" if standing.difference >= 0 else ""
    difference = f"{sign}{_value(words, score, standing.difference, 2)}"
    if not math.isfinite(standing.error):
        return words("methods.value.alone", mean=mean, difference=difference)
    return words("methods.value", mean=mean, difference=difference, error=_value(words, score, standing.error, 2))


def _value(words: Words, score: Score, value: float, digits: int = 4) -> str:
    return words.percent(value, 1) if score.form.endswith("%") else words.number(value, digits)
