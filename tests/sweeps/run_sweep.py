"""`autophage sweep` with every answer kept at once, and closed-form generations that take a while.

python run_sweep.py SECONDS sweep SPEC ...
"""

from __future__ import annotations

import sys
import time

from autophage.cli import main
from autophage.learners.gaussian import Gaussian
from autophage.sweeps import sweep

if __name__ == "__main__":
    pause = float(sys.argv.pop(1))
    estimate = Gaussian.estimate

    def slowly(self, *arguments, **settings):
        time.sleep(pause)
        return estimate(self, *arguments, **settings)

    Gaussian.estimate = slowly
    sweep.FLUSH_SECONDS = 0.0
    main()
