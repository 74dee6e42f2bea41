"""A callback that prints when ``fit`` has got to the end of each of its parts, for
whoever times the lines of a command that trains one epoch.
"""

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.console import echo

# What a line begins with, and the parts that end with one; the last, in which results are
# written, ends with the command.
MARK = "end of"
PARTS = ("start", "data", "training", "evaluation", "results")


class Moments(Callback):
    """The start ends when the Trainer is made, the data when they are in memory and
    settings and provenance in the run directory.
    """

    def __init__(self) -> None:
        echo(f"{MARK} start")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            echo(f"{MARK} data")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        echo(f"{MARK} training")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        echo(f"{MARK} evaluation")
