"""How a law says that it does not hold."""

from __future__ import annotations

from autophage.errors import AutophageError


class Broken(AutophageError, AssertionError):
    """A law that a part breaks."""


def holds(law: str, condition: bool, part: object) -> None:
    """Raises `Broken`, naming the part and the law, unless the condition is true."""
    if not condition:
        raise Broken(f"{type(part).__name__} breaks a law: {law}")
