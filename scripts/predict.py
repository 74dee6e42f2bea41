"""usage: python scripts/predict.py CHECKPOINT PICTURE... [options]

Recognise the digits in your own pictures, one per picture: drawn, written or printed, photographed or scanned, of any
size and colour. For a network trained on other pictures, yours are resized to match. A folder stands for all pictures
in it. A picture that cannot be recognised (blank, damaged, too large) gets a line that says why, and the exit status is
then 1.

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --json               print machine-readable results, with the probabilities of all classes
  --show FILE          write a figure of every picture beside the image that the network saw

Examples:
  python scripts/predict.py lightning_logs/maxpool/version_0/checkpoints/last.ckpt seven.png
  python scripts/predict.py lightning_logs/batchnorm/version_0/checkpoints/last.ckpt photos/ --show seen.png
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.handwriting.predict", __doc__))
