"""usage: python scripts/demo.py CHECKPOINT... [options]

Serve a page to this machine only: draw with the mouse or a finger, or choose a picture if the network was trained on
pictures, and watch the probabilities, the image that the network sees, and the output of its ReLUs. Up to four networks
stand side by side. Stop it with Ctrl-C.

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --port N             port of the page, 0 for any free one (default: 8028)

Example:
  python scripts/demo.py lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import os
import signal

# A single image is no faster on several cores, and far slower where other programs keep them busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.handwriting.demo.server", __doc__))
