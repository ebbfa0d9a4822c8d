"""Damaged requests are answered or refused, never failed on; and nothing that they hold reaches the file system."""

from __future__ import annotations

import json
import random
import sys
import urllib.parse

import pytest
from tests.fuzz.models import changed
from tests.fuzz.mutations import mutated
from tests.serving.asking import CSV, JSON, as_csv, as_json, client, new_rows

DAMAGED = 40


def check(content: bytes, head: dict[str, str]) -> int:
    reply = client().post("/predict", content=content, headers=head)
    assert reply.status_code in (200, 400, 422), (reply.status_code, reply.text, content)
    assert reply.json()  # JSON, whichever
    return reply.status_code


def test_damaged_tables() -> None:
    rng, whole = random.Random(0), as_csv(new_rows(5))
    head = {**CSV, "Accept": "application/json"}
    found = {check(mutated(whole, rng, [whole]), head) for _ in range(DAMAGED)}
    assert found == {200, 400, 422}


def test_damaged_json() -> None:
    rng, whole = random.Random(0), as_json(new_rows(5))
    text = json.dumps(whole).encode()
    found = {check(mutated(text, rng, [text]), JSON) for _ in range(DAMAGED)}
    # well-formed, but with other values in other places
    found |= {check(json.dumps(changed(whole, rng)).encode(), JSON) for _ in range(DAMAGED)}
    assert found == {200, 400, 422}


def test_nothing_in_a_request_names_a_file() -> None:
    frame, mark = new_rows(2), "/tmp/yuragi-no-such-file"
    opened: list[str] = []
    listening = True
    # no file at all, since all that is imported late has been by now
    client().post("/predict", content=as_csv(frame), headers=CSV)
    client().post("/predict", json=as_json(frame))
    client().get(f"/{mark}")

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in ("open", "os.listdir", "os.scandir", "os.rename", "subprocess.Popen", "os.system"):
            opened.append(f"{event} {arguments}")

    sys.addaudithook(audit)
    client().post("/predict", content=as_csv(frame.assign(shop=mark, **{mark: mark})), headers=CSV)
    client().post("/predict", content=mark.encode(), headers=CSV)
    client().post("/predict", json=as_json(frame.assign(shop=mark, colour=f"file://{mark}")))
    client().post("/predict", json={"rows": mark})
    client().get(f"/{urllib.parse.quote(mark, safe='')}")
    listening = False
    assert opened == []


@pytest.mark.parametrize("form", ["application/json", "text/csv"])
@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_small_bodies(size: int, form: str) -> None:
    rng = random.Random(size)
    for _ in range(20):
        content = bytes(rng.choice(b'{}[]",:0e-\0\xff\xef\xbb\xbf\r\nn;') for _ in range(size))
        assert check(content, {"Content-Type": form}) in (400, 422)
