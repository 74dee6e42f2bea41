"""Run by test_processes in a process of its own: trains with a plain Trainer and writes what each process saw."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.model.distributed import end_process_group


class Seen(Callback):
    """The training images, each by the sum of its pixels, and the number of evaluated ones."""

    def __init__(self) -> None:
        self.trained: list[float] = []
        self.evaluated = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        self.trained += arguments[1][0].sum(dim=(1, 2, 3)).tolist()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        self.evaluated += len(arguments[1][1])


def train(processes: int, options: dict[str, Any]) -> None:
    """On the digits in this folder."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seen = Seen()
    trainer = Trainer(
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        accelerator="cpu",
        precision="64-true",
        max_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=[seen],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(DigitClassifier("batchnorm"), datamodule=MNISTDataModule(".", eval_batch_size=33))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    found = {"trained": seen.trained, "evaluated": seen.evaluated, "metrics": metrics}
    Path(f"{processes}_{trainer.global_rank}.json").write_text(json.dumps(found))
    # As torch asks for: a process that leaves this to its exit was seen to abort there, once in thirty runs.
    trainer.strategy.barrier()
    end_process_group()


if __name__ == "__main__":
    train(int(sys.argv[1]), json.loads(sys.argv[2]))
