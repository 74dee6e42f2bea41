"""One run, from the command line to a finished run directory. Imports little: a signal
may come during imports.
"""

import os

# Otherwise torch's stores print a C++ backtrace when the process that holds them dies.
# Set before torch is imported.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
