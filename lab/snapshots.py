"""A callback that keeps a network's weights from the steps that the page docs/play
shows, and the loss of every step.

`fit` takes it by name: `--trainer.callbacks lab.snapshots.Snapshots`.
"""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

# Block 2 dies within the first steps; the last is the end of MNIST's first epoch in batches of 64.
STEPS = (0, 1, 2, 3, 4, 5, 6, 10, 30, 100, 300, 938)

# In the run directory.
FILE = "snapshots.pt"


class Snapshots(Callback):
    """Writes ``{"weights": [a state dict for each step], "losses": [a float for each batch]}``."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.losses: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        if trainer.global_step in STEPS:
            self._keep(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kept = {"weights": self.weights, "losses": self.losses}
        torch.save(kept, Path(str(trainer.log_dir), FILE))

    def _keep(self, module: Any) -> None:
        weights = module.network.state_dict()
        self.weights.append({name: values.clone() for name, values in weights.items()})
