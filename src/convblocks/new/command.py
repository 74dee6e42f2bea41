"""Make a project of your own, which trains, compares and tests.

usage: convblocks new NAME

Makes the folder NAME with seven files to change: data, network, config, test, notebook, README and pyproject.toml.
They use this package, and are the same as an example that works: flowers, drawn by a program, and their petals.

Example:
  convblocks new flowers
"""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from convblocks.command_line import Parser
from convblocks.console import echo, echo_command
from convblocks.errors import UsageError
from convblocks.files import write

# A project with these names, which works as it is.
TEMPLATE = Path(__file__).with_name("template")
NAME, CLASS = "my_project", "MyProject"


def main(arguments: list[str]) -> None:
    """Make a project.

    Raises:
        UsageError: it is not a valid module name, or is taken.
    """
    parser = Parser()
    parser.add_argument("name", metavar="NAME")
    name = parser.parse_args(arguments).name
    if not re.fullmatch("[a-z]([a-z0-9_]*[a-z0-9])?", name):
        raise UsageError(
            f"{name!r} cannot name a project: use lower-case letters, digits and inner _, such as my_flowers "
            "(for another place, go there first)"
        )
    if os.path.lexists(name):
        raise UsageError(f"{name} exists already: give another name, or move it away")
    make(Path(name))
    echo(f"{name}/ has {', '.join(sorted(path.name for path in Path(name).iterdir()))}. Next:")
    config = ["--config", "config.yaml"]
    networks = ["--arch", f"{name}_model.{class_name(name)}Network", "mlp"]
    echo_command(["cd", name], "go there      ")
    echo_command(["convblocks", "fit", *config], "train         ")
    echo_command(["convblocks", "compare", *config, *networks, "--seeds", "5"], "compare       ")
    echo_command(["python", "-m", "pytest"], "test          ")


def make(folder: Path) -> None:
    """Write all files into a folder that gets its name only when they are there."""
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
        made = Path(unfinished, folder.name)
        made.mkdir()
        for path in filter(Path.is_file, TEMPLATE.iterdir()):
            text = path.read_text(encoding="utf-8").replace(NAME, folder.name)
            write(made / path.name.replace(NAME, folder.name), text.replace(CLASS, class_name(folder.name)))
        made.rename(folder)


def class_name(name: str) -> str:
    """``my_project`` as ``MyProject``."""
    return "".join(part.capitalize() for part in name.split("_"))
