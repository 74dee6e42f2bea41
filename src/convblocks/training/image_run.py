"""A run of a network that classifies images: what it has beyond one of any LightningModule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder, ModelPruning

from convblocks.data.module import ImageDataModule
from convblocks.errors import DataError, UsageError, UserError
from convblocks.model.classifier import ImageClassifier
from convblocks.model.summary import describe
from convblocks.runs.checkpoints import newest_checkpoint
from convblocks.runs.judge import ACCURACY, LOSS, Judge
from convblocks.runs.provenance import read_origin
from convblocks.training.diagnostics import DeadUnits, LossDivergence
from convblocks.training.fast import keep_freed_memory, speed_up_gradients
from convblocks.training.fast_network import speed_up_network
from convblocks.training.fast_step import speed_up_steps
from convblocks.training.friendly_errors import rank_zero_errors
from convblocks.training.metrics_log import MetricsLog
from convblocks.training.printed_rows import columns_of_images
from convblocks.training.resume import callbacks_of
from convblocks.training.run import Run


class ImageRun(Run):
    """A run of an ImageClassifier on an ImageDataModule, which reads the images before anything is written."""

    module: ImageClassifier
    data: ImageDataModule

    @property
    def arch(self) -> str:
        return str(self.settings["arch"])

    @property
    def judge(self) -> Judge:
        return ACCURACY

    @property
    def best_by(self) -> Judge | None:
        return LOSS if self.data.val_size else None

    @property
    def tests_once(self) -> bool:
        return bool(self.data.val_size)

    @property
    def fingerprint(self) -> dict[str, str]:
        return self.data.files.fingerprint

    def describe(self) -> str:
        return describe(self.module.network, self.settings["batch_size"], self.data.files.image_spec)

    def prepare(self) -> None:
        with rank_zero_errors():
            self.data.prepare_data()
            self.data.setup()
        keep_freed_memory()

    def _make_parts(self) -> None:
        self.data = self.config.make_data()
        image_spec = self.data.image_spec
        seed_everything(self.settings["seed"], verbose=False)
        self.module = self.config.make_classifier(image_spec)

    def has(self, split: str) -> bool:
        return True

    def _metrics_log(self) -> MetricsLog:
        columns = columns_of_images(self.data.evaluation_split)
        every_n_steps = self.settings["trainer"]["log_every_n_steps"]
        return MetricsLog(self.directory.metrics, columns, every_n_steps, self.config.running_loss, of_images=True)

    def _diagnostics(self) -> list[Callback]:
        return [DeadUnits(), LossDivergence(self.settings["trainer"]["log_every_n_steps"])]

    def _adapt(self) -> None:
        super()._adapt()
        if callbacks_of(self.trainer, LearningRateFinder) and self.settings["lr_scheduler"] == "onecycle":
            raise UsageError("LearningRateFinder has no effect on onecycle, which is built before it, with --lr")
        if callbacks_of(self.trainer, ModelPruning):
            self.module.to(memory_format=torch.contiguous_format)  # torch prunes flat views, which channels_last lacks

    def _adapt_module(self) -> None:
        speed_up_gradients(self.trainer, self.module)
        speed_up_network(self.module.network)
        speed_up_steps(self.trainer)

    def _newest_checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        try:
            return newest_checkpoint(self.directory.last_checkpoint, self.module, of_images=True)
        except UserError:  # perhaps because other classes or shapes of images have changed the shapes of the weights
            began = (read_origin(self.directory.provenance) or {}).get("data", {})
            if began and (changed := _changed_parts(began, self.fingerprint)):
                raise self._other_data(changed) from None
            raise

    def _refuse_other_run(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume with other data or from another run's checkpoint; take over what finders found."""
        super()._refuse_other_run(checkpoint)
        changed = _changed_parts(checkpoint[type(self.data).__qualname__]["fingerprint"], self.fingerprint)
        if checkpoint["hyper_parameters"]["image_spec"]["classes"] != list(self.data.files.image_spec.classes):
            changed.append("list of classes")
        if changed:
            raise self._other_data(changed)
        self._restore_found_values(checkpoint)

    def _restore_found_values(self, checkpoint: dict[str, Any]) -> None:
        """Use the values that LearningRateFinder and BatchSizeFinder found when the run began, without a new search."""
        finders = (LearningRateFinder, BatchSizeFinder)
        if callbacks_of(self.trainer, *finders):
            others = [one for one in callbacks_of(self.trainer, Callback) if not isinstance(one, finders)]
            self.trainer.callbacks = others  # type: ignore[attr-defined]  # Lightning sets it at run time
            self.module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
            self.data.batch_size = checkpoint[type(self.data).__qualname__]["batch_size"]

    def _other_data(self, changed: Sequence[str]) -> DataError:
        """The error for parts of the data that have changed since the run began."""
        return DataError(
            f"{self.directory.path} was begun with another {' and '.join(changed)} than {self.data.files.folder} "
            "holds: restore the data, or choose another --name"
        )


def _changed_parts(began: dict[str, str], now: dict[str, str]) -> list[str]:
    """The names of the parts of the data that were changed, removed or added since the run began."""
    return [name for name in dict.fromkeys([*began, *now]) if began.get(name) != now.get(name)]
