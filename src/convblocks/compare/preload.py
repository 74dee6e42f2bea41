"""Imported last by the fork server: what each run would otherwise do again."""

import atexit
import gc
import os
from importlib import import_module

from convblocks import wings
from convblocks.record.own_code import read_ahead
from convblocks.run import fit  # noqa: F401
from convblocks.settings.parser import make_parser

for name in filter(wings.is_there, wings.CALLBACKS):
    import_module(f"convblocks.{name}")
make_parser()  # cached: it takes much of the time of a short run
read_ahead()
gc.collect()
# a forked process copies the memory that it writes to, and the collector writes to
# every object
gc.freeze()

# The server ends at once: nanobind, of which triton is made, would take frozen objects for leaks.
server = os.getpid()
atexit.register(lambda: os._exit(0) if os.getpid() == server else None)
