"""What a file says of itself in JSON, checked as it is taken: nothing in it is trusted."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from typing import Any


class FileError(ValueError):
    """A file that is damaged, of another kind, of a newer version, or that does not fit the network."""


class Described:
    """A JSON object of a file, whose entries are checked as they are taken.

    Args:
        path: the file, for messages.
        entries: what was in it.
        place: where in the file it was.

    Raises:
        FileError: by every method, where an entry is missing or of another kind.

    Example:
        >>> Described("m.yuragi", {"members": 4}).whole("members", 1, 10)
        4
        >>> Described("m.yuragi", {"members": "4"}).whole("members", 1, 10)
        Traceback (most recent call last):
        yuragi.described.FileError: m.yuragi is no file that this yuragi can use: 'members' is '4', no whole number
    """

    def __init__(self, path: str | os.PathLike[str], entries: Any, place: str = "") -> None:
        self.path, self.place = path, place
        if not isinstance(entries, dict):
            raise self.error(place or "its description", entries, "no JSON object")
        self._entries: dict[str, Any] = entries

    def __contains__(self, name: str) -> bool:
        """Whether there is such an entry."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """The names of the entries."""
        return iter(self._entries)

    def error(self, name: str, value: Any, why: str) -> FileError:
        """The error that an entry is of another kind."""
        text = repr(value) if not isinstance(value, (dict, list)) else f"{type(value).__name__} of {len(value)} entries"
        text = text if len(text) <= 60 else f"{text[:59]}…"
        return FileError(f"{self.path} is no file that this yuragi can use: '{name}' is {text}, {why}")

    def entry(self, name: str) -> Any:
        """Whatever it is."""
        if name not in self._entries:
            raise FileError(f"{self.path} is no file that this yuragi can use: '{self._place(name)}' is missing")
        return self._entries[name]

    def part(self, name: str) -> Described:
        """A JSON object."""
        return Described(self.path, self.entry(name), self._place(name))

    def parts(self, name: str) -> list[Described]:
        """A list of JSON objects."""
        place = self._place(name)
        return [Described(self.path, one, f"{place}[{i}]") for i, one in enumerate(self.listed(name))]

    def listed(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self.entry(name)
        if not isinstance(value, list):
            raise self.error(self._place(name), value, "no list")
        return value

    def text(self, name: str, choices: Collection[str] = ()) -> str:
        """A text, one of the choices where there are any."""
        value = self.entry(name)
        if not isinstance(value, str):
            raise self.error(self._place(name), value, "no text")
        if choices and value not in choices:
            raise self.error(self._place(name), value, f"none of {', '.join(choices)}")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self.listed(name)
        for value in values:
            if not isinstance(value, str):
                raise self.error(self._place(name), value, "no text")
        return values

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.entry(name)
        if not isinstance(value, bool):
            raise self.error(self._place(name), value, "neither true nor false")
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        """A whole number in a range, both ends included."""
        return self._whole(name, self.entry(name), least, most)

    def wholes(self, name: str, least: int, most: int) -> list[int]:
        """A list of whole numbers in a range."""
        return [self._whole(name, value, least, most) for value in self.listed(name)]

    def number(self, name: str, positive: bool = False) -> float:
        """A finite number."""
        return self._number(name, self.entry(name), positive)

    def numbers(self, name: str, positive: bool = False) -> list[float]:
        """A list of finite numbers."""
        return [self._number(name, value, positive) for value in self.listed(name)]

    def _whole(self, name: str, value: Any, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(self._place(name), value, "no whole number")
        if not least <= value <= most:
            raise self.error(self._place(name), value, f"not between {least:,} and {most:,}")
        return value

    def _number(self, name: str, value: Any, positive: bool) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(self._place(name), value, "no number")
        if not -1e300 < value < 1e300 or math.isnan(value):  # a whole number of JSON may be too large for a float
            raise self.error(self._place(name), value, "no finite number")
        if positive and not value > 0:
            raise self.error(self._place(name), value, "not positive")
        return float(value)

    def _place(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name
