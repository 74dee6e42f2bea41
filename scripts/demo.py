"""usage: python scripts/demo.py CHECKPOINT [CHECKPOINT] [options]

Serve a page on this machine, and to it alone: draw a digit with the mouse or a finger, and watch the ten
probabilities and the 28x28 image that the network sees. Two checkpoints are shown side by side. Ends with Ctrl-C.

  --port N             the page's port, 0 for any free one (default: 8028)

Example:
  python scripts/demo.py lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import sys

from convblocks.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("convblocks.demo.server", __doc__))
