"""Speed, each figure as a ratio against a named reference in the same process, one thread."""
