"""Valid tables of every kind, small, as the files that are damaged; and how to reach inside those that are packed."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tests.fuzz.mutations import mutated


def _whole(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return mutated(data, rng, others)


def _inside_gzip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return gzip.compress(mutated(gzip.decompress(data), rng, others), compresslevel=1)


def _inside_zip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    # a checksum would hide most damage to what is packed
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        hit = rng.choice(names)
        for name in names:
            part = old.read(name)
            new.writestr(name, mutated(part, rng, [part, *others]) if name == hit else part)
    return made.getvalue()


@dataclass(frozen=True)
class Sample:
    """A valid file, and the ways to damage it."""

    name: str
    data: bytes
    ways: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (_whole,)


def tables() -> list[Sample]:
    """Tables as text in several encodings and notations, packed, as Parquet and as Excel."""
    rows = 30
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": np.arange(1, rows + 1),
            "size": rng.normal(size=rows).round(3),
            "colour": rng.choice(["red", "blue", "light, green", 'the "best"'], rows),
            "day": pd.date_range("2024-01-28", periods=rows).strftime("%Y-%m-%d"),
            "ok": rng.choice(["yes", "no"], rows),
            "count": rng.integers(0, 1000, rows),
            "target": rng.normal(100, 20, rows).round(2),
        }
    )
    frame.loc[3, "size"] = np.nan
    frame.loc[5, "colour"] = None
    japanese = frame.set_axis(["番号", "大きさ", "色", "日付", "合否", "個数", "目標"], axis=1).assign(
        色=rng.choice(["赤", "青", "黄緑"], rows), 合否=rng.choice(["はい", "いいえ"], rows)
    )
    text = frame.to_csv(index=False)
    german = frame.drop(columns="colour").to_csv(index=False, sep=";", decimal=",")
    packed = {}
    for kind, write in {"parquet": "to_parquet", "xlsx": "to_excel"}.items():
        stream = io.BytesIO()
        getattr(frame.assign(day=pd.to_datetime(frame["day"])), write)(stream, index=False)
        packed[kind] = stream.getvalue()
    plain = io.BytesIO()
    frame.to_parquet(plain, index=False, compression=None)
    return [
        Sample("comma.csv", text.encode()),
        Sample("semicolon.csv", german.encode()),
        Sample("tab.csv", frame.to_csv(index=False, sep="\t").encode("utf-8-sig")),
        Sample("utf16.csv", text.encode("utf-16")),
        Sample("japanese.csv", japanese.to_csv(index=False).encode("cp932")),
        Sample("comma.csv.gz", gzip.compress(text.encode()), (_whole, _inside_gzip, _inside_gzip)),
        Sample("table.parquet", packed["parquet"]),
        Sample("plain.parquet", plain.getvalue()),
        Sample("table.xlsx", packed["xlsx"], (_whole, _inside_zip, _inside_zip)),
    ]
