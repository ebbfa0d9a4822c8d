"""The file itself: tensors by safetensors, JSON beside them, a checksum over all; read with nothing trusted.

    eight bytes with the header's length | header: JSON | tensors

The header's metadata has one entry, "yuragi": JSON with the format's version, how the network was made ("settings"), what
the caller added ("extra"), and the SHA-256 of the whole file with sixty-four zeros in the place of the sum itself.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from yuragi.described import Described, FileError

VERSION = 1
"""Of the format; a file of a newer one is refused, and those of all older ones are read."""
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # JSON within the header's JSON
_MENDED = "restore it from a copy, or fit again"


@dataclass(frozen=True)
class Contents:
    """What a file holds: how the network was made Bayesian, its state, and what the caller of `save` added."""

    path: str
    settings: dict[str, Any]
    state: dict[str, Tensor]
    extra: dict[str, Any]


def packed(settings: Mapping[str, Any], state: Mapping[str, Tensor], extra: Mapping[str, Any]) -> bytes:
    """The bytes of a file.

    Raises:
        TypeError: `settings` or `extra` hold what JSON cannot.
    """
    contents = json.dumps(
        {"sha256": _NO_DIGEST.decode(), "version": VERSION, "settings": dict(settings), "extra": dict(extra)}
    )
    data = safetensors.torch.save(dict(state), {"yuragi": contents})  # one key: it keeps several in no fixed order
    return with_checksum(data)


def with_checksum(data: bytes) -> bytes:
    """The same bytes with the checksum that they should have, where they have a place for one."""
    span = _digest_span(data)
    if span is None:
        return data
    start, end = span
    return data[:start] + _digest(data, start, end) + data[end:]


def read(path: str | os.PathLike[str]) -> Contents:
    """Read and check a file that `yuragi.save` wrote; it can at worst fail, and takes memory for the file's size alone.

    Raises:
        FileError: the file is damaged, of another kind, or of a newer version.
        OSError: the file cannot be read, or there is none.
    """
    with open(path, "rb") as file:
        start = file.read(4096)  # a file of another kind may be very large
        length = int.from_bytes(start[:8], "little")
        size = os.fstat(file.fileno()).st_size
        if start[8:9] != b"{" or length > size:
            if start[8:9] == b"{" and b'"yuragi"' in start:
                raise FileError(f"{path} is damaged: it ends too early; {_MENDED}")
            raise _of_another_kind(path)
        data = start + file.read()
    return unpacked(os.fspath(path), data)


def unpacked(path: str, data: bytes) -> Contents:
    """What the bytes of a file hold; `path` is for messages.

    Raises:
        FileError: as for `read`.
    """
    text, span = _metadata(path, data), _digest_span(data)
    if span is None:
        raise _of_another_kind(path)
    if _digest(data, *span) != data[slice(*span)]:
        raise FileError(f"{path} is damaged: its checksum is wrong; {_MENDED}")
    contents = Described(path, _parsed(path, text))
    version = contents.whole("version", 1, 2**31)
    if version > VERSION:
        raise FileError(f"{path} is of file version {version}, and this yuragi reads up to {VERSION}: upgrade yuragi")
    try:
        state = safetensors.torch.load(data)
    except (SafetensorError, KeyError) as error:  # the second: an element type that torch does not have
        raise FileError(f"{path} is no file that this yuragi can use: its tensors cannot be read ({error})") from error
    for part in ("settings", "extra"):
        contents.part(part)  # a JSON object
    return Contents(path, contents.entry("settings"), state, contents.entry("extra"))


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The file that a path leads to, where one can be written there.

    Raises:
        OSError: its folder does not exist or cannot be written to, or what is there is no regular file.
    """
    found = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    if not found.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(found.parent))
    if found.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(found))
    if found.exists() and not found.is_file():
        raise FileExistsError(errno.EEXIST, "is not a regular file", str(found))
    if not os.access(found.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "the folder cannot be written to", str(found.parent))
    return found


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which is there, whole, at the end of the block, or not at all.

    Raises:
        OSError: it cannot be written there.
    """
    path = check_writable(path)
    # others may write there from other machines, whose processes have the same numbers
    temporary = path.with_name(f".yuragi-{os.getpid()}-{threading.get_ident()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _metadata(path: str, data: bytes) -> str:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 + length or data[8:9] != b"{":
        if data[8:9] == b"{" and b'"yuragi"' in data[:4096]:
            raise FileError(f"{path} is damaged: it ends too early; {_MENDED}")
        raise _of_another_kind(path)
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8
        raise _of_another_kind(path) from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get("yuragi") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise _of_another_kind(path)
    return text


def _parsed(path: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is no file that this yuragi can use: its description is no JSON") from error


def _of_another_kind(path: str | os.PathLike[str]) -> FileError:
    return FileError(f"{path} is not a file that yuragi.save wrote, or its header is damaged")


def _digest_span(data: bytes) -> tuple[int, int] | None:
    found = _DIGEST.search(data, 8, min(len(data), 8 + int.from_bytes(data[:8], "little")))
    return None if found is None else found.span(1)


def _digest(data: bytes, start: int, end: int) -> bytes:
    return hashlib.sha256(data[:start] + _NO_DIGEST + data[end:]).hexdigest().encode()
