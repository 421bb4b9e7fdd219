"""What the networks of diffusers share: the import, further arguments, and the refusals of its constructors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autophage.data.arguments import frozen
from autophage.errors import MissingExtra, SpecError


def diffusers_for(what: str) -> Any:
    """The diffusers package; its import takes seconds. Raises `MissingExtra` where it is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise MissingExtra(
            f"{what} needs diffusers, which is not installed; install autophage[image]"
        ) from error
    return diffusers


def made(model: str, arguments: Mapping[str, Any]) -> Any:
    """A model of diffusers by its class name. Raises `SpecError` where its constructor refuses the arguments."""
    known = getattr(diffusers_for(model), model)
    try:
        return known(**arguments)
    except (TypeError, ValueError, NotImplementedError, KeyError, AttributeError) as error:
        raise SpecError(f"network.settings: {model} of diffusers refuses its arguments: {error}") from error


def further(settings: Any, fields: Mapping[str, str], data: tuple[str, ...]) -> dict[str, Any]:
    """`network.settings` with lists as tuples.

    Raises `SpecError` where it is no mapping, says what a field of the network says (`fields`: argument of the model ->
    field), or what follows from the data.
    """
    if not isinstance(settings, Mapping):
        raise SpecError(f"network.settings is {settings!r}; it must be a mapping of the model's arguments")
    for key in settings:
        if key in fields:
            raise SpecError(f"network.settings.{key} is what network.{fields[key]} says; write it there")
        if key in data:
            raise SpecError(f"network.settings.{key} follows from the data; leave it out")
    return {key: frozen(value) for key, value in settings.items()}
