"""What goes wrong with a table: the error, the warning, and how they show a value."""

from __future__ import annotations

from collections.abc import Iterable


class TableError(ValueError):
    """A table that cannot be used as it is: which file, row or column, why, and what to do.

    Args:
        message: all of that, for a person to read.
        row: which one it is about, counted from 1, for programs.
    """

    def __init__(self, message: str, *, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class TableWarning(UserWarning):
    """A table that was changed in order to use it: what was changed, and how to avoid it."""


def shown(value: object, longest: int = 40) -> str:
    r"""A value as messages quote it: on one line, and not longer than `longest` characters.

    Example:
        >>> shown("a\nb"), shown(1.5), shown("x" * 1000, longest=8)
        ("'a\\nb'", '1.5', "'xxxxxx…")
    """
    # a long text is cut before it is quoted: quoting a hundred megabytes would take as many again
    text = repr(value[: longest + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def counted(number: int, what: str) -> str:
    """A count in words.

    Example:
        >>> counted(1, "row"), counted(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names in a message.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    quoted = [shown(str(name)) for name in names]
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most:,} more" if len(quoted) > most else "")
