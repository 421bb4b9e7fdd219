"""Judges that a user wrote - verifiers, detectors, rewards, correctors: found, called and checked.

What such a function gets wrong ends the replicate with `FitFailed`, in a sentence that names it: it raises, answers for another
number of records, or answers with something that is no number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autophage import registry
from autophage.errors import FitFailed, SpecError
from autophage.samples import Batch, reckonable

Function = Callable[..., Any]
"""From records (m, ...), and more where it asks for more, to (m,) numbers or to records."""
AT_ONCE = 1 << 27
"""Numbers that are handed over together: pictures are passed on in float64."""
EXHAUSTED = ("MemoryError", "OutOfMemoryError")
"""Errors that are not the function's: the run says what they mean."""


def function_of(given: Any, key: str) -> Function:
    """The function that a spec names or holds. Raises `SpecError`, naming the key."""
    if isinstance(given, str):
        given = registry.load(given, key)
    if not callable(given) or isinstance(given, type):
        raise SpecError(
            f"{key} is a {'class' if isinstance(given, type) else type(given).__name__}; it must be a function of records, "
            "or module:function"
        )
    return given


def name_of(function: Function) -> str:
    """What messages call it."""
    return getattr(function, "__name__", type(function).__name__)


def takes_two(function: Function) -> bool:
    """Whether it cannot be called with one argument, and can with two.

    >>> takes_two(lambda x, label: x), takes_two(lambda x, scale=1: x), takes_two(np.negative)
    (True, False, False)
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C, and silent about it
        return False
    place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in place and p.default is inspect.Parameter.empty]
    return len(needed) >= 2


def called(function: Function, role: str, *arguments: np.ndarray) -> np.ndarray:
    """What the function makes of copies of the arguments, as an array; `role` ("verifier") is how messages begin."""
    try:
        return np.asarray(function(*map(_own, arguments)))
    except Exception as error:
        if type(error).__name__ in EXHAUSTED:
            raise
        said = " ".join(str(error).split())
        words = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise FitFailed(f"the {role} {name_of(function)} fails: {words}") from error


def _own(argument: np.ndarray) -> np.ndarray:
    """The function may write into it."""
    return reckonable(argument) if argument.dtype == np.uint8 else np.array(argument)


def numbers_of(function: Function, role: str, *arguments: np.ndarray) -> np.ndarray:
    """One float64 number for each of the records (m, ...) that come first among the arguments, all of one length; NaN is left to
    the caller. Very many records are judged a part at a time."""
    n, wide = len(arguments[0]), max(1, int(np.prod(arguments[0].shape[1:])))
    step = max(1, AT_ONCE // wide)
    found = np.empty(n)
    for low in range(0, n, step):
        part = [a[low : low + step] for a in arguments]
        given = called(function, role, *part)
        if given.shape != (len(part[0]),) or given.dtype.kind not in "iufb":
            raise FitFailed(
                f"the {role} {name_of(function)} gave {given.dtype} of shape {given.shape} for {len(part[0])} records; one number "
                "for each would be right"
            )
        found[low : low + step] = given
    return found


def chances_of(function: Function, role: str, *arguments: np.ndarray) -> np.ndarray:
    """The same, of chances: every one in [0, 1]; yes and no count as 1 and 0.

    >>> chances_of(lambda x: x > 1, "verifier", np.array([0.0, 2.0])).tolist()
    [0.0, 1.0]
    """
    found = numbers_of(function, role, *arguments)
    wrong = ~((found >= 0) & (found <= 1))
    if wrong.any():
        raise FitFailed(
            f"the {role} {name_of(function)} gave {found[wrong][0]:g} for a record, and so for {int(wrong.sum())} of "
            f"{len(found)}; a chance in [0, 1], or true or false, would be right"
        )
    return found


def record_by_record(records: Any, judge: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(R, n) answers of a judge of records (m, ...) about a `Batch`, or about `Samples` as one replicate."""
    x = np.asarray(records.x)
    if isinstance(records, Batch):
        return judge(x.reshape(-1, *x.shape[2:])).reshape(x.shape[:2])
    return judge(x)[None]
