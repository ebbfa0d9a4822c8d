"""A model of a table over HTTP: rows in, predictions with their error bars out, within limits.

    app = application(load_table_model("price.yuragi"))  # ASGI, for any server
    run(app, listen("127.0.0.1", 8000))  # what `yuragi serve` does

| file | what it is about |
|---|---|
| `app` | the routes, and how a request goes through them |
| `limits` | how large, how long, and how many at once |
| `media` | in which form a request is, and an answer is to be |
| `rows` | from the bytes of a request to a table; what is wrong, by row and column |
| `answers` | from a table to the bytes of an answer |
| `described` | what a row and an answer may hold, for `/schema` and OpenAPI |
| `problems` | how a request is refused |
| `server` | the socket, and an end without breaking off |

Nothing that a request holds names a file, is run, or is unpickled.
"""

try:
    from yuragi.serving.app import application
    from yuragi.serving.limits import Limits
    from yuragi.serving.server import listen, run
except ModuleNotFoundError as error:
    if error.name not in ("fastapi", "starlette", "uvicorn"):
        raise
    raise ModuleNotFoundError(f'serving needs {error.name}: pip install "yuragi[serve]"', name=error.name) from error

__all__ = ["Limits", "application", "listen", "run"]
