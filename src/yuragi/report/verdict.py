"""The headline: are the error bars honest, are the predictions of use, and which rows are to be distrusted?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from yuragi import metrics
from yuragi.judgement import FEW, SLACK, judged
from yuragi.report.figures.parts import Table
from yuragi.report.rows import LEVEL, LEVELS, ClassRows, NumericRows, coverage
from yuragi.report.subject import Flags, Floats
from yuragi.report.words import Words

Status = Literal["good", "warn", "bad", "info"]
DOUBT = 2.0
"""A row whose epistemic standard deviation is so many times the median's is to be distrusted."""
SURE = 0.6
"""A class less probable than this is to be distrusted."""
_STATUS: dict[str, Status] = {"few": "info", "narrow": "bad", "wide": "warn", "honest": "good"}
_USEFUL, _USELESS = 0.6, 0.95  # of the error of guessing


@dataclass(frozen=True)
class Verdict:
    """One answer of the headline.

    Attributes:
        name: of the question.
        status: whether the answer is good news.
        question, answer, says: texts.
    """

    name: str
    status: Status
    question: str
    answer: str
    says: str


def of_numbers(words: Words, rows: NumericRows, outside: Flags, target: str) -> list[Verdict]:
    """The headline for predictions of a number; `outside` are the rows with values that the model has never met."""
    unsure = doubtful(rows)
    doubted = outside | unsure
    known = rows.known
    if not known.any():
        median, high = np.median(rows.std), np.percentile(rows.std, 90)
        size = words("size.numbers", std=words.number(median, 3))
        says = words("size.numbers.says", high=words.number(high, 3))
        first = [_unknown(words, target), Verdict("size", "info", words("size.title"), size, says)]
    else:
        first = [_bars(words, rows.pit[known]), _use_of_numbers(words, rows)]
    proof = ""
    if (known & doubted).any() and (known & ~doubted).any():
        inside, others = (words.number(_rms(rows.error[known & one]), 3) for one in (doubted, ~doubted))
        proof = words("doubt.numbers.proof", inside=inside, others=others)
    if not doubted.any():
        return [*first, _nothing(words, words("doubt.none.numbers.says"))]
    says = words("doubt.numbers.says", outside=words.count(int(outside.sum())), unsure=words.count(int(unsure.sum())))
    return [*first, _doubt(words, doubted, says, proof)]


def of_classes(words: Words, rows: ClassRows, outside: Flags, target: str) -> list[Verdict]:
    """The headline for predictions of a class; `outside` are the rows with values that the model has never met."""
    unsure = rows.confidence < SURE
    doubted = outside | unsure
    known = rows.known
    if not known.any():
        median, low = np.median(rows.confidence), np.percentile(rows.confidence, 10)
        says = words("size.classes.says", low=words.percent(float(low)))
        size = Verdict("size", "info", words("size.title"), words.percent(float(median)), says)
        first = [_unknown(words, target), size]
    else:
        first = [_probabilities(words, rows), _use_of_classes(words, rows)]
    proof = ""
    if (known & doubted).any() and (known & ~doubted).any():
        inside, others = (words.percent(rows.right[known & one].mean()) for one in (doubted, ~doubted))
        proof = words("doubt.classes.proof", inside=inside, others=others)
    sure = words.percent(SURE)
    if not doubted.any():
        return [*first, _nothing(words, words("doubt.none.classes.says", sure=sure))]
    counts = {"outside": words.count(int(outside.sum())), "unsure": words.count(int(unsure.sum()))}
    return [*first, _doubt(words, doubted, words("doubt.classes.says", sure=sure, **counts), proof)]


def doubtful(rows: NumericRows) -> Flags:
    """Rows whose epistemic standard deviation is at least twice the median's, bool [N]."""
    usual = float(np.median(rows.epistemic))
    unsure: Flags = rows.epistemic >= DOUBT * usual if usual > 0 else np.zeros(len(rows.epistemic), dtype=bool)
    return unsure


def scores_of_numbers(words: Words, rows: NumericRows) -> Table:
    """What each score is, and what it means."""
    known = rows.known
    pit, y = torch.as_tensor(rows.pit[known]), torch.as_tensor(rows.y[known])
    chance = math.sqrt(2 * math.pi) / 8 / math.sqrt(len(pit))
    entries = [
        ("rmse", words.number(metrics.rmse(torch.as_tensor(rows.mean[known]), y)), {}),
        ("baseline", words.number(metrics.rmse(y.mean().expand_as(y), y)), {}),
        ("sharpness", words.number(metrics.sharpness(torch.as_tensor(rows.std[known]))), {}),
        ("log", words.number(float(rows.log_prob[known].mean())), {}),
        ("area", words.number(metrics.quantile_calibration_error(pit), 2), {"chance": words.number(chance, 2)}),
    ]
    table = [_entry(words, *entry) for entry in entries]
    for level in LEVELS:
        name = words.percent(level)
        covered = words.percent(coverage(rows.pit[known], level), 1)
        table.append((words("score.coverage", level=name), covered, words("score.coverage.says", level=name)))
    return Table((words("scores.name"), words("scores.value"), words("scores.meaning")), table)


def scores_of_classes(words: Words, rows: ClassRows) -> Table:
    """What each score is, and what it means."""
    known = rows.known
    probs, y = torch.as_tensor(rows.probs[known]), torch.as_tensor(rows.y[known])
    wrong, doubt = torch.as_tensor(~rows.right[known]), torch.as_tensor(1 - rows.confidence[known])
    entries = [
        ("accuracy", words.percent(float(rows.right[known].mean()), 1)),
        ("frequent", words.percent(_frequent(rows), 1)),
        ("log", words.number(float(rows.log_prob[known].mean()))),
        ("brier", words.number(float(metrics.brier_score(probs, y).mean()), 3)),
        ("ece", words.percent(metrics.expected_calibration_error(probs, y, 10), 1)),
        ("aurc", words.number(metrics.aurc(wrong, doubt), 3)),
    ]
    table = [_entry(words, name, value, {}) for name, value in entries]
    return Table((words("scores.name"), words("scores.value"), words("scores.meaning")), table)


def _entry(words: Words, name: str, value: str, more: dict[str, str]) -> tuple[str, str, str]:
    own = {"baseline": "score.baseline.says", "frequent": "score.baseline.says"}
    return words(f"score.{name}"), value, words(own.get(name, f"score.{name}.says"), **more)


def _bars(words: Words, pit: Floats) -> Verdict:
    covered = coverage(pit, LEVEL)
    share = words.percent(covered, 1)
    question = words("bars.title")
    found = judged(covered, LEVEL, len(pit))
    says = words(f"bars.{found}.says", covered=share, rows=words.rows(len(pit)))
    return Verdict("bars", _STATUS[found], question, words(f"bars.{found}"), says)


def _probabilities(words: Words, rows: ClassRows) -> Verdict:
    confidence, accuracy = rows.confidence[rows.known].mean(), rows.right[rows.known].mean()
    count = int(rows.known.sum())
    slack = SLACK + 2 * math.sqrt(accuracy * (1 - accuracy) / count)
    says = words("probs.says", confidence=words.percent(confidence), accuracy=words.percent(accuracy))
    question = words("probs.title")
    if count < FEW:
        return Verdict("probs", "info", question, words("probs.few"), says)
    if confidence > accuracy + slack:
        return Verdict("probs", "bad", question, words("probs.over"), says)
    if confidence < accuracy - slack:
        return Verdict("probs", "warn", question, words("probs.under"), says)
    return Verdict("probs", "good", question, words("probs.good"), says)


def _use_of_numbers(words: Words, rows: NumericRows) -> Verdict:
    y = torch.as_tensor(rows.y[rows.known])
    rmse = metrics.rmse(torch.as_tensor(rows.mean[rows.known]), y)
    baseline = metrics.rmse(y.mean().expand_as(y), y)
    says = words("use.numbers.says", rmse=words.number(rmse, 3), baseline=words.number(baseline, 3))
    return _use(words, rmse, baseline, says)


def _use_of_classes(words: Words, rows: ClassRows) -> Verdict:
    accuracy, frequent = float(rows.right[rows.known].mean()), _frequent(rows)
    says = words("use.classes.says", accuracy=words.percent(accuracy), baseline=words.percent(frequent))
    return _use(words, 1 - accuracy, 1 - frequent, says)


def _use(words: Words, error: float, guessing: float, says: str) -> Verdict:
    question = words("use.title")
    if error < _USEFUL * guessing:
        return Verdict("use", "good", question, words("use.good"), says)
    if error < _USELESS * guessing:
        return Verdict("use", "warn", question, words("use.some"), says)
    return Verdict("use", "bad", question, words("use.none"), says)


def _doubt(words: Words, doubted: Flags, says: str, proof: str) -> Verdict:
    answer = words("doubt.count", doubted=words.count(int(doubted.sum())), rows=words.rows(len(doubted)))
    separator = "" if words.lang == "ja" else " "
    return Verdict("doubt", "warn", words("doubt.title"), answer, says + separator + proof if proof else says)


def _nothing(words: Words, says: str) -> Verdict:
    return Verdict("doubt", "good", words("doubt.title"), words("doubt.none"), says)


def _unknown(words: Words, target: str) -> Verdict:
    return Verdict("bars", "info", words("bars.title"), words("bars.unknown"), words("unknown.says", target=target))


def _frequent(rows: ClassRows) -> float:
    return float(np.bincount(rows.y[rows.known]).max() / rows.known.sum())


def _rms(values: Floats) -> float:
    return math.sqrt(float((values**2).mean()))
