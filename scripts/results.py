"""usage: python scripts/results.py

Regenerate the results in README.md and docs/results.md: runs the two comparisons that they come from, or what is
missing of them, in lightning_logs/results and lightning_logs/rates. About 50 minutes on two CPUs.
"""

import sys

from convblocks.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("convblocks.results", __doc__))
