"""The table of wings in docs/manual/code.md, from the docstrings of their folders."""

import ast
from pathlib import Path

from lab.pages.writing import REPOSITORY, table, write_sections

CODE = "docs/manual/code.md"


def write_wings(data: Path, out: Path) -> None:
    """Write a row for each wing, its folder and its sentence with code in single backticks;
    it needs no numbers.
    """
    rows = []
    for path in sorted(REPOSITORY.glob("src/convblocks/*/__init__.py")):
        name = path.parent.name
        if name not in ("data", "model", "run"):
            sentence = ast.get_docstring(ast.parse(path.read_text())) or ""
            rows.append({"wing": f"`{name}/`", "what it adds": sentence.replace("``", "`")})
    write_sections(out, CODE, {"wings": [table("", rows)]})
