"""The package imports and trains without Linux's own functions: tested by removing
them, not on Windows or macOS.
"""

from pathlib import Path

import pytest

from tests.conftest import DEBUG, REPOSITORY
from tests.scripts import run_fresh
from tests.test_house import MODULES

# Windows lacks these; macOS lacks the ones of the C library.
TAKE_AWAY = """
import ctypes, multiprocessing, os, signal

for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP"):
    delattr(signal, name)
signal.valid_signals = lambda: {
    signal.SIGABRT, signal.SIGFPE, signal.SIGINT, signal.SIGSEGV, signal.SIGTERM
}
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


def name_of(path: Path) -> str:
    """The module's full name."""
    parts = path.relative_to(REPOSITORY / "src").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.slow
def test_portability_of_every_import_and_of_a_run(tmp_path: Path) -> None:
    modules = [name_of(path) for path in MODULES if path.stem != "__main__"]
    program = f"""{TAKE_AWAY}
from importlib import import_module
for name in {modules}:
    import_module(name)
from convblocks.run import fit
from exact_resume import signals
signals.install()
fit.main([*{DEBUG}, "--arch", "batchnorm", "--name", "run"])
"""
    finished = run_fresh(["-c", program], tmp_path, {}, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "lightning_logs" / "run" / "summary.json").is_file()
