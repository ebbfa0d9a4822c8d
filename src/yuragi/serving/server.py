"""The socket, and the server behind it: uvicorn, which ends without breaking a request off."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading

import uvicorn
from fastapi import FastAPI

CONNECTIONS = 1000
"""The most connections at once; further ones are turned away with 503."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: an address of this machine, or a name of one; 0.0.0.0 or :: are all.
        port: of TCP; 0 takes one that is free.

    Raises:
        OSError: the address is none of this machine, or the port is taken or not allowed.

    Example:
        >>> with listen("127.0.0.1", 0) as listener:
        ...     listener.getsockname()[1] > 0
        True
    """
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def run(app: FastAPI, listener: socket.socket, grace: float) -> None:
    """Answer requests until SIGINT (Ctrl-C) or SIGTERM; then take no more, and answer those under way.

    Args:
        app: the application.
        listener: from `listen`; it is closed at the end.
        grace: seconds that requests under way are given.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing depends on who asks
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        with contextlib.suppress(KeyboardInterrupt):  # raised once more when all is over
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
