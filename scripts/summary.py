"""usage: python scripts/summary.py

Print torchinfo's summary of all networks: layers, output shapes and parameters.
"""

import sys

from convblocks.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("convblocks.summary", __doc__))
