"""The LightningModule: loss, metrics and optimizer around any of the networks."""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torchmetrics import Metric

from convblocks.distributed import global_count, synchronize_batch_norm
from convblocks.errors import UsageError
from convblocks.networks import ARCHITECTURES, build_network

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

Batch = tuple[Tensor, Tensor]


class LossAndAccuracy(Metric):
    """Mean loss and accuracy over the samples of an epoch, summed on the device and reduced when asked for.

    The sums are persistent: they are part of a checkpoint, so that an epoch can be taken up in its middle.
    """

    full_state_update = False
    loss_sum: Tensor
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss_sum", torch.tensor(0.0), dist_reduce_fx="sum", persistent=True)
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum", persistent=True)
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum", persistent=True)

    def update(self, loss_sum: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its summed loss (), logits (B, 10) and targets (B,)."""
        self.loss_sum.add_(loss_sum)
        self.correct.add_((logits.argmax(dim=1) == targets).sum())
        self.count.add_(len(targets))

    def compute(self) -> dict[str, Tensor]:
        correct = self.correct.to(self.loss_sum.dtype)  # or the quotient would have the precision of the network
        return {"loss": self.loss_sum / self.count, "acc": correct / self.count}


class DigitClassifier(LightningModule):
    """A registered network, trained with cross-entropy.

    Args:
        arch: The network's name in ``convblocks.networks.ARCHITECTURES``.
        lr: Learning rate, the highest one of a schedule.
        optimizer: Adam as in the course, AdamW, or SGD with momentum 0.9; fused where the device has it.
        weight_decay: Weight decay of the optimizer.
        schedule: The learning rate over the run's steps: constant, one cycle up and down, or a cosine down to 0.

    Raises:
        UsageError: an unknown architecture, or a learning rate or weight decay out of range.
    """

    def __init__(
        self,
        arch: str,
        lr: float = 1e-2,
        optimizer: Literal["adam", "adamw", "sgd"] = "adam",
        weight_decay: float = 0.0,
        schedule: Literal["constant", "onecycle", "cosine"] = "constant",
    ) -> None:
        super().__init__()
        if arch not in ARCHITECTURES:
            raise UsageError(f"unknown architecture {arch!r}: choose one of {', '.join(ARCHITECTURES)}")
        if not 0 < lr < float("inf"):
            raise UsageError(f"the learning rate must be above 0, but is {lr}")
        if weight_decay < 0:
            raise UsageError(f"the weight decay must not be negative, but is {weight_decay}")
        self.save_hyperparameters()
        self.network = build_network(arch)
        self.latest: dict[str, float] = {}  # the last value of every metric, rounded less than Lightning's own
        self.train_metrics = LossAndAccuracy()
        self.eval_metrics = LossAndAccuracy()

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of the running hook on the module some 40 times a step. A string is no parameter,
        # buffer or submodule, and nn.Module need not find that out each time: a fifth of what the Trainer's loop costs
        # the MLP on CPU.
        if isinstance(value, str):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        if self.trainer.world_size > 1:
            synchronize_batch_norm(self.network)

    def on_fit_start(self) -> None:
        # Sums over an epoch need at least float32, whatever the network computes in.
        dtype = torch.promote_types(cast(torch.dtype, self.dtype), torch.float32)
        self.train_metrics.set_dtype(dtype)
        self.eval_metrics.set_dtype(dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 1, 28, 28) -> logits (B, 10)."""
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """This process's part of the mean loss over the global batch.

        Its gradient, averaged over the processes as DistributedDataParallel does, is that of the mean over all
        images, also where the shares of a short batch differ in size or are empty.
        """
        loss_sum = self._loss_sum(batch, self.train_metrics)
        return loss_sum * self.trainer.world_size / global_count(len(batch[1]), self.device)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Before validation rather than in on_train_epoch_end, which Lightning calls after that of the callbacks: they
        # find the whole epoch in trainer.callback_metrics.
        if self.trainer.is_last_batch:
            self._log_epoch("train", self.train_metrics)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss_sum(batch, self.eval_metrics)

    def on_validation_epoch_end(self) -> None:
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]  # which Lightning sets at run time
        self._log_epoch(getattr(datamodule, "evaluation_split", "val"), self.eval_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss_sum(batch, self.eval_metrics)

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test", self.eval_metrics)

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer()
        steps = int(self.trainer.estimated_stepping_batches)
        match self.hparams["schedule"]:
            case "constant":
                return optimizer
            case "onecycle":
                scheduler: Any = OneCycleLR(optimizer, max_lr=self.hparams["lr"], total_steps=steps)
            case _:
                scheduler = CosineAnnealingLR(optimizer, T_max=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _optimizer(self) -> Optimizer:
        settings: dict[str, Any] = {"lr": self.hparams["lr"], "weight_decay": self.hparams["weight_decay"]}
        if self.hparams["optimizer"] == "sgd":
            settings["momentum"] = 0.9
        optimizer_class = OPTIMIZERS[self.hparams["optimizer"]]
        try:
            return optimizer_class(self.network.parameters(), fused=True, **settings)
        except RuntimeError:  # a device without fused kernels
            return optimizer_class(self.network.parameters(), **settings)

    def _loss_sum(self, batch: Batch, metrics: LossAndAccuracy) -> Tensor:
        images, targets = batch
        logits = self(images)
        loss_sum = functional.cross_entropy(logits, targets, reduction="sum")
        metrics.update(loss_sum.detach(), logits.detach(), targets)
        return loss_sum

    def _log_epoch(self, split: str, metrics: LossAndAccuracy) -> None:
        values = {f"{split}/{name}": value for name, value in metrics.compute().items()}
        self.latest |= {name: shortest_float(value) for name, value in values.items()}
        # logger=False: the curves are written by a callback, before the checkpoint that a resume starts from.
        self.log_dict(values, logger=False)
        metrics.reset()


def shortest_float(value: Tensor) -> float:
    """A scalar tensor as the shortest decimal that stands for it: 0.9446 for float32's 0.944599986."""
    return float(str(value.cpu().numpy()))
