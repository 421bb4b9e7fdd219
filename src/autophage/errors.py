"""What can go wrong, by whose hand.

`UserError` and its children are a user's mistake: the command line prints their one sentence and exits with 2.
`FitFailed` is not a mistake but a result: the replicate ends as failed, its reason in the manifest, and the
rest of the run goes on.
"""


class AutophageError(Exception):
    """Anything autophage raises on purpose."""


class UserError(AutophageError):
    """A mistake that its maker can mend: the message says what was wrong, where, and what would be right."""


class SpecError(UserError, ValueError):
    """A spec, or a part's argument, that does not hold together."""


class DataError(UserError, ValueError):
    """Data that cannot be used: missing, empty, truncated, not finite, constant where that is fatal."""


class RunError(UserError, OSError):
    """A run folder that cannot be used: taken, unwritable, full, or holding another spec."""


class MissingExtra(UserError, ImportError):
    """A part that needs an optional dependency which is not installed."""


class FitFailed(AutophageError, RuntimeError):
    """A learner diverged, got nothing to fit, or returned something unusable."""


class FilterStarved(FitFailed):
    """A filter or verifier left too little: no record to fit, or fewer than were asked for after too many proposals."""


class NotRealisable(FitFailed):
    """Labels that no hypothesis of the class agrees with, given to a learner that rests on their agreement."""


class UnusableWeights(FitFailed, ValueError):
    """Weights that are all zero, negative or not finite: nothing is left to fit, and nothing goes on unfiltered."""
