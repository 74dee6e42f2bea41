"""usage: python scripts/export.py CHECKPOINT [options]

Export a checkpoint to two files that do not need this project, one for ONNX (.onnx) and one for torch.export (.pt2),
and check both against the checkpoint on all test images. They take any number of uint8 images, for MNIST
(B, 1, 28, 28), and return one logit per class. Needs the extra: pip install -e ".[export]"

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --output BASE        write BASE.onnx and BASE.pt2 (default: beside the checkpoint)
  --data.root DIR      the data the network was trained on (default: the repository's MNIST)
  --data.source NAME   a class of your own that reads the data

Example:
  python scripts/export.py lightning_logs/maxpool/version_0/checkpoints/last.ckpt --output maxpool
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.evaluation.export", __doc__))
