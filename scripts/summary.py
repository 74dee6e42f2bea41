"""usage: python scripts/summary.py

Print torchinfo's summary of all networks: layers, output shapes and parameters.
"""

import sys

from convblocks.console import answer


def summary(arguments: list[str]) -> None:
    from convblocks.model.summary import main  # not before it is needed: --help answers at once

    main(arguments)


if __name__ == "__main__":
    sys.exit(answer(summary, __doc__))
