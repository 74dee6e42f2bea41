"""Finds the user's own code that decides a run's numbers, and whether it has changed: the
modules, and the files that settings of model and data name, such as a table or weights.

A module is own if no package installer manages it: its file lies outside of site-packages
and of Python itself. So a module of an editable clone is own too, such as
``convblocks.model.networks``.
"""

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from convblocks.console import see_current_folder
from convblocks.record.sources import source_of
from convblocks.text import Settings, as_list, as_shown, flatten

# Digests by the names of modules, ``{"curve": "0123456789ab"}``, and of options that name
# files, ``{"--data.table a.csv": "..."}``; of an installed package its version.
Code = dict[str, str]

# Packages whose versions can change a result, and stand in the line of a machine.
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics")

# Only these modules of our own packages decide numbers.
OURS = ("convblocks", "exact_resume")
DECISIVE = ("convblocks.data.", "convblocks.model.", "convblocks.pictures.")

# The folders of Python's own modules.
PYTHON = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}

# The words of a Python source: texts, names and numbers, and signs; comments and white space
# are left out.
WORDS = re.compile(
    r"""
    (?P<left_out> \#[^\n]* | \s+ | \\\n )
    | \"{3} (?: \\. | [^\\] )*? \"{3} | '{3} (?: \\. | [^\\] )*? '{3}
    | "(?: \\. | [^"\\] )*" | '(?: \\. | [^'\\] )*'
    | \w+ | .
    """,
    re.VERBOSE | re.DOTALL,
)

DIGITS = 12

# The most bytes that are read of a file that a setting names. Of a larger file a third of them is
# read at the beginning, in the middle and at the end each.
MOST_BYTES = 48 * 2**20


class _Source(NamedTuple):
    digest: str
    imports: tuple[tuple[int, str], ...]  # the level of an import, and a name


def code_of(parts: Iterable[object], settings: Settings) -> Code | None:
    """The digests of the modules with the classes of parts, and of what settings name, of all
    own modules that these import, and of the files that settings of model and data name.

    Returns:
        None if a class has no file: it was typed into a notebook.
    """
    begin = {_module_of(each) for each in (*map(type, parts), *_named_in(settings))}
    found: Code = dict(_files_in(settings))
    waiting = [*begin]
    while waiting:
        module = waiting.pop()
        if module in found or not _decides(module):
            continue
        file = source_of(module)
        if file is None:
            if module == "__main__":
                return None
        elif not _is_installed(file):
            source = _read(file)
            found[module] = source.digest
            is_package = file.name == "__init__.py"
            package = module if is_package else module.rpartition(".")[0]
            waiting += [
                name for imported in source.imports for name in _resolved(package, *imported)
            ]
        elif module in begin:
            found |= _version_of(module)
    return dict(sorted(found.items()))


def _files_in(settings: Settings) -> Iterator[tuple[str, str]]:
    for option, value in flatten(settings).items():
        if option.startswith(("model.", "data.")) and isinstance(value, str):
            with suppress(OSError, ValueError):  # such as a name that is too long
                if Path(value).is_file():
                    yield f"--{option} {Path(value).name}", _digest_of_file(Path(value))


def _digest_of_file(path: Path) -> str:
    size = path.stat().st_size
    part = size if size <= MOST_BYTES else MOST_BYTES // 3
    content = [str(size).encode()]
    with path.open("rb") as file:
        for begin in sorted({0, (size - part) // 2, size - part}):
            file.seek(begin)
            content.append(file.read(part))
    return _digest(b"".join(content))


def changed(before: Code | None, now: Code | None) -> list[str]:
    """The modules that are in both and differ; none where one is not known."""
    if before is None or now is None:
        return []
    return [module for module in before if before[module] != now.get(module, before[module])]


def whole_digest(code: Code | None) -> str | None:
    """One digest of all modules; None where they are not known."""
    return None if code is None else _digest(repr(sorted(code.items())).encode())


def read_ahead() -> None:
    """Read the modules of ours that are imported, as they are now: processes that are forked
    later have these, even if their files change.
    """
    for module in [*sys.modules]:
        if module.startswith(DECISIVE) and (file := source_of(module)):
            _read(file)


def folder_of(code: Code | None) -> Path | None:
    """The folder of the first module that is neither installed nor ours; None if there is
    none.
    """
    files = (_own_file_of(module) for module in code or () if module.partition(".")[0] not in OURS)
    return next((file.parent for file in files if file), None)


def shown(module: str) -> str:
    """The file of a module, for people; of an installed one the package."""
    see_current_folder()
    file = _own_file_of(module)
    return as_shown(file) if file else module


def digest_of(source: str, tree: ast.Module | None = None) -> str:
    """A digest of the words of a Python source and of the depths of its statements. Comments,
    docstrings and white space do not change it, nor does another version of Python.

    Args:
        source: The source.
        tree: Its syntax tree, if there is one already.

    Raises:
        SyntaxError: the source is no Python.
    """
    depths, lines = [], source.splitlines()
    for depth, statement in _statements_of(tree or ast.parse(source), 0):
        if _is_text(statement, lines):
            begin, end = statement.lineno - 1, statement.end_lineno or statement.lineno
            lines[begin:end] = [""] * (end - begin)
        else:
            depths.append(depth)
    found = WORDS.finditer("\n".join(lines))
    words = [word[0] for word in found if not word["left_out"]]
    return _digest(repr((depths, words)).encode())


@cache
def _read(file: Path) -> _Source:
    content = file.read_bytes()
    try:
        source, tree = content.decode(), ast.parse(content)
        return _Source(digest_of(source, tree), tuple(_imports_of(tree)))
    except (SyntaxError, ValueError, RecursionError):  # another encoding, or a sum of 1,000 terms
        return _Source(_digest(content), ())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _statements_of(node: ast.AST, depth: int) -> Iterator[tuple[int, ast.stmt]]:
    """The statements within a node, and how deep they are nested."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield depth, child
        yield from _statements_of(child, depth + isinstance(child, ast.stmt))


def _is_text(statement: ast.stmt, lines: list[str]) -> bool:
    """True for a statement that is only a text, alone on its lines, as a docstring is."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str()), end_lineno=int(last)):
            before = lines[statement.lineno - 1].encode()[: statement.col_offset]
            behind = lines[last - 1].encode()[statement.end_col_offset :]
            return not (before.strip() or behind.strip())
    return False


def _imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The names of modules that a module imports anywhere, and of what may be a module, such
    as ``b`` in ``from a import b``; each with the level of the import.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            yield node.level, origin
            for alias in node.names:
                yield node.level, f"{origin}.{alias.name}".lstrip(".")


def _resolved(package: str, level: int, name: str) -> list[str]:
    """The absolute name of what a module of a package imports; none if it leads out of it."""
    with suppress(ImportError):
        return [resolve_name("." * level + name, package)]
    return []


def _named_in(settings: Settings) -> Iterator[object]:
    """The classes and functions that settings name, as far as their modules are imported."""
    for value in flatten(settings).values():
        for text in as_list(value):
            text = text.get("class_path") if isinstance(text, dict) else text
            module, _, name = text.rpartition(".") if isinstance(text, str) else ("", "", "")
            if module in sys.modules and hasattr(sys.modules[module], name):
                yield getattr(sys.modules[module], name)


def _module_of(named: object) -> str:
    return getattr(named, "__module__", None) or ""


def _decides(module: str) -> bool:
    """True for a module that may decide numbers; of our packages only some modules do."""
    is_ours = module.partition(".")[0] in OURS
    return bool(module) and (not is_ours or module.startswith(DECISIVE))


def _own_file_of(module: str) -> Path | None:
    file = source_of(module)
    return file if file and not _is_installed(file) else None


def _is_installed(file: Path) -> bool:
    """True for a file that a package installer manages, or that belongs to Python itself."""
    is_of_python = any(file.is_relative_to(folder) for folder in PYTHON)
    return is_of_python or bool({"site-packages", "dist-packages"} & set(file.parts))


def _version_of(module: str) -> Code:
    """The version of an installed module's package, by the package's name; empty if it has none,
    or the machine's line has it already.
    """
    package = module.partition(".")[0]
    number = getattr(sys.modules.get(package), "__version__", None)
    return {package: str(number)} if number and package not in PACKAGES else {}
