"""``python -m convblocks.training`` is ``scripts/fit.py`` for whoever has the package alone, comparisons included."""

import sys

from convblocks.console import end, status_of
from convblocks.training import signals

signals.install()  # before the heavy imports: a job may be told to stop while they run

if __name__ == "__main__":
    from convblocks.training.fit import main

    sys.argv[0] = "fit.py"  # as messages name it
    end(status_of(main, sys.argv[1:]))
