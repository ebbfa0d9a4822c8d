"""The training curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yuragi.report.figures.parts import (
    FIRST,
    SECOND,
    Figure,
    Table,
    hover,
    layout,
    line,
    plain,
    rounded,
)
from yuragi.report.subject import Model
from yuragi.report.words import Words

_POINTS = 500
_SETTLED = 0.05  # of the passes: the first ones would squeeze the rest of the curve


def curve_of(model: Model) -> Mapping[str, Any] | None:
    """The training curve that the model file keeps, or that of a fit in this process.

    Its "loss" is a list, one value for each pass over the data; its "validation", which it may lack, holds pairs of a pass
    and a mean held-out log-likelihood.
    """
    kept = model.about.get("training_curve")
    if kept is not None and kept.get("loss"):
        return dict(kept)
    history = model.tabular.history
    if history is None or not history.loss:
        return None
    return {"loss": history.loss, "validation": history.validation}


def training(words: Words, curve: Mapping[str, Any]) -> Figure:
    """Training loss against passes over the data, and the held-out one beside it."""
    loss = np.asarray(curve["loss"], dtype=np.float64)
    validation = [(int(epoch), -float(score)) for epoch, score in curve.get("validation") or []]
    epochs = np.arange(1, len(loss) + 1)
    thin = np.unique(np.linspace(0, len(loss) - 1, min(len(loss), _POINTS)).round().astype(int))
    template = hover(words, f"{plain(words('axis.epoch'))}: %{{x}}", "%{y:.4~g}", row=False)
    data = [
        line(epochs[thin].tolist(), rounded(loss[thin]), words("legend.loss"), FIRST, hovertemplate=template),
    ]
    if validation:
        x, y = zip(*validation, strict=True)
        data.append(line(list(x), rounded(y), words("legend.validation"), SECOND, "dash", hovertemplate=template))
    settled = loss[int(_SETTLED * len(loss)) :]
    ends = [*settled.tolist(), *(score for _, score in validation[len(validation) // 10 :])]
    finite = [value for value in ends if np.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    margin = 0.06 * (high - low) or 1.0
    best = min((score for _, score in validation), default=float("nan"))
    return Figure(
        "loss",
        words("training.title"),
        words("training.says"),
        words(
            "training.alt",
            epochs=words.count(len(loss)),
            first=words.number(loss[0]),
            last=words.number(loss[-1]),
            validation=words("training.validation", best=words.number(best)) if validation else "",
        ),
        data,
        layout(words("axis.epoch"), words("axis.loss"), yaxis={"range": rounded([low - margin, high + margin])}),
        Table(
            (words("axis.epoch"), words("axis.loss")),
            [
                (words.count(int(epochs[i])), words.number(loss[i]))
                for i in np.unique(np.linspace(0, len(loss) - 1, min(len(loss), 10)).round().astype(int))
            ],
        ),
        wide=True,
    )
