"""usage: python scripts/evaluate.py CHECKPOINT [options]

Evaluate a checkpoint on the test images: loss, accuracy, expected calibration error, precision, recall and F1 of each
class, and the confusion matrix.

  --arch NAME          allow a network of your own, such as mynets.Rows, to be imported
  --data.root DIR      other data in MNIST's format (default: the MNIST of the repository)
  --json               print machine-readable results
  --show FILE          write a picture: confusion matrix, hardest digits, calibration, accuracy of each class

Example:
  python scripts/evaluate.py lightning_logs/maxpool/version_0/checkpoints/last.ckpt --show evaluation.png
"""

import sys

from convblocks.console import answer


def evaluate(arguments: list[str]) -> None:
    from convblocks.evaluation.evaluate import main  # not before it is needed: --help answers at once

    main(arguments)


if __name__ == "__main__":
    sys.exit(answer(evaluate, __doc__))
