"""The package imports, and trains, where Linux's own things are missing: tested by taking them away.

No Windows and no macOS has seen it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DEBUG
from tests.test_house import MODULES

# What Windows lacks, and of the C library what macOS lacks.
TAKE_AWAY = """
import ctypes, multiprocessing, os, signal

for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP"):
    delattr(signal, name)
signal.valid_signals = lambda: {signal.SIGABRT, signal.SIGFPE, signal.SIGINT, signal.SIGSEGV, signal.SIGTERM}
os.environ["USERNAME"] = "somebody"  # Windows sets it
for name in ("fork", "getuid", "killpg"):
    delattr(os, name)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
for name in ("ForkContext", "ForkProcess", "ForkServerContext", "ForkServerProcess"):
    delattr(multiprocessing.context, name)
cdll = ctypes.CDLL

def without_a_library(name, *arguments, **options):
    if name is None:
        raise TypeError("there is no CDLL(None) on Windows")
    return cdll(name, *arguments, **options)

ctypes.CDLL = without_a_library

import lightning.pytorch.trainer.connectors.signal_connector as connector

connector._IS_WINDOWS = True  # Lightning asks for the name of the system
"""


def run(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TAKE_AWAY + program]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_every_module_is_imported(tmp_path: Path) -> None:
    modules = [name for name in MODULES if not name.endswith("__main__")]
    finished = run(f"from importlib import import_module\nfor name in {modules}: import_module(name)", tmp_path)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_a_run_trains(tmp_path: Path) -> None:
    flags = [*DEBUG, "--arch", "batchnorm", "--name", "run"]
    program = f"from convblocks.training import fit, signals\nsignals.install()\nfit.main({flags})"
    finished = run(program, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "lightning_logs" / "run" / "summary.json").is_file()


@pytest.mark.slow
def test_a_comparison_trains_in_processes_that_are_spawned(tmp_path: Path) -> None:
    (tmp_path / "compare.py").write_text(
        f"{TAKE_AWAY}\n"
        "if __name__ == '__main__':\n"
        "    from convblocks.comparison.compare import main\n"
        f"    main([*{DEBUG}, '--arch', 'mlp', '--seeds', '2', '--name', 'two'])\n"
    )
    command = [sys.executable, "compare.py"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "lightning_logs" / "two" / "comparison.md").is_file()
