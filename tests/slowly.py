"""`autophage` with everything kept at once, and closed-form generations that take a while.

python slowly.py SECONDS run|sweep SPEC ...
"""

from __future__ import annotations

import sys
import time

from autophage.cli import main
from autophage.learners.gaussian import Gaussian
from autophage.runs import blocks
from autophage.sweeps import sweep

if __name__ == "__main__":
    pause = float(sys.argv.pop(1))
    estimate = Gaussian.estimate

    def slowly(self, *arguments, **settings):
        time.sleep(pause)
        return estimate(self, *arguments, **settings)

    Gaussian.estimate = slowly
    blocks.CHECKPOINT_SECONDS = 0.0
    sweep.FLUSH_SECONDS = 0.0
    main()
