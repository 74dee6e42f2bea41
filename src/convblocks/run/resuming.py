"""Which run a command line resumes that names none, and the command that resumes a run.

Imports little: there may be nothing to resume.
"""

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convblocks.console import command_text, echo
from convblocks.errors import UsageError, UserError
from convblocks.run.directory import LOGS, RunDirectory
from convblocks.run.words import full_words, given_settings
from convblocks.text import as_shown
from exact_resume import slurm

if TYPE_CHECKING:
    from convblocks.run.config import Config

# The variable by which the first process tells the name to those that Lightning starts.
CHOSEN = "CONVBLOCKS_CHOSEN_RUN"


def resume_hint(config: "Config", name: str) -> str:
    """``continue with COMMAND``: what resumes a run of that name, with the options that
    its ``config.yaml`` does not hold.
    """
    words = ["--name", name, "--resume"]
    if config.root != Path.cwd():
        words += ["--trainer.default_root_dir", as_shown(config.root)]
    options = config.options | {"weights_only": config.weights_only}
    usual = config.parser.usual
    words += [
        f"--{option}={value}" for option, value in options.items() if value != usual.get(option)
    ]
    # How its launcher was started is not known.
    text = shlex.join(words) if slurm.is_launched() else command_text("fit", *words)
    return f"continue with {text}"


def with_name(arguments: Sequence[str]) -> Sequence[str]:
    """A command line of fit, with the name that it leaves to us, and a line that says so."""
    name = chosen(arguments)
    if name is None:
        return arguments
    if not slurm.is_further_process():
        echo(f"resuming {LOGS / name}")
        os.environ[CHOSEN] = name
    return [*arguments, "--name", name]


def chosen(arguments: Sequence[str]) -> str | None:
    """Of a command line of fit that resumes a run without ``--name``: that of the last
    unfinished one of what it trains that no process holds. None of another one, and in
    a launcher's processes, which might choose different ones.

    Raises:
        UsageError: there is none.
    """
    words = full_words(arguments)
    given = {option: values[0] if values else "" for option, *values in words}
    if "--resume" not in given or given.get("--name") or "--help" in given or slurm.is_launched():
        return None
    if slurm.is_further_process():
        return os.environ.get(CHOSEN, "")
    settings, _ = given_settings([word for word in words if word[0] != "--resume"])
    model = settings["model"]
    what = given.get("--model.arch") or _name_of(model.get("arch")) or model.get("class_path")
    root = Path(given.get("--trainer.default_root_dir", ""))
    return _last_unfinished(what, root).name if what else None


def _last_unfinished(what: str, root: Path) -> RunDirectory:
    """Of those without a name of their own, the one that was begun or resumed last."""
    logs = RunDirectory(what, root).logs
    begun = {path: path.stat().st_mtime for path in logs.glob("*/version_*/config.yaml")}
    for path in sorted(begun, key=begun.__getitem__, reverse=True):
        run = RunDirectory(str(path.parent.relative_to(logs)), root)
        if not run.summary.exists() and what in _trained_in(run) and run.is_free():
            return run
    raise UsageError(
        f"no unfinished run of {what} in {as_shown(logs)} that no other process works on: "
        "begin one without --resume, or give the --name of a run"
    )


def _trained_in(run: RunDirectory) -> list[Any]:
    """The names of the module that a run trains, and of its network."""
    with suppress(UserError):
        model = run.read_config()["model"]
        return [model.get("class_path"), _name_of(model.get("init_args", {}).get("arch"))]
    return []


def _name_of(spec: Any) -> Any:
    return spec.get("class_path") if isinstance(spec, dict) else spec
