"""The Python file of a module, found without importing it or its packages."""

import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

ENDING = ".py"


def source_of(module: str) -> Path | None:
    """The file of a module where Python finds it; None if it has none, or is not there."""
    if module in sys.modules:
        return _if_python(getattr(sys.modules[module], "__file__", None))
    package, _, rest = module.partition(".")
    spec = None
    with suppress(ImportError, ValueError):  # such as of a module without a spec
        spec = find_spec(package)
    if spec is None:
        return None
    if not rest:
        return _if_python(spec.origin)
    found = (source_in(Path(folder), rest) for folder in spec.submodule_search_locations or ())
    return next(filter(None, found), None)


def source_in(folder: Path, module: str) -> Path | None:
    """The file of a module, or of its package, below a folder; None if it is not there."""
    parts = module.split(".")
    if not all(map(str.isidentifier, parts)):
        return None
    path = folder.joinpath(*parts)
    files = path / f"__init__{ENDING}", path.with_suffix(ENDING)
    return next(filter(Path.is_file, files), None)


def _if_python(file: str | None) -> Path | None:
    path = Path(file or "")
    return path if path.suffix == ENDING and path.is_file() else None  # none within an archive
