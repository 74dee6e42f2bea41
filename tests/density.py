"""How much a folder of Python code holds, and how dense it is."""

import ast
import io
import re
import token
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

# Tokens that are layout, not content.
LAYOUT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}

# Each ``and`` and ``or`` is a branch too.
BRANCHES = (
    ast.Assert,
    ast.ExceptHandler,
    ast.For,
    ast.If,
    ast.IfExp,
    ast.While,
    ast.With,
    ast.comprehension,
    ast.match_case,
)

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# What allows a function more branches: on the line of its ``def``, or on the one above.
ONE_THING = re.compile(r"# one (table|match)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Density:
    """Sums over some files.

    Args:
        tokens: Names, numbers, operators and texts. Comments, docstrings and layout are
            free, and so is a comma before a closing bracket.
        lines: Lines of code, so without comments and docstrings.
        characters: Those of the lines of code.
        branches: Points where the code may go one way or another.
    """

    tokens: int
    lines: int
    characters: int
    branches: int

    @property
    def characters_a_line(self) -> float:
        return self.characters / self.lines

    @property
    def branches_a_line(self) -> float:
        return self.branches / self.lines


def density(paths: Iterable[Path]) -> Density:
    """The density of all these files together."""
    tokens = branches = 0
    lines: list[str] = []
    for path in paths:
        text = path.read_text()
        tree = ast.parse(text)
        documentation = _lines_of_docstrings(tree)
        tokens += _tokens(text, documentation)
        lines += _lines_of_code(text, documentation)
        branches += branches_in(tree)
    return Density(tokens, len(lines), sum(map(len, lines)), branches)


def branches_in(tree: ast.AST) -> int:
    """The number of branches in a part of a syntax tree."""
    branches = 0
    for node in ast.walk(tree):
        if isinstance(node, BRANCHES):
            branches += 1
        elif isinstance(node, ast.BoolOp):
            branches += len(node.values) - 1
    return branches


def functions_with_many_branches(path: Path, most: int) -> Iterator[str]:
    """The functions of a file with more than ``most`` branches, unless a comment says
    that one is one table or one match.
    """
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min(part.lineno for part in (node, *node.decorator_list))
        around = [*lines[max(first - 2, 0) : first - 1], lines[node.lineno - 1]]
        branches = branches_in(node)
        if branches > most and not ONE_THING.search("\n".join(around)):
            yield f"{path}:{node.lineno} {node.name} has {branches}"


def _lines_of_docstrings(tree: ast.AST) -> set[int]:
    """The numbers of their lines."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            end = docstring.end_lineno
            assert end is not None
            lines.update(range(docstring.lineno, end + 1))
    return lines


def _tokens(text: str, documentation: set[int]) -> int:
    content = [
        found.string
        for found in _with_whole_strings(text)
        if found.type not in LAYOUT and found.start[0] not in documentation
    ]
    commas = sum(
        word == "," and following in (")", "]", "}") for word, following in pairwise(content)
    )
    return len(content) - commas


def _with_whole_strings(text: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens of a text. From Python 3.12 on an f-string is many: here it is its
    last one only.
    """
    depth = 0
    for found in tokenize.generate_tokens(io.StringIO(text).readline):
        name = token.tok_name[found.type]
        depth += name.endswith("STRING_START")
        depth -= name.endswith("STRING_END")
        if not depth:
            yield found


def _lines_of_code(text: str, documentation: set[int]) -> list[str]:
    return [
        line
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#") and number not in documentation
    ]
