"""usage: python scripts/evaluate.py CHECKPOINT [options]

Evaluate a checkpoint on the test images: loss, accuracy, expected calibration error, precision, recall and F1 of each
class, and the confusion matrix.

  --arch NAME          allow a network of your own, such as mynets.Rows, to be imported
  --data.root DIR      the data that the network was trained on, or like it (default: the MNIST of the repository)
  --data.source NAME   a class of your own that reads them
  --json               print machine-readable results
  --show FILE          write a picture: confusion matrix, hardest images, calibration, accuracy of each class

Example:
  python scripts/evaluate.py lightning_logs/maxpool/version_0/checkpoints/last.ckpt --show evaluation.png
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.evaluation.evaluate", __doc__))
