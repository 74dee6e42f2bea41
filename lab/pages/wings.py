"""The table of wings in docs/manual/code.md, from the docstrings of their folders."""

import ast
from pathlib import Path

from convblocks.figures.tables import Table, to_markdown
from lab.pages.writing import REPOSITORY, write_sections

CODE = "docs/manual/code.md"


def write_wings(data: Path, out: Path) -> None:
    """Write the table; it needs no numbers."""
    write_sections(out, CODE, {"wings": wings_table()})


def wings_table() -> str:
    """A row for each wing: its folder, and its sentence with code in single backticks."""
    package = REPOSITORY / "src" / "convblocks"
    folders = sorted(path.parent for path in package.glob("*/__init__.py"))
    rows = []
    for folder in folders:
        if folder.name in ("data", "model", "run"):
            continue
        sentence = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        rows.append([f"`{folder.name}/`", sentence.replace("``", "`")])
    return to_markdown([Table("", ["wing", "what it adds"], rows)]).strip()
