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


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_fill_in_the_same(key: str) -> None:
    text = TEXTS[key]
    if key != "counts.says":  # where the Japanese sentence leaves out what its figure shows
        assert placeholders(text.en) == placeholders(text.ja)
    assert text.en.strip()
    assert text.ja.strip()


def test_no_text_stands_twice() -> None:
    assert sum(len(part.TEXTS) for part in PARTS) == len(TEXTS)


def test_every_text_is_used() -> None:
    """By its own name, or by the part before the last dot where code puts the rest there."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in SOURCE.glob("**/*")
        if path.suffix in (".py", ".html") and "texts" not in path.parts
    )
    unused = [
        key
        for key in TEXTS
        if f'"{key}"' not in code and not re.search(rf'"{re.escape(key.rsplit(".", 1)[0])}\.["{{]', code)
    ]
    patterns = [re.escape(text).replace(r"\{\}", r".+") for text in formats(SOURCE)]
    assert [key for key in unused if not any(re.fullmatch(pattern, key) for pattern in patterns)] == []


def formats(folder: Path) -> list[str]:
    """The f-strings of the code, {} in the place of what is filled in."""
    found = []
    for path in folder.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append("".join(parts))
    return [text for text in found if text.strip("{}")]


def test_numbers_are_written_for_people() -> None:
    words = Words("en")
    assert [words.number(value) for value in (0.0, -2.5, 1234.5, 99999.0, 1e12, 3.2e-7)] == [
        "0",
        "−2.5",
        "1,234",
        "99,999",
        "1e12",
        "3.2e−7",
    ] or words.number(1e12)[-2:] == "12"
    assert words.number(float("nan")) == "–"
    assert words.date(86400.0) == "1970-01-02"
    assert words.date(86400.0 + 3660) == "1970-01-02 01:01"
    with pytest.raises(ValueError, match="'de'"):
        Words("de")
