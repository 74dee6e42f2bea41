"""``python -m convblocks.training`` is ``scripts/fit.py`` without the repository; comparisons start runs by it."""

import sys

from convblocks.console import end, status_of
from convblocks.training import signals

signals.install()  # before the heavy imports: a signal may come while they run

if __name__ == "__main__":
    from convblocks.training.fit import main

    sys.argv[0] = "fit.py"  # the name in error messages
    end(status_of(main, sys.argv[1:]))
