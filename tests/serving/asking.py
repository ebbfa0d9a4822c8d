"""Asking an application: in this process, one request after another or several at once."""

from __future__ import annotations

import asyncio
import functools
import io
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import pandas as pd
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.made_up_tables import model, table

from yuragi import ConvergenceWarning
from yuragi.serving import Limits, application
from yuragi.tables import TableModel, fit_table

Result = TypeVar("Result")
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}


@functools.cache
def client(target: str = "price") -> TestClient:
    """A client of the made-up model."""
    return TestClient(application(model(target), Limits(rows=100)), raise_server_exceptions=False)


@functools.cache
def with_spreads() -> TableModel:
    """A model whose draws depend on the seed: those of the made-up ones are their members."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        frame = table().drop(columns="kind")
        return fit_table(frame, "price", posterior="meanfield", members=1, epochs=5, held_out=0)


def new_rows(rows: int = 12, seed: int = 1) -> pd.DataFrame:
    """Rows that the made-up models are for."""
    return table(12, seed).drop(columns=["kind", "price"]).head(rows)


def as_csv(frame: pd.DataFrame) -> bytes:
    """What `yuragi predict` would read."""
    return frame.to_csv(index=False).encode()


def as_json(frame: pd.DataFrame) -> dict[str, Any]:
    """The same as a JSON request."""
    return {"rows": frame.astype(object).where(frame.notna(), None).to_dict("records")}


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as a file of it is read."""
    return pd.read_csv(io.BytesIO(as_csv(frame)))


def at_once(app: FastAPI, ask: Callable[[httpx2.AsyncClient], Awaitable[Result]]) -> Result:
    """Run a coroutine with a client whose requests may be under way together."""

    async def run() -> Result:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as asking:
            return await ask(asking)

    return asyncio.run(run())
