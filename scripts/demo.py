"""usage: python scripts/demo.py CHECKPOINT... [options]

Serve a page on this machine, and to it alone: draw with the mouse or a finger, or choose a picture where the network
was trained on pictures, and watch the probabilities, the image that the network sees, and what its ReLUs make of it. Up
to four networks stand side by side. Ends with Ctrl-C.

  --arch NAME          allow a network of your own, such as mynets.Rows, to be imported
  --port N             the page's port, 0 for any free one (default: 8028)

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
