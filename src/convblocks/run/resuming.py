"""Which run a command line resumes that names none, and the command that resumes a run.

Imports little: there may be nothing to resume.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convblocks.console import command_text, echo
from convblocks.errors import UsageError, UserError
from convblocks.run.directory import RunDirectory
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
    if not config.weights_only:
        words += ["--weights_only", "false"]
    words += [
        f"--{option}={value}"
        for option, value in config.options.items()
        if value != config.parser.usual[option]
    ]
    # How its launcher was started is not known.
    is_launched = {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys()
    return f"continue with {shlex.join(words) if is_launched else command_text('fit', *words)}"


def with_name(arguments: Sequence[str]) -> Sequence[str]:
    """A command line of fit; if it resumes a run without ``--name``, with that of the last
    unfinished one of what it trains that no process holds, and a line that says so.

    Raises:
        UsageError: there is none, or a launcher has started several processes, which
            might choose different ones.
    """
    words = full_words(arguments)
    given = {option: values[0] if values else "" for option, *values in words}
    if "--resume" not in given or given.get("--name") or "--help" in given:
        return arguments
    if slurm.is_further_process() and CHOSEN in os.environ:
        return [*arguments, "--name", os.environ[CHOSEN]]
    model = given_settings(words, {})[0]["model"]
    arch = given.get("--model.arch") or _name_of(model.get("arch"))
    asked = {"class_path": model.get("class_path"), "arch": arch}
    if not any(asked.values()):
        return arguments
    seen = slurm.visible()
    if seen.get("WORLD_SIZE" if slurm.TORCHRUN in seen else slurm.SLURM, "1") != "1":
        raise UsageError("--resume needs the --name of the run in several processes of a launcher")
    root = Path(given.get("--trainer.default_root_dir", ""))
    directory = _last_unfinished(asked, root)
    echo(f"resuming {as_shown(directory.path)}")
    os.environ[CHOSEN] = directory.name
    return [*arguments, "--name", directory.name]


def _last_unfinished(asked: Mapping[str, Any], root: Path) -> RunDirectory:
    """Of those without a name of their own, the one that was begun or resumed last."""
    logs = RunDirectory("any", root).logs
    configs = {path: path.stat().st_mtime for path in logs.glob("*/version_*/config.yaml")}
    for path in sorted(configs, key=configs.__getitem__, reverse=True):
        run = RunDirectory(str(path.parent.relative_to(logs)), root)
        if not run.summary.exists() and _is_of(run, asked) and run.is_free():
            return run
    what = asked["arch"] or asked["class_path"]
    raise UsageError(
        f"no unfinished run of {what} in {as_shown(logs)} that no other process works on: "
        "begin one without --resume, or give the --name of a run"
    )


def _is_of(run: RunDirectory, asked: Mapping[str, Any]) -> bool:
    """Whether a run trains what is asked for."""
    with suppress(UserError):
        model = run.read_config()["model"]
        arch = model.get("init_args", {}).get("arch")
        trained = {"class_path": model.get("class_path"), "arch": _name_of(arch)}
        return all(trained[part] == name for part, name in asked.items() if name)
    return False


def _name_of(spec: Any) -> Any:
    return spec.get("class_path") if isinstance(spec, dict) else spec
