"""Slurm without Lightning's own requeueing, and time for the first process to report
why a run ends.
"""

from typing import Any

from lightning.pytorch import Callback, Trainer

from convblocks.cluster.layout import check, cluster_environments
from convblocks.run.callbacks import Added
from convblocks.run.parts import Parts


class LastWord(Callback):
    """Lets a process that has started others say why the run ends, instead of being
    killed first.

    Lightning's launcher checks every five seconds whether one of them has failed, and
    then kills the rest.
    """

    keeps_own_state = True

    def on_exception(self, trainer: Trainer, *_: Any) -> None:
        launcher: Any = trainer.strategy.launcher
        watched = getattr(launcher, "procs", [])
        if watched:
            launcher.procs = [*watched]  # it kills these on Ctrl-C
            watched.clear()


def make(parts: Parts) -> Added:
    """The callback of every run; with one process it does nothing.

    Raises:
        UsageError: Lightning cannot use this job's layout.
    """
    check(parts.settings)
    return Added(LastWord(), {"plugins": cluster_environments(parts.settings["trainer"])})
