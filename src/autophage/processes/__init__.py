"""Processes beside the loop: whatever changes step by step, is measured after each step, and may degenerate.

A process has a folder, resumes, gets verdicts and ends in a page as a loop does; its steps are its own affair.
"""

from autophage.processes.process import Broken, Finding, Process, Shown, Stepped

__all__ = ["Broken", "Finding", "Process", "Shown", "Stepped"]
