"""`python -m yuragi.cli`."""

from yuragi.cli import main

main()
