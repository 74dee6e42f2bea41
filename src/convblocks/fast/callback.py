"""Training without needless work: one callback, which ``--fast false`` leaves out. On
the CPU no bit depends on it.

It skips work of Lightning and torch that nobody asked for, and leaves it to them where
somebody has:

- All runs: hooks that no callback or module overrides are not called
  (``lightning.py``).
- Image classifiers: a step of automatic optimization is four calls (``step.py``), ReLU
  follows MaxPool instead of the other way round (``network.py``), freed memory stays in
  the process, and several processes send each gradient without copies
  (``lightning.py``).
"""

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from convblocks.data.module import ImageDataModule, MNISTDataModule
from convblocks.fast.lightning import (
    FastClassifier,
    keep_freed_memory,
    skip_idle_hooks,
    speed_up_gradients,
)
from convblocks.fast.network import speed_up_network
from convblocks.fast.step import FastOptimization
from convblocks.model.classifier import ImageClassifier
from convblocks.run.callbacks import RunCallback
from convblocks.run.parts import Parts

# Data modules whose batches need nothing that Lightning does after the loader. Subclasses do not
# count, since they may have hooks for it.
DATA = (ImageDataModule, MNISTDataModule)


def add_option(parser: ArgumentParser) -> None:
    """Add ``--fast`` to the options of fit."""
    parser.add_argument(
        "--fast",
        type=bool,
        default=True,
        help="Skip needless work in Lightning and torch; "
        "on the CPU no bit of the result depends on it.",
    )


def make(parts: Parts) -> "Fast | None":
    """The callback of every run, unless it is turned off."""
    return Fast() if parts.config.options["fast"] else None


class Fast(RunCallback):
    """Swaps classes of the module, its network and its optimizer for faster ones before
    training.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning sets it at run time
        data = trainer.datamodule  # type: ignore[attr-defined]
        if stage != "fit" or type(data) not in DATA or type(pl_module) is not ImageClassifier:
            return
        keep_freed_memory()
        speed_up_gradients(trainer, pl_module)
        speed_up_network(pl_module.network)
        trainer.fit_loop.epoch_loop.automatic_optimization = FastOptimization(trainer)
        pl_module.__class__ = FastClassifier

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        skip_idle_hooks(trainer, pl_module)
