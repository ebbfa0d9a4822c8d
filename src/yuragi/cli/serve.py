"""`yuragi serve`."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Annotated

import typer

from yuragi.cli import console, options

if TYPE_CHECKING:
    from yuragi.serving import Limits

EXAMPLE = "Example: yuragi serve price.yuragi --port 8000"


def serve(
    model: options.Model,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for one that is free.")] = 8000,
    samples: options.Samples = 100,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    max_body: Annotated[int, typer.Option(min=1, max=256, metavar="<MiB>", help="Of a request.")] = 8,
    max_rows: Annotated[int, typer.Option(min=1, help="Of a request.")] = 10_000,
    timeout: Annotated[
        float, typer.Option(parser=options.seconds, metavar="DURATION", help="For a request: 10s, 1m.")
    ] = "30s",  # type: ignore[assignment]
    at_once: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Requests in work; as many as cores.", show_default=False)
    ] = None,
    waiting: Annotated[int, typer.Option(min=0, max=10_000, help="Requests that wait; others are turned away.")] = 16,
) -> None:
    """Answer requests for predictions over HTTP: rows in as JSON or CSV, predictions with their error bars out.

    POST /predict, GET /schema, GET /health and GET /openapi.json. Without encryption or passwords: to serve other machines,
    put a reverse proxy before it. Ctrl-C takes no more requests, and answers those under way.
    """
    place = options.device(device)
    import torch

    from yuragi.serving import Limits, application, listen, run
    from yuragi.tables import load_table_model

    fitted = load_table_model(model, place)
    cores = os.cpu_count() or 1
    limits = Limits(max_body * 2**20, max_rows, timeout, at_once or cores, waiting)
    torch.set_num_threads(max(1, cores // limits.at_once))  # those of all requests together are as many as the cores
    app = application(fitted, limits, samples, seed)
    with listen(host, port) as listener:
        _say(f"{fitted.schema.target.name}, a {fitted.schema.task}", host, listener.getsockname()[1], limits)
        run(app, listener, limits.seconds)
    console.say("stopped")


def _say(what: str, host: str, port: int, limits: Limits) -> None:
    console.say(f"serving {what}, at http://{f'[{host}]' if ':' in host else host}:{port}")
    console.say(
        f"a request may have {limits.body // 2**20} MiB and {limits.rows:,} rows, and take {limits.seconds:g} s; "
        f"{limits.at_once:,} are worked on at once, and {limits.waiting:,} wait"
    )
    if not _is_loopback(host):
        console.note("who can reach this address can use it, and read what is sent: put a reverse proxy before it")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
