"""Make a project of your own, which trains, compares and tests.

usage: convblocks new NAME [--task {pictures,module}]

Makes the folder NAME, with short files that work as they are, for you to
change: data, network, config, test, README and a job script for Slurm.

  --task pictures      flowers that a program draws, and a notebook (default)
  --task module        a table of numbers, and any LightningModule

Example:
  convblocks new churn --task module
"""

import re
import shutil
from pathlib import Path
from string import capwords

from convblocks.command_line import Parser
from convblocks.console import echo
from convblocks.errors import UsageError

# A project with these names, which works as it is; what differs by task stands in a
# folder of its own.
TEMPLATE = Path(__file__).with_name("template")
NAME, CLASS = "my_project", "MyProject"


def main(arguments: list[str]) -> None:
    """Make a project.

    Raises:
        UsageError: it is not a valid module name.
        FileExistsError: it is taken.
    """
    parser = Parser()
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--task", choices=("pictures", "module"), default="pictures")
    options = parser.parse_args(arguments)
    name = options.name
    if not re.fullmatch("[a-z]([a-z0-9_]*[a-z0-9])?", name):
        raise UsageError(
            f"{name!r} cannot name a project: "
            "use lower-case letters, digits and inner _, as my_flowers"
        )
    class_name = capwords(name, "_").replace("_", "")
    Path(name).mkdir()
    files = filter(Path.is_file, [*TEMPLATE.iterdir(), *(TEMPLATE / options.task).iterdir()])
    try:
        for path in files:
            text = path.read_text(encoding="utf-8").replace(NAME, name).replace(CLASS, class_name)
            Path(name, path.name.replace(NAME, name)).write_text(text, encoding="utf-8")
    except OSError:  # such as a full disk: leave no half of a project
        shutil.rmtree(name)
        raise
    echo(
        f"{name}/ is made; its README.md says what to do. To train:\n"
        f"cd {name}\npip install -e .\nconvblocks fit --config config.yaml"
    )
