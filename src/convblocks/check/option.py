"""``fit ... --check_resume``: does this run, stopped and resumed, go on with the same
bits?
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jsonargparse import ArgumentParser
from lightning.pytorch.loggers.logger import DummyLogger

from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.run.make import make_run
from convblocks.run.quiet import quiet_lightning
from convblocks.settings.config import Config
from convblocks.text import as_yaml
from convblocks.working import working
from exact_resume import signals
from exact_resume.check.part import Training
from exact_resume.check.verdict import check

OPTION = "check_resume"


def add_option(parser: ArgumentParser) -> None:
    """Add ``--check_resume`` to the options of fit."""
    help_text = "Only check, in a few steps, that this run would resume with the same bits."
    parser.add_argument(f"--{OPTION}", action="store_true", help=help_text)


def instead(config: Config) -> None:
    """Check the run of a command line, and print the result.

    Raises:
        ResumeError: a launcher has started this process, or the run fails.
        UserError: without a message, the run is not exact.
    """
    signals.uninstall()  # there is nothing to save
    words = ["--config", as_yaml(config.settings), "--trainer.logger=false"]
    words.append(f"--weights_only={config.weights_only}")
    words += [
        f"--{name}={value}"
        for name, value in config.options.items()
        if name != OPTION and value is not None
    ]
    echo("checking on a few steps whether this run resumes exactly; nothing is written")
    result = check(partial(training_of_run, words), working)
    echo(str(result))
    if not result.is_exact:
        # All is said; sys.exit would let Python unload torch, whose extensions may complain.
        raise UserError("")


def training_of_run(words: Sequence[str], folder: Path) -> Training:
    """The training of a command line of fit, whose run directory is in the folder."""
    quiet_lightning()
    place = ["--name", "run", "--trainer.default_root_dir", str(folder), "--resume"]
    run = make_run(Config.parse([*words, *place]))
    run.prepare()
    if run.is_rank_zero:
        run.directory.create()

    def train() -> None:
        run.start()
        run.trainer.loggers = [DummyLogger()]  # some callbacks want one
        run.train()

    return run.trainer, train
