"""Answers: the columns, numbers and notes of `yuragi predict`, whichever way rows come and predictions go."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from tests.made_up_tables import model
from tests.serving.asking import CSV, JSON, as_csv, as_json, client, new_rows, read_back, with_spreads

import yuragi
from yuragi import cli
from yuragi.serving import Limits, application
from yuragi.serving.described import row, table
from yuragi.tables import Schema


@pytest.mark.parametrize("target", ["price", "kind"])
def test_csv_is_answered_with_what_the_command_writes(
    target: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    model(target).save("m.yuragi")
    frame = new_rows().assign(note="良い", code=[f"00{n}" for n in range(12)])
    with open("new.csv", "wb") as file:
        file.write(as_csv(frame))
    capfdbinary.readouterr()
    cli.app(["predict", "m.yuragi", "new.csv", "--level", "0.8", "--seed", "7"], standalone_mode=False)
    written = capfdbinary.readouterr().out
    reply = client(target).post("/predict?level=0.8&seed=7", content=as_csv(frame), headers=CSV)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.content == written


@pytest.mark.parametrize("target", ["price", "kind"])
def test_json_and_csv_say_the_same(target: str) -> None:
    frame = new_rows()
    expected = model(target).predict_table(read_back(frame)).iloc[:, frame.shape[1] :]
    from_json = client(target).post("/predict", json=as_json(frame))
    from_csv = client(target).post("/predict", content=as_csv(frame), headers={**CSV, "Accept": "application/json"})
    assert from_json.json() == from_csv.json()
    assert from_json.json()["target"] == target
    assert from_json.json()["predictions"] == expected.to_dict("records")
    table = client(target).post("/predict", json=as_json(frame), headers={"Accept": "text/csv"})
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(table.content)).iloc[:, frame.shape[1] :], expected)


def test_several_levels_have_an_interval_each() -> None:
    frame = new_rows(3)
    several = client().post("/predict?level=0.5&level=0.9", json=as_json(frame)).json()["predictions"]
    for level in (0.5, 0.9):
        one = client().post(f"/predict?level={level}", json=as_json(frame)).json()["predictions"]
        for end in ("lower", "upper"):
            assert [row[f"price_{end}_{level}"] for row in several] == [row[f"price_{end}"] for row in one]


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    frame = new_rows()
    together = client().post("/predict", json=as_json(frame)).json()["predictions"]
    for place in range(len(frame)):
        alone = client().post("/predict", json=as_json(frame.iloc[[place]])).json()["predictions"]
        # the sums over the draws are the same numbers, added in another order
        assert alone == [pytest.approx(together[place], rel=1e-12)]


def test_the_notes_are_those_of_the_command() -> None:
    frame = new_rows().assign(shop="nowhere", extra=1)
    frame.loc[4, "size"] = 1e6
    notes = model().schema.notes(read_back(frame))
    assert len(notes) == 3
    reply = client().post("/predict", content=as_csv(frame), headers=CSV)
    assert json.loads(reply.headers["yuragi-notes"]) == notes
    assert client().post("/predict", json=as_json(frame.drop(columns="extra"))).json()["notes"] == notes[:2]


def test_the_head_of_an_answer_holds_no_more_notes_than_fit() -> None:
    extra = {f"{'🙂' * 37}{n}": range(12) for n in range(10)}  # in ASCII each of them takes twelve characters
    wide = pd.concat([new_rows().assign(shop="nowhere"), pd.DataFrame(extra)], axis=1)
    notes = json.loads(client().post("/predict", content=as_csv(wide), headers=CSV).headers["yuragi-notes"])
    assert "'shop': 12 values that the training table had not" in notes[0]
    assert notes[1:] == ["and 1 more"]


def test_numbers_without_bounds_are_predicted_as_the_library_does() -> None:
    rows = as_json(new_rows(4))["rows"]
    rows[0]["size"], rows[1]["size"], rows[2]["size"] = 10**400, -(10**30), 5
    text = json.dumps({"rows": rows}).replace('"size": 5,', '"size": 1e999,')
    reply = client().post("/predict", content=text, headers=JSON)
    assert reply.status_code == 200
    assert any("2 infinite numbers, taken as missing" in note for note in reply.json()["notes"])
    frame = pd.DataFrame(rows).assign(size=[np.inf, -1e30, np.inf, np.nan])
    expected = model().predict_table(frame)["price_mean"].tolist()
    assert [row["price_mean"] for row in reply.json()["predictions"]] == expected


def test_what_json_writes_otherwise_is_the_same_value() -> None:
    rows = as_json(new_rows(2).assign(open=["yes", "no"], colour=pd.Series(["red", None])))["rows"]
    expected = client().post("/predict", json={"rows": rows}).json()["predictions"]
    other = [dict(reversed(row.items())) | {"open": row["open"] == "yes", "price": [], "kind": 3} for row in rows]
    del other[0]["kind"], other[1]["kind"], other[0]["price"]
    other[1]["price"] = "12"
    assert client().post("/predict", json={"rows": other}).json()["predictions"] == expected


def test_text_in_other_encodings() -> None:
    frame = new_rows().assign(備考="良い")
    expected = client().post("/predict", content=as_csv(frame), headers=CSV).content
    text = as_csv(frame).decode()
    for codec, head in (
        ("cp932", ""),
        ("cp932", "; charset=Shift_JIS"),
        ("utf-8-sig", "; charset=UTF-8"),
        ("utf-16", ""),
    ):
        reply = client().post("/predict", content=text.encode(codec), headers={"Content-Type": f"text/csv{head}"})
        assert reply.content == expected, codec


def test_the_seed_is_that_of_the_request_or_else_of_the_server() -> None:
    rows, fitted = new_rows(2), with_spreads()
    asking = TestClient(application(fitted, samples=7, seed=3))
    for address, seed in (("/predict", 3), ("/predict?seed=3", 3), ("/predict?seed=4", 4)):
        expected = fitted.predict_table(rows, samples=7, seed=seed).iloc[:, 5:].to_dict("records")
        assert asking.post(address, json=as_json(rows)).json()["predictions"] == expected
    assert (
        asking.post("/predict", json=as_json(rows)).json() != asking.post("/predict?seed=4", json=as_json(rows)).json()
    )


def test_it_says_what_it_is_and_reads() -> None:
    assert client().get("/health").json() == {"status": "ok", "version": yuragi.__version__, "target": "price"}
    said = client().get("/schema").json()
    assert [(column["name"], column["kind"]) for column in said["columns"]] == [
        ("size", "number"),
        ("colour", "category"),
        ("shop", "category"),
        ("open", "boolean"),
        ("day", "date"),
    ]
    assert said["columns"][1]["levels"] == list(model().schema.columns[1].levels)
    assert said["columns"][4]["range"] == ["2024-01-01", "2024-03-20"]
    assert said["target"]["name"] == "price"
    assert said["limits"] == {"bytes": 8 * 2**20, "rows": 100, "seconds": 30.0}
    reply = client().post("/predict", json=as_json(new_rows(1)))
    assert said["answer"] == list(reply.json()["predictions"][0])
    kind = client("kind").get("/schema").json()
    assert kind["target"]["levels"] == ["large", "small"]
    assert kind["answer"] == list(client("kind").post("/predict", json=as_json(new_rows(1))).json()["predictions"][0])


def test_the_examples_of_the_document_are_answered() -> None:
    for target in ("price", "kind"):
        contents = client(target).get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        for form, said in contents.items():
            example = said["example"]
            content = json.dumps(example) if form == "application/json" else example
            assert client(target).post("/predict", content=content, headers={"Content-Type": form}).status_code == 200


def test_units_and_ways_to_write_dates_are_told() -> None:
    frame = pd.DataFrame(
        {
            "share": [f"{n % 7 + 20} %" for n in range(20)],
            "day": [f"{n + 8}/1/2024" for n in range(20)],
            "y": np.arange(20) / 3,
        }
    )
    schema = Schema.of(frame, "y")
    share, day = table(schema, Limits())["columns"]
    assert (share["unit"], share["range"]) == ("%", [20, 26])
    assert day["written"] == "%d/%m/%Y"
    assert "in %" in row(schema)["properties"]["share"]["description"]
    assert "%d/%m/%Y" in row(schema)["properties"]["day"]["description"]
