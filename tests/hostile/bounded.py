"""Scripts that may take so much memory and no more."""

from functools import partial

from tests.scripts import run_script

# Bytes beyond what the imports have.
MEMORY = 1_500_000_000

run_bounded = partial(run_script, memory=MEMORY)
