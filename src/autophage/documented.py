"""The strings under a class's attributes: what a spec's key means, for schemas and for `describe`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from functools import cache


def settings(cls: type) -> dict[str, str]:
    """Key to its description, those of base classes included.

    >>> from autophage.workflows import Mix
    >>> settings(Mix)["real"]
    'How many real records every generation keeps.'
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _own(base)
    return found


@cache  # bases are shared, and finding a class in its file takes milliseconds
def _own(cls: type) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError):  # a class without a source file
        return found
    assert isinstance(tree, ast.ClassDef)
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for here, after in zip(tree.body, tree.body[1:], strict=False):
        described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if not (isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and described):
            continue
        if here.target.id in names:
            found[here.target.id] = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
    return found
