"""x."""

from yuragi.large_tables.opening import open_files
