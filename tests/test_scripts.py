"""A forked script ends like one in a new Python, and finds the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts import run

FINDS = """
import atexit, json, multiprocessing, os, signal, sys, threading
import own
import torch
atexit.register(print, "the end")
print(json.dumps([sys.argv, sys.path, __file__, __name__, str(__spec__), os.getcwd(), dict(os.environ)]))
print(sys.stdin.read(), sys.stdout.isatty(), signal.getsignal(signal.SIGINT), torch.get_num_threads())
print(threading.enumerate()[1:], multiprocessing.parent_process(), sorted(os.listdir("/dev/fd")), own.VALUE)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(3)", "sys.exit('a message')", "raise ValueError('wrong')", "os.kill(os.getpid(), signal.SIGINT)"],
)
def test_a_forked_script_is_like_one_in_a_new_python(end: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FINDS + end)
    (tmp_path / "own.py").write_text(f"VALUE = {end!r}")
    command = [str(tmp_path / "script.py"), "--option", "\udcff"]
    environment = {"OMP_NUM_THREADS": "2", "PYTHONPATH": "nosuch"}
    new = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert vars(run(command, tmp_path, environment)) == vars(new)
