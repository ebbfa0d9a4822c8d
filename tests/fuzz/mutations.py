"""Damage to files: flipped bits, cut and repeated parts, pieces of other files, and bytes that parsers stumble over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

TROUBLE = (
    *(
        b"\0",
        b'"',
        b'""',
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b";",
        b"\t",
        b"|",
        b"'",
        b"\\",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
    ),
    *(
        b"1e999",
        b"-1e308",
        b"9" * 30,
        b"0" * 20,
        b"NaN",
        b"inf",
        b"-inf",
        b"1,5",
        b"1.234.567",
        b"%",
        b"0x1F",
        b"1_000",
    ),
    *("あ".encode(), "①".encode("cp932"), b"\x81", b"\x80", "𝟘".encode(), "\u202e".encode(), b"\x1a", b"\x7f"),
    *(
        b"2024-13-45",
        b"99999-01-01",
        b"0000-00-00",
        b"29/02/2023",
        b"25:61",
        b"<a>",
        b"&x;",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"PAR1",
    ),
    *(b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"A" * 3000, b"," * 300, b'"\n' * 100, b"7" * 3000),
)

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def _flip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3, 10))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place, piece = rng.randrange(len(data)), rng.choice(TROUBLE)
    return data[:place] + piece + data[place + len(piece) :]


def _insert(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(TROUBLE) + data[place:]


def _truncate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data))]


def _cut(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + 1 + rng.randrange(min(len(data), 64)) :]


def _repeat(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + 1 + rng.randrange(256))
    return data[:end] + data[start:end] * rng.choice((1, 2, 30)) + data[end:]


def _splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    piece = other[start : start + 1 + rng.randrange(512)]
    place = rng.randrange(len(data) + 1)
    return data[:place] + piece + data[place + rng.choice((0, len(piece))) :]


def _swap(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    first, second = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[second:] + data[first:second] + data[:first]


MUTATIONS: tuple[Mutation, ...] = (_flip, _flip, _overwrite, _insert, _insert, _truncate, _cut, _repeat, _splice, _swap)


def mutated(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A damaged copy: one to five mutations, with pieces from `others`."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if data:
            data = rng.choice(MUTATIONS)(data, rng, others)
    return data
