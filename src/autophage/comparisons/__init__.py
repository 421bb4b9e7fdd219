"""Safeguards side by side at equal cost: the same loop once for each, its generation 0 shared, its budget matched."""

from autophage.comparisons.comparison import Comparison, Outcome, compare
from autophage.comparisons.safeguards import SAFEGUARDS, Safeguard

__all__ = ["SAFEGUARDS", "Comparison", "Outcome", "Safeguard", "compare"]
