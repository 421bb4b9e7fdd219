"""`autophage` with a checkpoint after every generation, and generations that take a while.

python run_theory.py SECONDS run SPEC ...
"""

from __future__ import annotations

import sys
import time

from autophage.cli import main
from autophage.learners.gaussian import Gaussian
from autophage.runs import blocks

if __name__ == "__main__":
    pause = float(sys.argv.pop(1))
    estimate = Gaussian.estimate

    def slowly(self, *arguments, **settings):
        time.sleep(pause)
        return estimate(self, *arguments, **settings)

    Gaussian.estimate = slowly
    blocks.CHECKPOINT_SECONDS = 0.0
    main()
