"""Many requests at once: each gets its own answer, none is lost, and none is mixed up with another."""

from __future__ import annotations

import asyncio

import httpx2
from tests.serving.asking import CSV, as_csv, as_json, at_once, new_rows, with_spreads

from yuragi.serving import Limits, application


def test_each_request_gets_its_own_answer() -> None:
    frame, fitted = new_rows(), with_spreads()
    single = [frame.iloc[[place]].assign(size=10 + place / 7) for place in range(6)]

    async def ask(client: httpx2.AsyncClient) -> list[list[httpx2.Response]]:
        # each row in both forms and under two seeds, all under way together
        def of(rows: object, seed: int) -> list[object]:
            address, accept = f"/predict?seed={seed}", {"Accept": "application/json"}
            return [
                client.post(address, json=as_json(rows)),  # type: ignore[arg-type]
                client.post(address, content=as_csv(rows), headers={**CSV, **accept}),  # type: ignore[arg-type]
            ]

        groups = [asyncio.gather(*of(rows, 0), *of(rows, 5)) for rows in single]  # type: ignore[call-overload]
        return list(await asyncio.gather(*groups))

    replies = at_once(application(fitted, Limits(at_once=4, waiting=24), samples=9), ask)
    expected = [
        fitted.predict_table(rows, samples=9, seed=seed).iloc[:, 5:].to_dict("records")
        for rows in single
        for seed in (0, 5)
    ]
    assert len({str(one) for one in expected}) == 12  # all of them differ
    answers = [reply.json()["predictions"] for group in replies for reply in group]
    assert answers == [one for one in expected for _ in range(2)]
