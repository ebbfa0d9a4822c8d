"""Every Python block of the README and of the documentation runs, from top to bottom of its page."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from yuragi.methods import METHODS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def parts_of(page: str, language: str) -> list[str]:
    """The blocks of code of a page in a language, without their comments."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r" +#.*", "", block) for block in blocks]


@pytest.mark.parametrize("language", ["python", "sh"])
def test_both_pages_on_methods_have_the_same_code(language: str) -> None:
    assert parts_of("methods.md", language) == parts_of("methods.ja.md", language) != []


@pytest.mark.parametrize("page", ["methods.md", "methods.ja.md"])
def test_each_table_of_the_pages_on_methods_names_all_of_them(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    sections = [part for part in text.split("\n## ") if "\n|---" in part]
    assert len(sections) == 5
    for section in sections:
        rows = [line for line in section.splitlines() if line.startswith("|")]
        assert {name for name in METHODS if any(f"`{name}`" in row for row in rows)} == set(METHODS), section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks:
            exec(compile(block, str(page), "exec"), namespace)
