"""usage: python scripts/summary.py

Print torchinfo's summary of all networks: layers, output shapes and parameters.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.model.summary", __doc__))
