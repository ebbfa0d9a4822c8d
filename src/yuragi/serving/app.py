"""The routes, and how a request goes through them: a place, its body, a thread that predicts, an answer in time."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import yuragi
from yuragi.serving import described, media, openapi, problems, rows
from yuragi.serving.answers import Answer, answer
from yuragi.serving.limits import Limits, Places, busy, read_body, too_slow
from yuragi.serving.media import Form
from yuragi.serving.problems import Fault, Problem
from yuragi.tables import TableModel
from yuragi.tables.errors import shown
from yuragi.tables.model import SAMPLES

_HIGHEST = 0.999999  # level: the ends of the interval of a higher one could round to those of all numbers


class Asked(BaseModel):
    """What the address of a request asks for, behind its question mark."""

    model_config = ConfigDict(extra="forbid")

    level: list[Annotated[float, Field(gt=0, le=_HIGHEST)]] = Field(
        default=[0.9],
        min_length=1,
        max_length=10,
        description="Probability that an interval holds the target; given several times, several intervals.",
        json_schema_extra={"uniqueItems": True},
    )
    seed: int | None = Field(
        default=None, ge=0, le=2**63 - 1, description="Of the draws; the server's own when left out."
    )

    @field_validator("level")
    @classmethod
    def _distinct(cls, level: list[float]) -> list[float]:
        if len(set(level)) < len(level):
            raise ValueError("a level is there more than once")
        return level


class Health(BaseModel):
    """That the server can answer."""

    status: Literal["ok"]
    version: str
    target: str


def application(model: TableModel, limits: Limits | None = None, samples: int = SAMPLES, seed: int = 0) -> FastAPI:
    """The ASGI application that answers for a model.

    `POST /predict` takes rows as JSON or CSV, `GET /schema` says what they may hold, `GET /health` that it can answer, and
    `GET /openapi.json` describes all of it. Requests that cannot be answered get problem details (RFC 9457). The same rows
    and seed get the numbers that `model.predict_table` gives, whatever else is asked at the same time.

    Args:
        model: of a table.
        limits: of requests; those of `Limits()` when left out.
        samples: draws of every prediction.
        seed: of the draws, where a request has none.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from fastapi.testclient import TestClient
        >>> from yuragi.tables import fit_table
        >>> y = np.random.default_rng(0).normal(size=40)
        >>> model = fit_table(pd.DataFrame({"x": [0.5, 1.5] * 20, "y": y}), "y", members=1, epochs=60, held_out=0)
        >>> reply = TestClient(application(model)).post("/predict", json={"rows": [{"x": 1}, {"x": 300}]})
        >>> reply.status_code, list(reply.json()["predictions"][0])[:2], reply.json()["notes"]
        (200, ['y_mean', 'y_std'], ["column 'x': 1 value outside the training range 0.5 to 1.5, the first in row 2: 300"])
    """
    limits = limits or Limits()
    pool, places = ThreadPoolExecutor(limits.at_once, "predict"), Places(limits.at_once + limits.waiting)
    schema = model.schema

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.shutdown()

    app = FastAPI(
        title=f"yuragi: {schema.target.name}",
        version=yuragi.__version__,
        description=f"Predictions of {schema.target.name} with their error bars, by `yuragi serve`.",
        lifespan=lifespan,
        docs_url=None,  # the pages that FastAPI has load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: _refused,
            RequestValidationError: _wrongly_asked,
            HTTPException: _by_the_framework,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )
    what_it_takes = described.table(schema, limits)

    def work(body: bytes, given: Form, encoding: str | None, wanted: Form, asked: Asked) -> Answer:
        if given == "text/csv":
            frame = rows.from_csv(body, encoding, schema, limits.rows)
        else:
            frame = rows.from_json(body, schema, limits.rows)
        return answer(model, frame, wanted, asked.level, samples, seed if asked.seed is None else asked.seed)

    @app.post("/predict", response_class=Response, responses=openapi.ANSWERS, openapi_extra=openapi.request(schema))
    async def predict(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """Predict every row: the columns that `yuragi predict` adds, in the order of the rows."""
        given, encoding = media.of_request(request)
        wanted = media.of_answer(request, given)
        places.take()
        working: Future[Answer] | None = None
        try:
            async with asyncio.timeout(limits.seconds):
                body = await read_body(request, limits.body)
                working = pool.submit(work, body, given, encoding, wanted, asked)
                working.add_done_callback(lambda _: places.give_back())  # also when nobody waits for it any more
                found = await asyncio.wrap_future(working)
        except TimeoutError as error:
            if working is None:
                raise too_slow(limits.seconds) from error
            detail = f"the answer was not ready within {limits.seconds:g} s: send fewer rows, or try again in a moment"
            raise busy(detail) from error
        finally:
            if working is None:
                places.give_back()
        return Response(found.content, media_type=found.form, headers=found.headers)

    @app.get("/schema")
    async def schema_() -> dict[str, Any]:
        """What the model reads: columns, kinds, units, ranges, levels; what it predicts; and the limits of a request."""
        return what_it_takes

    @app.get("/health")
    async def health() -> Health:
        """Whether the server can answer."""
        return Health(status="ok", version=yuragi.__version__, target=schema.target.name)

    document = openapi.document(app, schema, limits)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


async def _refused(_: Request, problem: Problem) -> Response:
    return problem.response()


async def _wrongly_asked(_: Request, error: RequestValidationError) -> Response:
    faults = []
    for one in error.errors():
        name, message = str(one["loc"][1]), str(one["msg"]).removeprefix("Value error, ")
        faults.append(Fault(f"the parameter {shown(name)} cannot be used: {message}", parameter=name))
    return problems.faulty(faults).response()


async def _by_the_framework(_: Request, error: HTTPException) -> Response:
    return Problem(error.status_code, str(error.detail), headers=error.headers).response()


async def _gone(_: Request, error: ClientDisconnect) -> Response:
    return Problem(400, "the request ended before its body did").response()  # to nobody


async def _broken(_: Request, error: Exception) -> Response:
    # a bug: what it was is in the log of the server, and no business of who asks
    return Problem(500, "the server failed to answer this request").response()
