"""One run, from the command line to a finished run directory. Light: a signal may come during the imports."""

import os

# torch's stores would tell by themselves, with a backtrace of C++, that the process which keeps them was lost. Before
# torch is imported.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
