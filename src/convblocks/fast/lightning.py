"""Training without needless work at every step, in Lightning's loop and in the memory allocator."""

import ctypes
from inspect import signature
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from convblocks.data.loader import Batch
from convblocks.model.batch_norm import SYNCHRONIZED
from convblocks.model.classifier import ImageClassifier

# The hooks that Lightning calls at every step, on each callback and on the module.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)

# The parameters of glibc's mallopt, and values for them: more than any block that
# training allocates, and never.
M_MMAP_THRESHOLD, LARGEST_BLOCK = -3, 2**31 - 1
M_TRIM_THRESHOLD, NEVER = -1, -1


class FastClassifier(ImageClassifier):
    """A classifier with less overhead in Lightning's loop."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Skip nn.Module's checks for the name of the running hook, which Lightning
        sets many times a step.
        """
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx)

    # Lightning reads it at every step, and Python would compute it each time.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]

    def _apply_batch_transfer_handler(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """Skip the transfer of batches that are on the device already, such as an ImageLoader's."""
        if isinstance(batch, tuple) and all(
            isinstance(part, Tensor) and part.device == device for part in batch
        ):
            return batch
        return super()._apply_batch_transfer_handler(batch, device, dataloader_idx)


# Messages name the class that it replaces.
FastClassifier.__name__ = FastClassifier.__qualname__ = ImageClassifier.__name__


def skip_idle_hooks(trainer: Trainer, module: LightningModule) -> None:
    """Set to None the step hooks that callbacks and module do not override, so that
    Lightning skips them.

    Lightning calls every hook that is callable, with some bookkeeping around it.
    """
    # Lightning sets it at run time
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for owner, base in [
        (module, LightningModule),
        *((callback, Callback) for callback in callbacks),
    ]:
        for hook in STEP_HOOKS:
            if getattr(type(owner), hook) is getattr(base, hook) and hook not in vars(owner):
                object.__setattr__(owner, hook, None)  # works for frozen dataclasses too


def speed_up_gradients(trainer: Trainer, classifier: ImageClassifier) -> None:
    """Turn off DistributedDataParallel's needless broadcasts and copies at each step.

    It broadcasts buffers even if they are equal in all processes, and copies each
    gradient into the buffer that it sends. A user's own arguments of DDPStrategy have
    precedence. ``static_graph`` is not set: it had no measurable effect, and breaks
    networks that use different parameters at different steps.
    """
    if not isinstance(trainer.strategy, DDPStrategy):
        return
    flags = trainer.strategy._ddp_kwargs
    flags.setdefault("gradient_as_bucket_view", True)
    # Buffers stay equal by themselves if all are of synchronised batch norm.
    with_buffers = [
        module for module in classifier.network.modules() if [*module.buffers(recurse=False)]
    ]
    are_equal = classifier.hparams["sync_batchnorm"] and all(
        type(module) in SYNCHRONIZED for module in with_buffers
    )
    names = ("forward_sync_buffers", "broadcast_buffers")  # torch 2.13 warns about the second
    if are_equal and not flags.keys() & names:
        flags[
            next(name for name in names if name in signature(DistributedDataParallel).parameters)
        ] = False


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system after
    every step.

    Every step frees activations of several MB, and the next allocates as much. By
    default glibc returns such blocks to the system, which maps and clears them again.
    Does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (
        AttributeError,
        OSError,
        TypeError,
    ):  # musl and macOS have no mallopt, Windows no CDLL(None)
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, NEVER)
