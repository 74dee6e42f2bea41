"""Shows in TensorBoard where a finished network is wrong, how sure it is, and what it looks like inside."""

import shlex
import sys
import warnings
from functools import partial
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from convblocks.data import normalize
from convblocks.evaluation import Evaluation
from convblocks.mnist import Digits
from convblocks.runs import RunDirectory

# Train and test in one chart of the Custom Scalars tab: it shows these curves of all runs that are ticked.
LAYOUT = {
    "train and test": {
        "loss": ["Multiline", ["^train/loss$", "^test/loss$"]],
        "accuracy": ["Multiline", ["^train/acc$", "^test/acc$"]],
    }
}


class Pictures(Callback):
    """Writes pictures of the finished network's answers to the test images, once, in the first process.

    With a validation split they are written after the test, which is then of the best epoch's weights.

    Args:
        run: The run's directory, for its settings.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _datamodule(trainer).evaluation_split == "test":
            self._write(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (trainer.is_global_zero and isinstance(trainer.logger, TensorBoardLogger)):
            return
        writer: SummaryWriter = trainer.logger.experiment
        test: Digits = _datamodule(trainer).test
        batch_size: int = _datamodule(trainer).eval_batch_size
        training = pl_module.training
        pl_module.eval()
        evaluation = Evaluation(_logits(pl_module, test.images, batch_size), test.labels)
        _write_pictures(writer, evaluation, pl_module, test.images, trainer.global_step)
        _write_graph(writer, pl_module, test.images[:1])
        pl_module.train(training)
        writer.add_text("run", _card(self.run), trainer.global_step)
        writer.add_custom_scalars(LAYOUT)


def _datamodule(trainer: Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # which Lightning sets at run time


@torch.inference_mode()
def _logits(module: LightningModule, images: Tensor, batch_size: int) -> Tensor:
    """The logits (N, 10) for images (N, 28, 28) uint8, computed where the module is."""
    batches = [module(_input(module, batch)).float().cpu() for batch in images.split(batch_size)]
    return torch.cat(batches)


def _input(module: LightningModule, images: Tensor) -> Tensor:
    assert isinstance(module.dtype, torch.dtype)
    return normalize(images.to(module.device), module.dtype)


def _write_pictures(
    writer: SummaryWriter, evaluation: Evaluation, module: LightningModule, images: Tensor, step: int
) -> None:
    # Matplotlib is imported here, since it takes its time and only finished runs need it.
    from convblocks import pictures

    panels = pictures.evaluation_panels(evaluation, images) | {"first_layer": partial(pictures.filters, module)}
    for name, panel in panels.items():
        writer.add_figure(f"pictures/{name}", pictures.figure_of(panel), step)
    writer.add_scalar("test/calibration_error", evaluation.calibration_error, step)


def _write_graph(writer: SummaryWriter, module: LightningModule, image: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the writer traces with torch.jit, which torch deprecates
        writer.add_graph(module.network, _input(module, image))


def _card(run: RunDirectory) -> str:
    """The command and all settings, in Markdown."""
    settings = yaml.safe_dump(run.read_config(), sort_keys=False)
    return "".join(f"    {line}\n" for line in [shlex.join(sys.argv), "", *settings.splitlines()])
