"""A script that is forked ends as one does for which Python is started anew, and finds the same."""

from pathlib import Path

import pytest

from tests.scripts import Call, run

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
    "end", ["", "sys.exit(3)", "sys.exit('told')", "raise ValueError('wrong')", "os.kill(os.getpid(), signal.SIGINT)"]
)
def test_a_forked_script_is_like_a_fresh_one(end: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FINDS + end)
    (tmp_path / "own.py").write_text(f"VALUE = {end!r}")
    environment = {"OMP_NUM_THREADS": "2", "PYTHONPATH": "nosuch"}
    call = Call((str(tmp_path / "script.py"), "--option", "\udcff"), tmp_path, environment)
    assert vars(run(call, timeout=60)) == vars(run(call, timeout=60, fresh=True))
