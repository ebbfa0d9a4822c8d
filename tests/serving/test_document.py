"""The OpenAPI document against the server itself: what it allows is answered, what it forbids is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.made_up_tables import model
from tests.serving.asking import as_csv, client, new_rows

from yuragi.serving import Limits, application

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module", autouse=True)
def text_tables() -> None:
    # no schema says what a table of text is
    tables = st.integers(1, 5).map(lambda rows: as_csv(new_rows(rows)).decode())
    schemathesis.openapi.media_type("text/csv", tables)

    schemathesis.serializer("text/csv")(lambda _, value: str(value).encode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("target", "examples"),
    [
        ("price", 4),
        pytest.param("price", 100, marks=pytest.mark.slow),
        pytest.param("kind", 60, marks=pytest.mark.slow),
    ],
)
def test_it_does_what_its_document_says(target: str, examples: int) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", application(model(target), Limits(rows=20)))
    paths = []
    for found in schema.get_all_operations():
        operation = found.ok()
        paths.append(operation.path)
        # the others are told nothing that could be wrong
        for mode in list(schemathesis.GenerationMode)[: 2 if operation.path == "/predict" else 1]:

            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                case.call_and_validate(timeout=60)

            check()
    assert sorted(paths) == ["/health", "/predict", "/schema"]


def test_every_row_of_the_table_is_one_of_the_document() -> None:
    # read by hand, so that it is not FastAPI's own reading
    row = client().get("/openapi.json").json()["components"]["schemas"]["Row"]
    assert row["required"] == ["size", "colour", "shop", "open", "day"]
    assert set(row["properties"]) == {*row["required"], "price"}
    assert row["additionalProperties"] is False
    assert row["properties"]["size"]["type"] == ["number", "null"]
    assert math.isclose(row["properties"]["size"]["examples"][0], model().schema.columns[0].quantiles[50])
    assert row["properties"]["open"]["enum"] == [True, False, *model().schema.columns[3].levels, None]
    assert {kind.get("format") for kind in row["properties"]["day"]["anyOf"]} == {"date", "date-time", None}
    assert "red" in row["properties"]["colour"]["examples"]
