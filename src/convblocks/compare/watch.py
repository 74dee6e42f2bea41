"""Imported first by the fork server: until its imports are done it ends with the process that started it.

Otherwise it would notice only afterwards, seconds later.
"""

import os
import threading

SECONDS = 0.2

imports_are_done = threading.Event()
_parent = os.getppid()


def _end_with_parent() -> None:
    while not imports_are_done.wait(SECONDS):
        if os.getppid() != _parent:
            os._exit(1)


thread = threading.Thread(target=_end_with_parent, daemon=True)
thread.start()
