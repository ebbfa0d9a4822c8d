import ast
import re
import string
from pathlib import Path

import pytest

import yuragi.report
from yuragi.report.texts import PARTS, TEXTS
from yuragi.report.words import Words

SOURCE = Path(yuragi.report.__file__).parent


def placeholders(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_fill_in_the_same() -> None:
    for key, text in TEXTS.items():
        if key != "counts.says":  # where the Japanese sentence leaves out what its figure shows
            assert placeholders(text.en) == placeholders(text.ja), key
        assert text.en.strip(), key
        assert text.ja.strip(), key


def test_no_text_stands_twice() -> None:
    assert sum(len(part.TEXTS) for part in PARTS) == len(TEXTS)


def test_every_text_is_used() -> None:
    """By its name, or by an f-string that can make it."""
    files = [path for path in SOURCE.rglob("*") if path.suffix in (".py", ".html") and "texts" not in path.parts]
    code = {path: path.read_text(encoding="utf-8") for path in files}
    patterns = [pattern for path, text in code.items() if path.suffix == ".py" for pattern in made(text)]
    everything = "".join(code.values())
    unused = [key for key in TEXTS if f'"{key}"' not in everything and f"'{key}'" not in everything]
    assert [key for key in unused if not any(re.fullmatch(pattern, key) for pattern in patterns)] == [
        "status.good",
        *STATUS,
    ]


STATUS = ["status.warn", "status.bad", "status.info"]  # made in the template


def made(code: str) -> list[str]:
    """Regular expressions of the keys that the f-strings of some code can make."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values]
            found.append("".join(parts))
    return [pattern for pattern in found if re.match(r"\w+\\\.", pattern)]


def test_numbers_are_written_for_people() -> None:
    words = Words("en")
    written = {0.0: "0", -2.5: "−2.5", 1234.5: "1,234", 99999.0: "99,999", 1e12: "1.000e12", 3.2e-7: "3.200e−7"}
    assert {value: words.number(value) for value in written} == written
    assert words.number(float("nan")) == "–"
    assert words.date(86400.0) == "1970-01-02"
    assert words.date(86400.0 + 3660) == "1970-01-02 01:01"
    with pytest.raises(ValueError, match="'de'"):
        Words("de")
