"""All that the report says, by key, in English and Japanese side by side."""

from __future__ import annotations

from yuragi.report.texts import axes, classes, columns, done, headline, methods, numbers, page, rows, scores
from yuragi.report.texts.text import Text

PARTS = (page, headline, scores, axes, numbers, classes, rows, columns, methods, done)
TEXTS: dict[str, Text] = {key: text for part in PARTS for key, text in part.TEXTS.items()}
