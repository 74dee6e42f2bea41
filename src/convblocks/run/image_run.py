"""A run of a network that classifies images: what it has beyond one of any LightningModule."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import seed_everything

from convblocks.console import echo
from convblocks.data.images import MNIST
from convblocks.data.module import ImageDataModule
from convblocks.errors import DataError, NotFiniteError, UserError
from convblocks.model.classifier import ImageClassifier
from convblocks.model.evaluation import Evaluation
from convblocks.model.restore import TrainedNetwork, restore_network
from convblocks.model.summary import describe
from convblocks.run.checkpoints import newest_checkpoint
from convblocks.run.directory import DEAD
from convblocks.run.divergence import LossDivergence
from convblocks.run.friendly_errors import rank_zero_errors
from convblocks.run.judge import ACCURACY, LOSS, Judge
from convblocks.run.last_weights import load_best, save_averaged_weights
from convblocks.run.metrics_log import MetricsLog, shortest_float
from convblocks.run.printed_rows import columns_of_images, loss_text
from convblocks.run.provenance import read_origin
from convblocks.run.result import Row, RunResult
from convblocks.run.run import Run
from convblocks.text import percent


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

    @cached_property
    def trained(self) -> TrainedNetwork:
        """The network with the final weights, once these are there."""
        return restore_network(self.directory.path, dict(self.module.hparams), self.module.state_dict())

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The final network's answers to all test images; None if they are not finite."""
        try:
            return self.trained.evaluate(self.data.test)
        except NotFiniteError:
            return None

    def describe(self) -> str:
        return describe(self.module.network, self.settings["batch_size"], self.data.files.image_spec)

    def prepare(self) -> None:
        with rank_zero_errors():
            self.data.prepare_data()
            self.data.setup()

    def introduce(self) -> None:
        """Print the images, unless they are MNIST's."""
        files = self.data.files
        if not files.original:
            images = f"{len(files.train.labels):,} training and {len(files.test.labels):,} test images"
            note = " (not the original MNIST)" if files.image_spec == MNIST else ""
            echo(f"{self.settings['data'].get('source', files.folder)}: {images}{note}, {files.image_spec}")
        if files.note:
            echo(files.note)
        if not len(files.test.labels):
            echo(f"Without test images, 'test' below means the {len(self.data.val.labels):,} held-out images.")

    def final_metrics(self) -> Row:
        """The run's final metrics.

        With validation images they are the test metrics of the weights with the best evaluation. Without, they are
        those of the last row; if the Trainer did not evaluate the final weights, they are evaluated here.
        """
        rows, last = self.log.rows, self.directory.last_checkpoint
        changed = save_averaged_weights(self.trainer, self.module, last, self.resumable)
        if self.data.val_size:
            load_best(self.module, self.directory.best_checkpoint, self.is_rank_zero)
        elif "test/acc" in rows[-1] and not changed:
            return {name: value for name, value in rows[-1].items() if "/" in name}
        self.trainer.test(self.module, datamodule=self.data, verbose=False)
        seen = self.trainer.callback_metrics
        names = ("test/loss", "test/acc", *(name for name in seen if name.startswith(DEAD)))
        tested: Row = {name: shortest_float(seen[name]) for name in names}
        if self.data.val_size:
            return tested
        if self.is_rank_zero:
            self.log.note_final(tested)
        return {name: value for name, value in rows[-1].items() if "/" in name}

    def is_finite(self, final: Row) -> bool:
        return math.isfinite(final["test/loss"])

    def result_fields(self) -> dict[str, Any]:
        return super().result_fields() | {"monitor": LOSS, "hparams": {"batch_size": self.data.batch_size}}

    def score_text(self, result: RunResult) -> str:
        """Accuracy and loss, and how many test images the final network gets wrong, of how many.

        The Trainer's limits may skip some images. Without a last evaluation, as in a run that had ended before, the
        number is left out.
        """
        images, processes = len(self.data.test.labels), self.trainer.world_size
        evaluated = int(self.module.eval_metrics.count)  # by this process
        if evaluated < images // processes:
            images = evaluated * processes
        wrong = f" ({round((1 - result.score) * images):,} of {images:,} wrong)" if images else ""
        return f"test accuracy {percent(result.score)}{wrong}, loss {loss_text(result.final['test/loss'])}"

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

    def _divergence(self) -> LossDivergence:
        return LossDivergence(self.settings["trainer"]["log_every_n_steps"])

    def _newest_checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        try:
            return newest_checkpoint(self.directory.last_checkpoint, self.module)
        except UserError:  # perhaps because other classes or shapes of images have changed the shapes of the weights
            began = (read_origin(self.directory.provenance) or {}).get("data", {})
            if began and (changed := _changed_parts(began, self.fingerprint)):
                raise self._other_data(changed) from None
            raise

    def _refuse_other_run(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume with other data or from another run's checkpoint."""
        super()._refuse_other_run(checkpoint)
        changed = _changed_parts(checkpoint[type(self.data).__qualname__]["fingerprint"], self.fingerprint)
        if checkpoint["hyper_parameters"]["image_spec"]["classes"] != list(self.data.files.image_spec.classes):
            changed.append("list of classes")
        if changed:
            raise self._other_data(changed)

    def _other_data(self, changed: Sequence[str]) -> DataError:
        """The error for parts of the data that have changed since the run began."""
        return DataError(
            f"{self.directory.path} was begun with another {' and '.join(changed)} than {self.data.files.folder} "
            "holds: restore the data, or choose another --name"
        )


def _changed_parts(began: dict[str, str], now: dict[str, str]) -> list[str]:
    """The names of the parts of the data that were changed, removed or added since the run began."""
    return [name for name in dict.fromkeys([*began, *now]) if began.get(name) != now.get(name)]
