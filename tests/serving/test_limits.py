"""Limits: on the size of a request however it comes, on its time, and on how many are under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from tests.made_up_tables import model
from tests.serving.asking import CSV, as_csv, as_json, at_once, new_rows

from yuragi.serving import Limits, application
from yuragi.serving.limits import Places
from yuragi.serving.problems import Problem
from yuragi.tables import TableModel


class Held:
    """Predictions that wait until they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.release = threading.Semaphore(0), threading.Event()
        real = TableModel.predict_table

        def held(*arguments: object) -> object:
            self.begun.release()
            assert self.release.wait(30)
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(TableModel, "predict_table", held)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in 30 s")


async def answered(client: httpx2.AsyncClient) -> None:
    """Ask until there is an answer: a machine that is busy otherwise may take longer than a short limit."""
    for _ in range(60):
        if (await client.post("/predict", json=as_json(new_rows(1)))).status_code == 200:
            return
    raise AssertionError("there is no place left for a request")


def in_parts(content: bytes, size: int = 64) -> AsyncIterator[bytes]:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    return parts()


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_may_be_as_large_as_the_limit(declared: bool) -> None:
    content = as_csv(new_rows())

    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        # parts have no Content-Length
        return await client.post("/predict", content=content if declared else in_parts(content), headers=CSV)

    assert at_once(application(model(), Limits(body=len(content))), ask).status_code == 200
    reply = at_once(application(model(), Limits(body=len(content) - 1)), ask)
    assert reply.status_code == 413
    assert reply.json()["detail"].startswith(f"the request is larger than {len(content) - 1:,} bytes")
    assert reply.headers["connection"] == "close"


def test_no_more_of_a_body_is_read_than_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.serving.limits._THROWN_AWAY", 1000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post("/predict", content=endless(), headers=CSV)

    assert at_once(application(model(), Limits(body=500)), ask).status_code == 413
    assert sent <= 1700


def test_a_length_that_is_far_too_large_is_refused_unread() -> None:
    read = False

    async def never() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b""

    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post("/predict", content=never(), headers={**CSV, "Content-Length": "9" * 30})

    assert at_once(application(model()), ask).status_code == 413
    assert not read


def test_a_body_that_does_not_come_gives_its_place_back() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"size,"
        await asyncio.sleep(30)

    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        late = await client.post("/predict", content=slow(), headers=CSV)
        await answered(client)
        return late

    late = at_once(application(model(), Limits(seconds=1.0, at_once=1, waiting=0)), ask)
    assert late.status_code == 408
    assert "did not arrive within 1 s" in late.json()["detail"]


def test_those_beyond_the_places_are_turned_away_at_once(held: Held) -> None:
    async def ask(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        async def one() -> httpx2.Response:
            return await client.post("/predict", json=as_json(new_rows(1)))

        waiting = [asyncio.create_task(one()) for _ in range(5)]  # two in work, three waiting
        await until(lambda: held.begun.acquire(blocking=False))
        await until(lambda: held.begun.acquire(blocking=False))
        turned_away = [await one() for _ in range(3)]
        assert (await client.get("/health")).status_code == 200
        held.release.set()
        return [*turned_away, *await asyncio.gather(*waiting), await one()]

    replies = at_once(application(model(), Limits(at_once=2, waiting=3)), ask)
    assert [reply.status_code for reply in replies] == [503] * 3 + [200] * 6
    assert [reply.headers.get("retry-after") for reply in replies] == ["1"] * 3 + [None] * 6
    assert "try again" in replies[0].json()["detail"]


def test_an_answer_that_takes_too_long_is_given_up_and_its_place_when_the_work_ends(held: Held) -> None:
    async def ask(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        async def one() -> httpx2.Response:
            return await client.post("/predict", json=as_json(new_rows(1)))

        late = await asyncio.gather(one(), one())  # the first in work, the second waiting
        more = await asyncio.gather(one(), one())  # the first still has its place
        held.release.set()
        await answered(client)
        return [*late, *more]

    replies = at_once(application(model(), Limits(seconds=1.0, at_once=1, waiting=1)), ask)
    assert [reply.status_code for reply in replies] == [503] * 4
    why = ["turned away" if "under way" in reply.json()["detail"] else "late" for reply in replies]
    assert sorted(why) == ["late", "late", "late", "turned away"]
    assert "not ready within 1 s" in replies[0].json()["detail"]
    assert replies[0].headers["retry-after"] == "1"


def test_work_that_nobody_waits_for_any_more_is_not_begun(held: Held) -> None:
    async def ask(client: httpx2.AsyncClient) -> None:
        async def one() -> httpx2.Response:
            return await client.post("/predict", json=as_json(new_rows(1)))

        replies = await asyncio.gather(*(one() for _ in range(4)))
        assert [reply.status_code for reply in replies] == [503] * 4
        held.release.set()

    app = application(model(), Limits(seconds=1.0, at_once=1, waiting=3))
    at_once(app, ask)
    assert held.begun.acquire(blocking=False)
    assert not held.begun.acquire(timeout=0.5)


@pytest.mark.parametrize("name", ["body", "rows", "at_once", "seconds"])
def test_limits_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*got 0"):
        Limits(**{name: 0})
    with pytest.raises(ValueError, match="waiting must be at least 0, got -1"):
        Limits(waiting=-1)


def test_places_that_are_given_back_can_be_taken() -> None:
    places = Places(2)
    for _ in range(3):
        places.take()
        places.take()
        with pytest.raises(Problem):
            places.take()
        places.give_back()
        places.give_back()
    with pytest.raises(ValueError):  # more than there are
        places.give_back()
