"""The calls of other libraries, on top of yuragi."""
