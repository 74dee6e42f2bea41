"""usage: python scripts/evaluate.py CHECKPOINT [options]

Evaluate a checkpoint on the test images: loss, accuracy, expected calibration error, precision, recall and F1 per
class, and the confusion matrix.

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --data.root DIR      the data the network was trained on, or similar data (default: the repository's MNIST)
  --data.source NAME   a class of your own that reads the data
  --json               print machine-readable results
  --show FILE          write a figure: confusion matrix, hardest images, calibration, errors per class

Example:
  python scripts/evaluate.py lightning_logs/maxpool/version_0/checkpoints/last.ckpt --show evaluation.png
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.evaluation.evaluate", __doc__))
