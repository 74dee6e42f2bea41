"""The options of ``fit`` that set no argument, and what commands say before torch is
imported, which takes seconds.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]  # it has no types

from convblocks import wings
from convblocks.command_line import UNKNOWN, with_suggestion
from convblocks.console import command_text
from convblocks.cpus import free_cpus, threads_hint
from convblocks.errors import UsageError, UserError
from convblocks.model.names import RECORDS, refuse_unknown
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.settings import resuming
from convblocks.settings.spelling import refuse_no_class
from convblocks.settings.words import (
    EPOCHS,
    MODEL,
    NO_LIMIT,
    SHORT,
    Words,
    full_words,
    given_options,
    given_settings,
    yaml_value,
)
from convblocks.text import Settings, as_shown
from convblocks.wings import GROUPS

# The options of ``fit`` that set no argument of a class, with the keywords of ``add_argument``. Of
# these judge, seed and threads are settings too.
OPTIONS: Mapping[str, dict[str, Any]] = {
    "config": {"action": ActionConfigFile, "help": "A YAML file with options."},
    "judge": {"type": str, "help": "The metric to judge the model by, such as val/loss:min."},
    "seed": {"type": int, "default": 0, "help": "Seed of the weights, and of the images' order."},
    "threads": {"type": int | None, "help": "CPU threads (they change how sums round)."},
    "name": {"type": str, "help": "The run is lightning_logs/NAME."},
    "resume": {"action": "store_true", "help": "Continue the run of that name."},
    "weights_only": {
        "type": bool,
        "default": True,
        "help": "Read no objects from its checkpoint, which could run code.",
    },
}

# The options that print something and end the command.
PRINTS = ("help_all", "print_config")

# The least likeness, in 0..1, of a misspelt option and the name that is suggested. A word that
# is less like it may be meant for a longer name, which only the parser knows.
LIKENESS = 0.7


def begin(name: str, arguments: Sequence[str]) -> Sequence[str]:
    """Lines that say what a command will do, as far as its words say so: ``fit``, or one
    that reads a run or checkpoint.

    Raises:
        UserError: an option or a network is misspelt, or a config, run or checkpoint is
            not there.
    """
    if name != "fit":
        return _begin_reading(name, arguments)
    words = full_words(arguments)
    refuse_misspelt(words)
    if given_options(words).keys() & PRINTS:
        return ()
    if run := resuming.chosen(arguments):
        return [f"fit: resuming {as_shown(run.path)}"]
    return _begin_fit(given_settings(words))


def _begin_fit(settings: Settings) -> Sequence[str]:
    _refuse_no_classes(settings)
    arch = settings.get("model.arch")
    what = f"fit: {arch or settings.get('model', MODEL)}"
    flags = [option for option in wings.OPTIONS if settings.get(option) == ""]
    if yaml_value("--fast_dev_run", str(settings.get("trainer.fast_dev_run") or 0)):
        flags = ["fast_dev_run"]
    if flags:  # with these options fit writes no run
        return [", ".join([what, *flags])]
    chosen = settings.get("name")
    root = Path(settings.get("trainer.default_root_dir") or "")
    run = RunDirectory(str(chosen or f"{arch}/version_N"), root)
    # Without a name or a network the module names the folder itself.
    line = line_of(what, settings, run.path if chosen or arch else run.logs)
    if "resume" in settings:
        return [line]
    if chosen:
        run.refuse_existing()
    return [line, *threads_hint(settings.get("threads"), free_cpus())]


def _refuse_no_classes(settings: Settings) -> None:
    """Raise a UsageError for a network that is not there, or a misspelt class."""
    model, arch = settings.get("model", MODEL), settings.get("model.arch")
    if model == MODEL:
        refuse_no_network(arch)
    for named in (model, arch, settings.get("data")):
        if isinstance(named, str) and "." in named:
            refuse_no_class(named)


def _begin_reading(name: str, arguments: Sequence[str]) -> Sequence[str]:
    path = "".join(arguments[:1])
    if not path:
        raise UsageError(
            f"give a run or a checkpoint, for example: {command_text(name, 'maxpool/version_0')}"
        )
    if path.startswith("-"):  # the parser finds the path, or says what is missing
        return ()
    if not (Path(path).exists() or (LOGS / path).exists()):
        raise no_run(path)
    return [f"{name}: {path}"]


def no_run(run: str) -> UserError:
    """The error for something else than a run or a checkpoint."""
    return UserError(
        f"{run} is neither a run with a checkpoint nor a checkpoint in one: give the folder of a "
        f"run, its name below {LOGS}/, or its checkpoints/last.ckpt"
    )


def line_of(what: str, settings: Settings, place: Path) -> str:
    """``fit: mlp, epochs 5 -> lightning_logs/mlp``: with what limits the runs of these
    settings, by full names.
    """
    names = ("epochs", "steps", "time")
    limits = [(name, settings.get(f"trainer.max_{name}")) for name in names]
    # a number in a config, text on the command line
    said = [(name, most) for name, most in limits if most and str(most) != str(NO_LIMIT)]
    length = ", ".join(f"{name} {most}" for name, most in said)
    return f"{what}, {length or f'epochs {EPOCHS}'} -> {as_shown(place)}"


def refuse_misspelt(words: Words, further: Collection[str] = ()) -> None:
    """Raise a UsageError for an option that is much like one of fit's, or of these, but
    is none; unless a wing of another package may have it.
    """
    known = [*SHORT, *OPTIONS, *PRINTS, *GROUPS, *wings.OPTIONS, *further]
    for word in words:
        message = f"{UNKNOWN}{'='.join(word)}"
        suggested = with_suggestion(message, known, LIKENESS)
        is_known = word[0].removeprefix("--").partition(".")[0] in known
        if not is_known and suggested != message and not wings.others():
            raise UsageError(suggested)


def refuse_no_network(arch: Any) -> None:
    """Raise a UsageError unless there is a network of this name, or may be."""
    if arch is None:
        raise UsageError(
            f"--arch is required: choose one of {', '.join(RECORDS)}, "
            "or give a LightningModule as --model"
        )
    if not wings.others():
        refuse_unknown(str(arch))
