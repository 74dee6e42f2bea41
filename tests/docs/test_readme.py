"""What the README and docs/use.md show runs as it stands there."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.data.pictures import write_pictures

README = (REPOSITORY / "README.md").read_text()
_, _, BRING_YOUR_OWN = (REPOSITORY / "docs" / "use.md").read_text().partition("\n## Bring your own\n")

MOST_LINES = 40


def section(title: str) -> str:
    """A section of the README."""
    _, _, after = README.partition(f"\n## {title}\n")
    content, _, _ = after.partition("\n## ")
    return content


def blocks(language: str, text: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return found


OF_ONES_OWN = section("Make it your own")
# Of a program in a file the first line says which.
FILES = {found[1]: one for one in blocks("python", OF_ONES_OWN) if (found := re.match(r"# (\w+\.py)\n", one))}
PROGRAMS = [one for one in blocks("python", README) + blocks("python", BRING_YOUR_OWN) if one not in FILES.values()]
COMMANDS = [line for block in blocks("bash", OF_ONES_OWN) for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The scripts, a folder of pictures of any size, and the files that the README shows."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    write_pictures(folder / "flowers", size=(40, 36), train=100)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield folder


def run(command: list[str], folder: Path) -> None:
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_trains(program: str, folder: Path) -> None:
    run([sys.executable, "-c", program], folder)


@pytest.mark.slow
def test_the_commands_take_what_is_ones_own(folder: Path) -> None:
    """One after the other: some take what another has left."""
    for command in COMMANDS:
        run(["bash", "-c", command], folder)


def test_data_a_network_and_a_loss_are_one_short_class_each() -> None:
    classes = {
        name: [node for node in ast.parse(content).body if isinstance(node, ast.ClassDef)]
        for name, content in FILES.items()
    }
    assert set(classes) == {"mydata.py", "mynets.py", "mylosses.py"}
    for (own,) in classes.values():
        assert own.end_lineno is not None
        assert own.end_lineno - own.lineno < MOST_LINES


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:data|model|training|comparison)/\w+\.py)`", README))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (REPOSITORY / "src" / "convblocks" / path).is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w/.]+)(?:#[\w-]+)?\)", README))))
def test_a_link_leads_somewhere(path: str) -> None:
    assert (REPOSITORY / path).exists()
