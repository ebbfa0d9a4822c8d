"""The command line: `yuragi fit | predict | evaluate | report | info | serve | demo`. It parses, calls, prints.

| file | what it is about |
|---|---|
| `app` | the commands, and how errors end |
| `fit`, `predict`, `evaluate`, `report`, `info`, `serve`, `demo` | a command each |
| `options` | what several commands take |
| `tables` | reading and writing tables, and what is said about them |
| `scores` | the table of scores, and the verdict in words |
| `progress`, `interrupt` | the bar, and Ctrl-C |
| `console` | where what is printed |

A command imports what it needs when it runs: `--help` and shell completion are to be quick.
"""

import sys

try:
    from yuragi.cli.app import app, main
except ModuleNotFoundError as missing:
    if missing.name not in ("typer", "rich"):
        raise
    sys.exit(f'the command line needs {missing.name}: pip install "yuragi[cli]"')

__all__ = ["app", "main"]
