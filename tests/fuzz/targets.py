"""What is fuzzed: a corpus of valid files, what is done with a damaged one, and what it may raise."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tests.fuzz import corpus

from yuragi.tables import Schema, TableEncoder, TableError, TableWarning, read_table, write_table


@dataclass(frozen=True)
class Target:
    """A thing to fuzz.

    Args:
        samples: makes the valid files.
        use: what is done with a damaged file, given as bytes.
        allowed: what may be raised; anything else is a failure.
    """

    samples: Callable[[], list[corpus.Sample]]
    use: Callable[[bytes], None]
    allowed: tuple[type[Exception], ...]


def use_table(data: bytes) -> None:
    """Read a table, learn its schema with the last column as target, encode it, restore all from JSON, write it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        frame = read_table(io.BytesIO(data))
    write_table(frame, io.BytesIO())
    schema = Schema.of(frame, frame.columns[-1])
    frame = schema.with_target(frame)
    schema.targets(frame)
    schema.notes(frame)
    encoder = TableEncoder(schema)
    assert np.isfinite(encoder.fit_transform(frame)).all()
    encoded = encoder.transform(frame)
    described = json.loads(json.dumps([schema.described(), encoder.described()]))
    assert Schema.restore(described[0]) == schema
    assert np.array_equal(TableEncoder.restore(described[1]).transform(frame), encoded)


TARGETS = {"tables": Target(corpus.tables, use_table, (TableError,))}
