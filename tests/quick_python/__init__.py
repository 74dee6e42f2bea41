"""A ``python`` for tests that start many processes: it is there at once, since it is forked from one with the imports.

A process does what it would do otherwise; only the seconds are saved in which it imports torch and Lightning. A small
program stands where the process is started, hands on its arguments, and ends as it does (client.py); the process is
forked by a server with the imports (server.py), which ends with the tests. tests/scripts.py asks that server directly.
"""

import atexit
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from shutil import rmtree
from subprocess import PIPE, STDOUT
from tempfile import mkdtemp

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@cache
def quick_python(slow: str = sys.executable) -> Path:
    """The program, named ``python``, alone in its folder; its server has done the imports when this returns.

    Args:
        slow: The Python that it is instead of.
    """
    folder = Path(mkdtemp(prefix="python-"))  # a socket's path must be short
    python = folder / "python"
    python.write_text(f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}")
    python.chmod(0o755)
    command = [slow, str(HERE / "server.py"), str(folder / "socket")]
    environment = os.environ | {"MPLBACKEND": "agg"}  # as commands set it before their imports
    environment.pop("OMP_NUM_THREADS", None)  # each process has its own
    # In a session of its own, so that no Ctrl-C meant for the tests ends it.
    server = subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, stderr=STDOUT, start_new_session=True)
    atexit.register(_end, server, folder)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return python


def environment_of(**variables: str) -> dict[str, str]:
    """Variables for a process in which ``python``, and what starts torchrun's processes, is the quick one."""
    python = quick_python()
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHON_EXEC": str(python)} | variables


def python_path() -> str:
    """For processes that import the tests from another folder; the package is where this process has it from."""
    return os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))


def run_quickly(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python`` with these arguments and variables of the environment, and wait for it."""
    return subprocess.run(
        [quick_python(), *arguments],
        cwd=cwd,
        env=environment_of(**variables),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    assert server.stdin is not None
    server.stdin.close()  # at which it ends, as it does when the tests are killed
    server.wait()
    rmtree(folder)
