"""A callback that measures what reaches the ReLUs in the first steps, where block 2 dies.

`fit` takes it by name: `--trainer.callbacks lab.preactivations.PreActivations`.
"""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lab.first_steps import FirstSteps, layers_of

# Most of block 2's units die within the first five, and some come back in the next.
STEPS = 30

# The fact of a result: {"mean": ..., "spread": ..., "dead": ...}, each a list of steps
# of a number for each block.
FACT = "pre_activations"

# Of a unit that outputs 0 for the whole batch, the largest pre-activation is at most 0.
MEASURES = ("mean", "spread", "dead")


class PreActivations(FirstSteps):
    """Measures each convolution's output on the training batches of the first steps,
    before their updates.

    ``mean`` and ``spread`` are those of a channel's values over the batch and all
    positions, averaged over channels; ``dead`` is the share of channels without a
    positive value in the batch. The network's computation is not changed.
    """

    fact = FACT
    measures = MEASURES

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.hooks = [
            layer.register_forward_hook(self._measure) for layer in layers_of(pl_module, nn.Conv2d)
        ]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step < STEPS:
            self.rows.append([])
        else:
            self._stop()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def _measure(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if not layer.training:  # an evaluation
            return
        channels = outputs.detach().transpose(0, 1).flatten(1)  # (C, B x H x W)
        dead = (channels.amax(dim=1) <= 0).float()
        self.rows[-1].append(
            (float(channels.mean()), float(channels.std(dim=1).mean()), float(dead.mean()))
        )

    def _stop(self) -> None:
        while self.hooks:
            self.hooks.pop().remove()
