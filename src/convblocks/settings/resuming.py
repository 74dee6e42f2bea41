"""Finds the run to resume where the command line does not name it. Does not import torch,
since there may be no such run.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.settings.words import by_full_name, full_words, given_options, given_settings
from convblocks.text import as_shown
from exact_resume import slurm

# The environment variable by which the first process tells the name of the run to the processes
# that Lightning starts.
CHOSEN = "CONVBLOCKS_CHOSEN_RUN"


def with_name(arguments: Sequence[str]) -> Sequence[str]:
    """A command line of ``fit``, completed by the ``--name`` of the run that it resumes."""
    run = chosen(arguments)
    if run is None:
        return arguments
    os.environ[CHOSEN] = run.name
    return [*arguments, "--name", run.name]


def chosen(arguments: Sequence[str]) -> RunDirectory | None:
    """The run that a command line of ``fit`` resumes if it has ``--resume`` and no ``--name``:
    the last unfinished run of what it trains that no process works on.

    None for any other command line; also in the processes of a launcher, since each might
    choose another run.

    Raises:
        UsageError: there is no such run.
    """
    words = full_words(arguments)
    given = given_options(words)
    if "resume" not in given or given.get("name") or "help" in given or slurm.is_launched():
        return None
    root = Path(given.get("trainer.default_root_dir", ""))
    if slurm.is_further_process():
        return RunDirectory(os.environ.get(CHOSEN, ""), root)
    settings = given_settings([word for word in words if word[0] != "--resume"])
    what = _name_of(settings.get("model.arch")) or settings.get("model")
    return _last_unfinished(what, root) if what else None


def _last_unfinished(what: str, root: Path) -> RunDirectory:
    """The unfinished run that was begun or resumed last, of those without a name of their own."""
    logs = RunDirectory(what, root).logs
    if run := next(_unfinished(what, logs, "*/version_*"), None):
        return run
    hint = "begin one without --resume, or give the --name of a run"
    if named := next(_unfinished(what, logs, "*"), None):
        hint = f"give the name of one that has one, such as --name {named.name}"
    raise UsageError(
        f"no unfinished run of {what} without a name in {as_shown(logs)} that no other process "
        f"works on: {hint}"
    )


def _unfinished(what: str, logs: Path, names: str) -> Iterator[RunDirectory]:
    """The unfinished runs of these names that no process works on, the latest first."""
    begun = {path: path.stat().st_mtime for path in logs.glob(f"{names}/config.yaml")}
    for path in sorted(begun, key=begun.__getitem__, reverse=True):
        run = RunDirectory(str(path.parent.relative_to(logs)), logs.parent)
        if not run.summary.exists() and what in _trained_in(run) and run.is_free():
            yield run


def _trained_in(run: RunDirectory) -> list[Any]:
    """The names of the module that a run trains, and of its network."""
    with suppress(UserError):
        settings = by_full_name(run.read_config())
        return [settings.get("model"), _name_of(settings.get("model.arch"))]
    return []


def _name_of(spec: Any) -> Any:
    return spec.get("class_path") if isinstance(spec, dict) else spec
