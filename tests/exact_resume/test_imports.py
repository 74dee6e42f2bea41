"""The library needs Lightning, and what Lightning itself needs."""

import ast
import subprocess
import sys
from pathlib import Path

import exact_resume

PACKAGE = Path(exact_resume.__file__).parent
NEEDED = {"exact_resume", "lightning", "lightning_utilities", "numpy", "torch", "torchmetrics"}


def imported(path: Path) -> set[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_library_imports_nothing_else() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert imported(path) <= NEEDED | sys.stdlib_module_names, path


def test_errors_and_signals_are_there_without_torch() -> None:
    code = "import sys, exact_resume.errors, exact_resume.signals; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_public_name_is_there() -> None:
    for name in exact_resume.__all__:
        assert getattr(exact_resume, name).__name__ == name
