"""The LightningModule: a network with its loss, metrics and optimizer."""

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric

from convblocks.data.images import MNIST, ImageSpec
from convblocks.data.loader import Batch
from convblocks.errors import NotImportedError, UsageError
from convblocks.model.batch_norm import synchronize_batch_norm
from convblocks.model.building import build_loss, configure
from convblocks.model.class_specs import AnySpec, Named, short_name
from convblocks.model.distributed import sum_over_processes
from convblocks.model.networks import build_network


class LossAndAccuracy(Metric):
    """Mean loss and accuracy over the images of an epoch and all processes, summed on the device.

    ``compute`` reduces all sums in one message; torchmetrics would send several for each of them.
    """

    full_state_update = False
    loss_sum: Tensor
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        # ``dist_reduce_fx`` is for Metric.forward, which merges batches by it: nothing here calls
        # that, but a subclass may. Over processes ``compute`` itself sums.
        self.add_state("loss_sum", torch.tensor(0.0), dist_reduce_fx="sum")
        for name in ("correct", "count"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss_sum: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its summed loss (), logits (B, classes) and targets (B,)."""
        # The sum gets the precision of the losses if that is higher, such as float64.
        if self.loss_sum.dtype != loss_sum.dtype:
            dtype = torch.promote_types(self.loss_sum.dtype, loss_sum.dtype)
            self.loss_sum = self.loss_sum.to(dtype)
        self.loss_sum.add_(loss_sum)
        self.correct.add_((logits.argmax(dim=1) == targets).sum())
        self.count.add_(len(targets))

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        """Move the sums with the network, but keep their precision if the network's is lowered."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), exclude_state)

    def compute(self) -> dict[str, Tensor]:
        """Loss and accuracy: (), in the dtype of the loss sum."""
        # In float64 the counts are exact. The quotient of one process, rounded to float32, is what
        # a division in float32 gives. MPS has no float64.
        dtype = self.loss_sum.dtype
        exact = dtype if self.loss_sum.is_mps else torch.float64
        sums = [each.to(exact) for each in (self.loss_sum, self.correct, self.count)]
        loss_sum, correct, count = sum_over_processes(torch.stack(sums))
        return {"loss": (loss_sum / count).to(dtype), "acc": (correct / count).to(dtype)}


class ImageClassifier(LightningModule):
    """A network, trained on batches (images, targets) from any loader.

    Logs ``train/loss``, ``train/acc`` and the same for ``val`` or ``test`` once an
    epoch, and ``train/loss_step`` at the steps that the Trainer logs.

    Args:
        arch: The network's name in ``convblocks.ARCHITECTURES``, or a class of an
            imported module: ``mynets.Rows``. Or the class itself, or a function that
            returns a network.
        lr: Learning rate; with a schedule, its highest.
        optimizer: ``adam`` as in the course, ``adamw``, ``sgd`` with momentum 0.9, or a
            class: its name, or ``{"class_path": ..., "init_args": {...}}``, or the
            class itself. Fused if the device supports it.
        lr_scheduler: ``constant``, one cycle up and down (``onecycle``) or a cosine
            down to 0 (``cosine``) over the steps of the run, or a class as for the
            optimizer.
        network: Arguments of the network's class or function.
        sync_batchnorm: Whether batch norm uses the statistics of the global batch, not
            of each process's part.
        loss: ``cross_entropy`` as in the course, or a class, as for the optimizer, that
            returns one loss per image.
        image_spec: Shape, classes and normalisation of the images; MNIST's by default.

    Raises:
        UsageError: an unknown network, optimizer, schedule or loss, or arguments that
            they do not take.
    """

    # ``judge`` compares runs, and is shown in per cent: where ``test/acc`` is logged, it takes the
    # place of ``val/acc`` (see Judge.tested). ``monitor`` chooses the best checkpoint.
    judge = "val/acc:max:%"
    monitor = "val/loss:min"

    def __init__(
        self,
        arch: Named,
        lr: float = 1e-2,
        optimizer: AnySpec = "adam",
        lr_scheduler: AnySpec = "constant",
        network: dict[str, Any] | None = None,
        sync_batchnorm: bool = True,
        loss: AnySpec = "cross_entropy",
        image_spec: ImageSpec | dict[str, Any] = MNIST,
    ) -> None:
        super().__init__()
        # A checkpoint holds the image spec as a dict.
        if isinstance(image_spec, dict):
            image_spec = ImageSpec.from_dict(image_spec)
        self.image_spec = image_spec
        self.example_input_array = torch.zeros(1, *image_spec.shape)
        self.arch = short_name(arch)
        self.network = build_network(arch, network, image_spec)
        self.loss = build_loss(loss, len(image_spec.classes))
        if not 0 < lr < math.inf:
            raise UsageError(f"--lr must be above 0 and finite, but is {lr}")
        specs = {"optimizer": optimizer, "lr_scheduler": lr_scheduler, "loss": loss}
        plain = {
            name: spec if isinstance(spec, dict) else short_name(spec)
            for name, spec in specs.items()
        }
        plain |= {"arch": self.arch, "image_spec": image_spec.as_dict()}
        # Plain values in place of objects, so that weights_only can read a checkpoint.
        self.save_hyperparameters(ignore=list(plain))
        self.save_hyperparameters(plain)
        # Refuse wrong arguments of the optimizer and the schedule now. Where a checkpoint is loaded
        # only to predict, their classes may not be imported, and are not needed.
        with suppress(NotImportedError):
            ImageClassifier.configure_optimizers(self, is_trial=True)
        self.train_metrics = LossAndAccuracy()
        self.eval_metrics = LossAndAccuracy()

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) -> logits (B, classes)."""
        logits: Tensor = self.network(images)
        return logits

    # Add no hook here that Lightning calls within a step, such as on_before_optimizer_step: the
    # wing fast/ takes its shortcut only where there is none, and all runs would be slower.

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """This process's part of the mean loss over the global batch, times the number of
        processes.

        Averaged over the processes, as DistributedDataParallel does, its gradient is
        that of the mean over all images, even if the parts of a short batch differ in
        size or are empty.
        """
        # A resume within an epoch begins at a later batch, and keeps the sums so far, which
        # exact_resume has restored.
        if batch_idx == 0:
            self.train_metrics.reset()
        loss_sum = self._measure(batch, self.train_metrics)
        images = self._images_of_all_processes(batch, batch_idx)
        processes = self.trainer.world_size
        if processes > 1:
            loss_sum = loss_sum * processes
        loss = loss_sum / images
        # Logging takes longer than a step of the MLP, so it is done now and then. (The interval
        # has no type, since Lightning sets it at run time.)
        step = self.trainer.global_step + 1
        interval = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if interval > 0 and step % interval == 0:
            self.log("train/loss_step", loss, prog_bar=True, sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train", self.train_metrics)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure(batch, self.eval_metrics)

    def on_validation_epoch_start(self) -> None:
        self.eval_metrics.reset()

    def on_validation_epoch_end(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set at run time
        self._log_epoch(getattr(data, "evaluation_split", "val"), self.eval_metrics)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test", self.eval_metrics)

    def predict_step(self, batch: Tensor | Batch, batch_idx: int) -> Tensor:
        """Images, with or without targets -> probabilities (B, classes)."""
        images = batch if isinstance(batch, Tensor) else batch[0]
        # The call of a LightningModule has no type.
        return self(images).softmax(dim=1)  # type: ignore[no-any-return]

    def configure_optimizers(self, is_trial: bool = False) -> Any:
        specs = {name: self.hparams[name] for name in ("optimizer", "lr_scheduler", "lr")}
        return configure(self, is_trial=is_trial, **specs)

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set at run time
        seen = getattr(data, "image_spec", None)
        if isinstance(seen, ImageSpec) and not self.image_spec.same_images(seen):
            raise UsageError(
                f"the classifier is for {self.image_spec}, "
                f"but the data are {seen}: give it image_spec="
            )
        # Lightning warns of values that are logged without sync_dist, even in a process group of
        # one; these are summed over processes already.
        warnings.filterwarnings(
            "ignore", message=r"It is recommended to use `self.log\('(train|val|test)/\w+'"
        )
        if self.trainer.world_size > 1 and self.hparams["sync_batchnorm"]:
            synchronize_batch_norm(self.network)

    def _measure(self, batch: Batch, metrics: LossAndAccuracy) -> Tensor:
        """The sum of the batch's losses, (); also adds the batch to the metrics."""
        images, targets = batch
        logits = self(images)
        losses: Tensor = self.loss(logits, targets)
        loss_sum = losses.sum() if losses.ndim else losses
        metrics.update(loss_sum.detach(), logits.detach(), targets)
        return loss_sum

    def _images_of_all_processes(self, batch: Batch, batch_idx: int) -> int | Tensor:
        """The number of images of the global batch."""
        local = len(batch[1])
        if self.trainer.world_size == 1:
            return local
        # An ImageLoader knows the number; with other loaders the processes must communicate.
        images_in = getattr(self.trainer.train_dataloader, "images_in", None)
        if images_in:
            return int(images_in(batch_idx))
        return sum_over_processes(torch.tensor(local, device=self.device))

    def _log_epoch(self, split: str, metrics: LossAndAccuracy) -> None:
        values = {f"{split}/{name}": value for name, value in metrics.compute().items()}
        self.log_dict(values, prog_bar=True)
