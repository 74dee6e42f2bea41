"""usage: python scripts/results.py [results] [recipes]

Regenerate, from the repository's folder, pages of the documentation from the comparisons that they come from; what is
missing of these is trained in lightning_logs/.

  results              README.md's results and docs/results.md; about an hour on two CPUs
  recipes              docs/recipes.md; about 20 minutes on two CPUs

Without a name both are written.
"""

import sys

from convblocks.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("convblocks.results", __doc__))
