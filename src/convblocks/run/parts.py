"""The parts of a run before it has a Trainer: its configuration, data and module."""

from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks.data.module import ImageDataModule
from convblocks.model.class_specs import short_name
from convblocks.model.classifier import ImageClassifier
from convblocks.record.judge import Split
from convblocks.settings.config import Config
from convblocks.text import Settings


@dataclass(eq=False)
class Parts:
    """The parts of a run that are made before its Trainer.

    Args:
        config: The configuration.
        data: The data module; None if the module has data of its own.
        module: The module, with its first weights.
    """

    config: Config
    data: LightningDataModule | None
    module: LightningModule

    @property
    def settings(self) -> Settings:
        return self.config.settings

    @property
    def arch(self) -> str:
        """The name of what is trained, for people: a network's name, or the module's class."""
        arch = getattr(self.module, "arch", None)
        return arch if isinstance(arch, str) else short_name(self.settings["model"])

    @property
    def evaluation_split(self) -> str:
        return getattr(self.data, "evaluation_split", "val")

    @property
    def tries_out(self) -> bool:
        """True if only a few batches are tried, and nothing is written."""
        return bool(self.settings["trainer"].get("fast_dev_run"))

    @property
    def is_classification(self) -> bool:
        """True if an ImageClassifier is trained on an ImageDataModule."""
        return isinstance(self.module, ImageClassifier) and isinstance(self.data, ImageDataModule)

    def has(self, split: Split) -> bool:
        """True if the Trainer runs this evaluation: there is a loader, a step, and no limit of 0
        batches.
        """
        short = split.replace("validation", "val")
        limit = self.settings["trainer"].get(f"limit_{short}_batches")
        has_loader = is_overridden(f"{short}_dataloader", self.data or self.module)
        return has_loader and is_overridden(f"{split}_step", self.module) and limit != 0


def make_parts(config: Config) -> Parts:
    """Make data and module, with as many threads of this process as the settings say.

    Raises:
        UsageError: as ``Config.make_data`` and ``Config.make_module``.
        DataError: there are no images.
    """
    torch.set_num_threads(config.settings["threads"])
    data = config.make_data()
    return Parts(config, data, config.make_module(data))
