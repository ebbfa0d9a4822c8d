"""The report as a reader has it: in a real browser, from the disk, without a network."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.made_up import HOSTILE, fitted_classes, fitted_numbers, flowers, houses

from yuragi import report

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs chromium and chromedriver: apt-get install chromium chromium-driver",
)
PICTURES = Path(__file__).parents[2] / "build" / "report"  # which git ignores
_SECONDS = 120  # on a busy machine

Browser = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    report.write(fitted_numbers(), houses(60, 1), folder / "numbers.html")
    report.write(fitted_classes(), flowers(60, 1), folder / "classes.html", lang="ja")
    return {"numbers": folder / "numbers.html", "classes": folder / "classes.html"}


def wait(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + _SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "the page did not come so far"
        time.sleep(0.05)
    return found


def opened(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(path.as_uri())
    drawn(browser, scheme)


def drawn(browser: Browser, scheme: str) -> None:
    wait(lambda: browser.execute_script("return document.documentElement.dataset.drawn") == scheme)


def picture(browser: Browser, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    (PICTURES / name).write_bytes(base64.b64decode(shot["data"]))


@pytest.mark.parametrize(("name", "lang"), [("numbers", "en"), ("classes", "ja")])
def test_it_loads_from_the_disk_without_an_error_or_a_request(
    browser: Browser, files: dict[str, Path], name: str, lang: str
) -> None:
    browser.get_log("performance")
    opened(browser, files[name])
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    assert files[name].as_uri() in requests
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}
    places, plots = browser.execute_script(
        "return [document.querySelectorAll('.plot').length, document.querySelectorAll('.plot .cartesianlayer path').length]"
    )
    assert places >= 8
    assert plots > 5 * places
    drawn_as = ".trace, .point, .hm, image"
    empty = f"return [...document.querySelectorAll('.plot')].filter((one) => !one.querySelector('{drawn_as}')).length"
    assert browser.execute_script(empty) == 0
    assert browser.execute_script("return document.documentElement.lang") == lang
    titles = browser.execute_script(
        "return [...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)"
    )
    assert not any("Share" in title or "Cloud" in title for title in titles)
    assert ("画像として保存" in titles) == (lang == "ja")
    picture(browser, f"{name}-{lang}.png")


def test_hovering_shows_the_values(browser: Browser, files: dict[str, Path]) -> None:
    opened(browser, files["numbers"])
    centre = browser.execute_script(
        """const bar = document.querySelector('#figure-coverage .point path');
        bar.scrollIntoView({block: 'center', behavior: 'instant'});
        const box = bar.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];"""
    )
    for shift in (0, 1):  # a pointer that moves
        moved = {"type": "mouseMoved", "x": centre[0] + shift, "y": centre[1]}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", moved)
    shown = "const text = document.querySelector('#figure-coverage .hoverlayer .hovertext'); return text && text.textContent"
    assert "%" in wait(lambda: browser.execute_script(shown))


def test_the_table_is_sorted_by_mouse_and_by_keyboard(browser: Browser, files: dict[str, Path]) -> None:
    opened(browser, files["numbers"])
    rows = "[...document.querySelectorAll('.sortable tbody tr')]"
    column = f"return {rows}.map((row) => Number(row.cells[%d].dataset.value))"
    state = "return [...document.querySelectorAll('.sortable thead th')].map((one) => one.getAttribute('aria-sort'))"
    by_std = browser.execute_script(column % 3)
    assert by_std == sorted(by_std, reverse=True)
    assert browser.execute_script(state)[3] == "descending"
    buttons = browser.find_elements("css selector", ".sortable thead button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", buttons[1])
    buttons[1].click()
    by_mean = browser.execute_script(column % 1)
    assert by_mean == sorted(by_mean, reverse=True)
    assert browser.execute_script(state) == [None, "descending", *[None] * (len(buttons) - 1)]
    browser.execute_script("arguments[0].focus()", buttons[1])
    browser.switch_to.active_element.send_keys("\n")
    assert browser.execute_script(column % 1) == sorted(by_mean)
    assert browser.execute_script(state)[1] == "ascending"
    assert "the smallest first" in browser.execute_script("return document.getElementById('sorted').textContent")


def test_dark_is_as_the_system_has_it_and_as_the_reader_says(browser: Browser, files: dict[str, Path]) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    label = "return getComputedStyle(document.querySelector('#figure-coverage .xtick text')).fill"
    opened(browser, files["numbers"], scheme="dark")
    dark = browser.execute_script(background), browser.execute_script(label)
    assert browser.execute_script("return document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    picture(browser, "numbers-dark.png")
    browser.find_element("id", "theme").click()
    drawn(browser, "light")
    light = browser.execute_script(background), browser.execute_script(label)
    assert sum(channels(dark[0])) < 200 < 600 < sum(channels(light[0]))
    assert sum(channels(light[1])) < 200 < 600 < sum(channels(dark[1]))


def channels(colour: str) -> list[int]:
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def test_it_fits_a_narrow_screen_and_shows_text_from_the_table_as_text(
    browser: Browser, files: dict[str, Path]
) -> None:
    opened(browser, files["numbers"], width=400)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400
    picture(browser, "numbers-narrow.png")
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('.plot .xtick text, .plot .ytick text')].map((one) => one.textContent)"
    )
    assert any(text.startswith(HOSTILE[:20]) for text in ticks)


def test_the_first_key_offers_to_skip_to_the_results(browser: Browser, files: dict[str, Path]) -> None:
    opened(browser, files["numbers"])
    browser.find_element("tag name", "body").send_keys("\t")
    skip = browser.switch_to.active_element
    assert skip.get_attribute("class") == "skip"
    assert skip.rect["x"] >= 0
    skip.send_keys("\n")
    assert browser.execute_script("return document.activeElement.id") == "results"
